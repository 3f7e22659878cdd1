"""The checks of the notebooks are checked: faults, planted into a small notebook, are noticed."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from checks import check_kernel, check_maps, check_sliders, load_walk
from nbformat.v4 import new_code_cell, new_notebook, new_output
from page import open_notebook

pytestmark = pytest.mark.browser

EXPLORER = """
import io
import threading
import ipywidgets as widgets
import numpy as np
from PIL import Image

slider = widgets.FloatSlider(description="grey (share)", max=1, step=0.02)
image, text = widgets.Image(width=350), widgets.Label()

def draw(change=None):
    value = slider.value
    # here
    png = io.BytesIO()
    Image.fromarray(np.full((8, 8), 255 * value, dtype=np.uint8)).save(png, "png")
    image.value = png.getvalue()

slider.observe(draw, "value")
draw()
explorer = widgets.VBox([slider, image, text])
display(explorer)
"""
ELSEWHERE = "parent = get_ipython().kernel.get_parent()"  # of this cell, which is done soon
SUBSHELL = """
kernel = get_ipython().kernel
handle = kernel.comm_manager.comm_msg

async def in_a_thread(*message):  # as ipykernel 7 with JupyterLab does
    threading.Thread(target=handle, args=message).start()

kernel.shell_handlers["comm_msg"] = in_a_thread
"""
LAGS = "value, draw.last = getattr(draw, 'last', 0), value"  # the one before


@contextmanager
def small_notebook(lab, code="pass", *cells):
    """A notebook with an explorer whose `draw` begins with the code, and its kernel."""
    cells = [EXPLORER.replace("# here", code), *filter(None, cells)]
    path = lab.write("small.ipynb", *cells)
    kernel = lab.kernel(path)
    try:
        for cell in cells:
            kernel.client.execute(cell, reply=True, timeout=60)
        load_walk(kernel)
        yield path, kernel
    finally:
        kernel.end()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / (slider.value < 0.9)", "at 0.9: ZeroDivisionError"),
        ("text.value = 'ValueError: no' * (slider.value > 0.9)", "at 0.92: ValueError: no"),
        ("if image.value: return", "the same picture at all values"),
        (LAGS, "another picture when it comes from the other side"),
        ("widgets.Layout()", "'widgets': 1500, 'comms': 1500"),
        ("import matplotlib.pyplot as plt; plt.figure(dpi=5)", "'figures': 1500"),
        ("image.kept = getattr(image, 'kept', b'') + bytes(5000)", "500 moves keep"),
        ("slider.description = ''", "a control without a description"),
        ("slider.description = 'grey'", "a slider without a unit"),
    ],
)
def test_in_the_kernel(lab, code, message):
    with small_notebook(lab, code) as (_, kernel), pytest.raises(AssertionError) as error:
        check_kernel(kernel)
    assert message in str(error.value)


def test_a_sound_explorer_has_no_faults(lab, browser):
    with small_notebook(lab) as (path, kernel):
        check_kernel(kernel)
        with open_notebook(lab, browser, path, end=False) as notebook:
            notebook.run()
            check_sliders(notebook, kernel)


@pytest.mark.parametrize(
    ("code", "cell", "message"),
    [
        ("1 / (slider.value < 0.9)", "", "ZeroDivisionError"),
        ("if image.value: return", "", "the same picture"),
        ("slider.description = ' '", "", "a slider without a visible label"),
        ("print('a line')", "", "shown nowhere: a line"),
        (
            "if change: get_ipython().set_parent(parent); print('a line')",
            ELSEWHERE,
            "in another cell: a line",
        ),
        ("import matplotlib.pyplot as plt; plt.figure(dpi=5)", "", "shown nowhere: <Figure"),
        ("pass", SUBSHELL, "other threads than the main one"),
    ],
)
def test_in_the_browser(lab, browser, code, cell, message):
    with (
        small_notebook(lab, code, cell) as (path, kernel),
        open_notebook(lab, browser, path, end=False) as notebook,
    ):
        notebook.run()
        with pytest.raises(AssertionError) as error:
            check_sliders(notebook, kernel)
        assert message in str(error.value)


MAP = """
import torch
from helpers import data, models, page

letters, labels = data.load_letters()
torch.manual_seed(0)
latent_map = page.latent_map(models.Autoencoder([35, 17, 2, 17, 35]), letters, labels)
"""


def test_an_error_of_the_script_in_a_map(lab, browser):
    cells = [MAP, "latent_map", "latent_map.data['bounds'] = None\nlatent_map"]
    with open_notebook(lab, browser, lab.write("map.ipynb", *cells)) as notebook:
        notebook.run(0)
        notebook.run(1)
        check_maps(notebook)
        notebook.run(2)
        with pytest.raises(AssertionError, match="error in the page"):
            check_maps(notebook)


CELLS = {
    "sound": ("print(41 + 1)", "42\n", True),
    "a changed number": ("print(41 + 2)", "42\n", True),
    "a saved output is missing": ("print(41 + 1)", "", True),
    "a stack trace that is not compared": (
        "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()",
        "",
        False,
    ),
    "a warning that is not compared": ("import warnings\nwarnings.warn('no')", "", False),
}


def test_nbval(tmp_path):
    for name, (source, output, checked) in CELLS.items():
        cell = new_code_cell(source, execution_count=1)
        cell.outputs = [new_output("stream", name="stdout", text=output)] if output else []
        cell.metadata.tags = ["nbval-check-output"] if checked else []
        nbformat.write(new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    nbval = ["-p", "nbval_in_lab", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--color=no", *nbval],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
    )
    for name in CELLS:
        verdict = "PASSED" if name == "sound" else "FAILED"
        assert f"{verdict} {name}.ipynb::Cell 0" in run.stdout, run.stdout

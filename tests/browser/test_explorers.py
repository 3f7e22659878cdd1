"""The explorers and maps of every notebook, in the kernel in which nbval has just run it.

JupyterLab attaches to that kernel: only the cells that show sliders and maps are run once more.
"""

import nbformat
import pytest
from checks import (
    check_buttons_and_dropdowns,
    check_kernel,
    check_maps,
    check_sliders,
    load_walk,
)
from lab import NOTEBOOKS
from page import open_notebook

pytestmark = pytest.mark.browser

NAMES = [f"notebooks/{path.stem}" for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


@pytest.fixture(scope="module", params=NAMES)
def notebook(request):
    return f"{request.param}.ipynb"


@pytest.fixture(scope="module")
def kernel(lab, notebook):
    kernel = lab.kernel(notebook)
    load_walk(kernel)
    if not kernel.evaluate("len(walk.explorers())"):  # nbval was not asked for, or has failed
        for cell in nbformat.read(lab.root / notebook, as_version=4).cells:
            if cell.cell_type == "code":
                kernel.client.execute(cell.source, reply=True, timeout=900)
    yield kernel
    kernel.end()


def test_every_step_of_every_slider_in_the_kernel(kernel):
    check_kernel(kernel)


def test_sliders_and_maps_in_jupyterlab(lab, browser, notebook, kernel):
    with open_notebook(lab, browser, notebook, end=False) as page:
        page.run_interactive()
        check_sliders(page, kernel)
        check_buttons_and_dropdowns(page)
        check_maps(page)

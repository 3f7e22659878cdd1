"""Every notebook in a real JupyterLab: all cells run, every slider, button and dropdown does what it should.

``pytest tests/browser -s`` also prints how long each slider takes from the key to the new picture.
"""

import os
import statistics
from pathlib import Path

import pytest
from lab import NO_CHROMIUM, chromium, open_browser, start_lab

pytestmark = pytest.mark.browser

NOTEBOOKS = Path(os.environ.get("NOTEBOOKS", Path(__file__).resolve().parents[2] / "notebooks"))
MEMORY_LIMIT = 2 * 2**20  # bytes that 300 moves may add


@pytest.fixture(scope="session")
def chromium_path():
    path = chromium()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_CHROMIUM)
    return path


@pytest.fixture(scope="session")
def lab(chromium_path, tmp_path_factory):
    with start_lab(NOTEBOOKS, tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")  # not session: while it is open, other tests could not use asyncio
def browser(chromium_path):
    with open_browser(chromium_path) as browser:
        yield browser


@pytest.fixture(scope="module", params=sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def notebook(request, lab, browser):
    """A notebook whose cells have all been run; the tests below share it."""
    with lab.open(browser, f"notebooks/{request.param}") as notebook:
        notebook.run()
        yield notebook


def test_every_slider_works(notebook):
    assert notebook.problems() == []
    sliders = notebook.sliders()
    assert sliders, "no sliders found"
    for slider in sliders:
        times = check_slider(slider)
        worst = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
        print(
            f"\n{slider.label}: {len(times)} pictures, median {statistics.median(times):.0f} ms, 95% {worst:.0f} ms",
            end="",
        )
    assert notebook.problems() == []


def check_slider(slider):
    """Move a slider over its whole range and back to where it was; the milliseconds that each new picture took."""
    assert slider.label, "a slider without a visible label"
    slider.focus()
    start, times = slider.value, []

    pictures = {slider.go("Home")}
    assert slider.aria("now") == slider.aria("min"), f"{slider.label}: Home does not go to the minimum"
    times += walk(slider, "ArrowRight", 150)
    pictures.add(slider.go("End"))
    assert slider.aria("now") == slider.aria("max"), f"{slider.label}: End does not go to the maximum"
    times += walk(slider, "ArrowLeft", 3)
    slider.click_middle()
    pictures.add(slider.picture())
    times += walk(slider, "ArrowRight", 3) + walk(slider, "ArrowLeft", 3)
    assert slider.has_focus(), f"{slider.label}: lost the focus"
    slider.go_back_to(start)

    assert None not in pictures, f"{slider.label}: no picture beside it"
    assert len(pictures) > 1, f"{slider.label}: the same picture at both ends and in the middle"
    times = [time for time in times if time is not None]
    assert times, f"{slider.label}: no single step changes the picture"
    return times


def walk(slider, key, steps):
    """Press a key many times, each time after the picture of the last, but not beyond the end of the slider."""
    times = []
    for _ in range(steps):
        before = slider.value
        time = slider.press(key, 0.5)
        if slider.value == before:
            return times
        times.append(time)
    return times


def test_buttons_and_dropdowns_work(notebook):
    for button in notebook.panel.locator(".jp-OutputArea .jupyter-button:enabled").all():
        button.click()
        notebook.settle()
    for dropdown in notebook.panel.locator(".jp-OutputArea select:enabled").all():
        chosen = dropdown.evaluate("s => s.selectedIndex")
        dropdown.select_option(index=0 if chosen else 1)
        notebook.settle()
        dropdown.select_option(index=chosen)
        notebook.settle()
    assert notebook.problems() == []


def test_three_hundred_moves_leave_memory_steady(notebook):
    check_memory(notebook)


def check_memory(notebook):
    slider = notebook.sliders()[0]
    start = slider.value
    move(slider, 60)  # a warm-up: the first pictures load fonts and fill caches
    figures, memory = notebook.evaluate(FIGURES), notebook.memory()
    move(slider, 300)
    assert notebook.evaluate(FIGURES) == figures, "open pyplot figures"
    assert notebook.memory() - memory < MEMORY_LIMIT, "bytes of memory after 300 moves"
    slider.go_back_to(start)
    assert notebook.problems() == []


FIGURES = "__import__('matplotlib.pyplot').pyplot.get_fignums()"


def move(slider, count):
    """Move a slider to and fro."""
    slider.focus()
    key, back = "ArrowRight", "ArrowLeft"
    for _ in range(count):
        before = slider.value
        slider.press(key, 0.2)
        if slider.value == before:  # the end
            key, back = back, key
            slider.press(key, 0.2)
            assert slider.value != before, f"{slider.label}: does not move"


EXPLORER = """
import io, torch, ipywidgets as widgets
from PIL import Image
from helpers import data, models, noise, training

letters = data.load_letters().images
slider = widgets.FloatSlider(description="noise", max=1, step=0.001)
image = widgets.Image(width=350)

def draw(change=None):
    generator = torch.Generator().manual_seed(0)
    noisy = noise.salt_and_pepper(letters, slider.value, generator)
    png = io.BytesIO()
    Image.fromarray((255 * noisy.reshape(-1, 5)).byte().numpy()).save(png, "png")
    image.value = png.getvalue()

slider.observe(draw, "value")
draw()
widgets.VBox([slider, image])
"""

TRAINING = """
class NoisyLetters:
    def __iter__(self):
        for _ in range(10):
            yield noise.salt_and_pepper(letters, 0.1), letters

torch.manual_seed(0)
model = models.Autoencoder([35, 17, 5, 17, 35])
history = training.fit(model, NoisyLetters(), epochs=EPOCHS)
print(f"final loss {history.loss[-1]:.10f}")
"""


def test_a_slider_moved_during_training_changes_nothing(lab, browser):
    path = lab.write("training.ipynb", EXPLORER, TRAINING.replace("EPOCHS", "1000"))
    with lab.open(browser, path) as notebook:
        notebook.run()
        assert notebook.problems() == []
        quiet = final_loss(notebook)

    with lab.open(browser, path) as notebook:
        notebook.start()
        notebook.panel.get_by_role("slider").wait_for()
        (slider,) = notebook.sliders()
        slider.focus()
        moves = 0
        while notebook.cells()[1]["state"] != "running":
            notebook.page.wait_for_timeout(10)
        before = slider.picture_now()
        while notebook.cells()[1]["state"] == "running":
            notebook.page.keyboard.press("ArrowRight")
            notebook.page.wait_for_timeout(20)
            moves += 1
        notebook.finish()
        assert moves > 20, "too few moves: the training is too short for this test"
        assert slider.picture() != before, "the slider has drawn nothing"
        assert notebook.problems() == []
        assert final_loss(notebook) == quiet


def final_loss(notebook):
    """What the training cell printed, which must be all that it shows."""
    outputs = notebook.cells()[1]["outputs"]
    assert {output["output_type"] for output in outputs} == {"stream"}, outputs
    return "".join(output["text"] for output in outputs).rpartition("final loss ")[2]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / (slider.value < 0.1)", "ZeroDivisionError"),
        ("if image.value: return", "the same picture"),
        ("import matplotlib.pyplot; matplotlib.pyplot.figure()", "open pyplot figures"),
        ("image.kept = [bytearray(20_000), getattr(image, 'kept', None)]", "bytes of memory"),
    ],
)
def test_the_checks_notice_a_broken_slider(lab, browser, code, message):
    path = lab.write("broken.ipynb", EXPLORER.replace("    generator", f"    {code}\n    generator"))
    with lab.open(browser, path) as notebook:
        notebook.run()
        with pytest.raises(AssertionError, match=message):
            check_slider(*notebook.sliders())
            check_memory(notebook)

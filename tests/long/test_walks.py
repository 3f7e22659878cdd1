"""Every notebook in a real JupyterLab: all cells run, every slider, button and dropdown does what it should.

With ``-s`` pytest also prints how long each slider takes from the key to the new picture.
"""

import re
import statistics

import pytest
from lab import NOTEBOOKS

pytestmark = pytest.mark.browser

MEMORY_LIMIT = 2 * 2**20  # bytes that 300 moves may add
FIGURES = "__import__('matplotlib.pyplot').pyplot.get_fignums()"


@pytest.fixture(scope="module", params=sorted(file.name for file in NOTEBOOKS.glob("*.ipynb")))
def notebook(request, lab, browser):
    """A notebook whose cells have all been run; the next three tests share it."""
    with lab.open(browser, f"notebooks/{request.param}") as notebook:
        notebook.run()
        yield notebook


def test_every_slider_works(notebook):
    assert notebook.problems() == []
    assert notebook.sliders(), "no sliders found"
    for slider in notebook.sliders():
        times = sorted(check_slider(notebook, slider))
        slow = times[int(0.95 * len(times))]
        print(f"\n{slider.label}: median {statistics.median(times):.0f} ms, 95 % below {slow:.0f} ms", end=" ")


def check_slider(notebook, slider):
    """Move a slider over its whole range and back to where it was; how many milliseconds each new picture took."""
    assert re.search(r"\w.*\(.+\)", slider.label), f"a slider without a visible label and unit: {slider.label!r}"
    slider.focus()
    start, pictures = slider.aria("text"), []
    for place in "max", "min", "middle":
        slider.go(place)
        pictures.append(slider.picture())
        assert place == "middle" or slider.aria("now") == slider.aria(place), f"{slider.label}: {place} not reached"
    assert notebook.problems() == []
    assert None not in pictures, f"{slider.label}: no picture beside it"
    assert len(set(pictures)) > 1, f"{slider.label}: the same picture at both ends and in the middle"

    times = walk(slider, "ArrowRight", 5) + walk(slider, "ArrowLeft", 5)
    assert any(times), f"{slider.label}: no single step in the middle changes the picture"
    slider.go("min")
    slider.picture()
    times += walk(slider, "ArrowRight", 100)
    assert slider.knob.evaluate("k => k === document.activeElement"), f"{slider.label}: lost the focus"
    slider.go_back_to(start)
    assert notebook.problems() == []
    return [time for time in times if time is not None]


def walk(slider, key, steps, wait=500):
    """Press a key again and again, each time after the last has changed the picture, until the end of the slider."""
    times = []
    while len(times) < steps:
        moved, time = slider.press(key, wait)
        if not moved:
            break
        times.append(time)
    return times


def test_buttons_and_dropdowns_work(notebook):
    for button in notebook.panel.locator(".jp-OutputArea .jupyter-button:enabled").all():
        button.click()
        notebook.settle()
    for dropdown in notebook.panel.locator(".jp-OutputArea select:enabled").all():
        dropdown.select_option(index=0 if dropdown.evaluate("d => d.selectedIndex") else 1)
        notebook.settle()
    assert notebook.problems() == []


def test_three_hundred_moves_leave_memory_steady(notebook):
    check_memory(notebook, 300)


def check_memory(notebook, moves):
    slider = notebook.sliders()[0]
    to_and_fro(slider, 60)  # the first moves fill caches
    figures, memory = notebook.evaluate(FIGURES), notebook.memory()
    to_and_fro(slider, moves)
    assert notebook.evaluate(FIGURES) == figures, "open figures"
    assert notebook.memory() - memory < MEMORY_LIMIT, "more memory"
    assert notebook.problems() == []


def to_and_fro(slider, moves):
    slider.focus()
    for key in ["ArrowRight", "ArrowLeft"] * moves:
        moves -= len(walk(slider, key, moves, wait=200))
    assert moves == 0, f"{slider.label}: does not move"


EXPLORER = """
import io, torch, ipywidgets as widgets
from PIL import Image
from helpers import data, models, noise, training

letters = data.load_letters().images
slider = widgets.FloatSlider(description="noise (p)", max=1, step=0.002)
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
history = training.fit(model, NoisyLetters(), epochs=1000)
print(f"final loss {history.loss[-1]:.10f}")
"""


def test_a_slider_moved_during_training_changes_nothing(lab, browser):
    with lab.open(browser, lab.write("training.ipynb", EXPLORER, TRAINING)) as notebook:
        notebook.run()
        quiet = final_loss(notebook)

        (slider,) = notebook.sliders()
        slider.focus()
        walk(slider, "ArrowRight", 5)
        before, moves = slider.picture(), 0
        notebook.run(cell=1, wait=False)
        notebook.page.wait_for_function("/loss/.test(probe.cells()[1].outputs[0]?.text)")  # it trains
        slider.focus()
        while notebook.cells()[1]["state"] == "running":
            notebook.page.keyboard.press("ArrowRight")
            notebook.page.wait_for_timeout(20)
            moves += 1
        notebook.wait()
        assert moves > 20, "the training is too short for this test"
        assert slider.picture() != before, "the slider has drawn nothing"
        assert notebook.problems() == []
        assert final_loss(notebook) == quiet


def final_loss(notebook):
    """What the training cell printed last; text must be all that it shows."""
    outputs = notebook.cells()[1]["outputs"]
    assert {output["output_type"] for output in outputs} == {"stream"}, outputs
    return "".join(output["text"] for output in outputs).rpartition("final loss ")[2]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / (slider.value < 0.1)", "ZeroDivisionError"),
        ("if image.value: return", "the same picture"),
        ("import matplotlib.pyplot; matplotlib.pyplot.figure()", "shown nowhere: <Figure"),
        ("image.kept = [b'x' * 400_000 + png.getvalue(), getattr(image, 'kept', None)]", "more memory"),
    ],
)
def test_the_checks_notice_a_broken_slider(lab, browser, code, message):
    path = lab.write("broken.ipynb", EXPLORER.replace("    png = io.BytesIO()", f"    png = io.BytesIO()\n    {code}"))
    with lab.open(browser, path) as notebook:
        notebook.run()
        with pytest.raises(AssertionError, match=message):
            check_slider(notebook, *notebook.sliders())
            check_memory(notebook, 30)

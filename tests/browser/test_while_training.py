"""A slider that is moved while a cell trains changes nothing but its own picture."""

import pytest
from page import open_notebook

pytestmark = pytest.mark.browser

EXPLORER = """
import io, torch, ipywidgets as widgets
from functools import partial
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
torch.manual_seed(0)
model = models.Autoencoder([35, 17, 5, 17, 35])
some_noise = partial(noise.salt_and_pepper, p=0.1)
history = training.fit(model, letters, epochs=4_000, noise=some_noise)
print(f"final loss {history.loss[-1]:.10f}")
"""


def test_a_slider_moved_during_training_changes_nothing(lab, browser):
    path = lab.write("training.ipynb", EXPLORER, TRAINING)
    with open_notebook(lab, browser, path) as notebook:
        notebook.run()
        quiet = final_loss(notebook)

        (slider,) = notebook.sliders()
        slider.focus()
        slider.hold("ArrowRight")
        before, moves = slider.picture(), 0
        notebook.run(cell=1, wait=False)
        it_trains = "/loss/.test(probe.cells()[1].outputs[0]?.text)"
        notebook.page.wait_for_function(it_trains)
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

"""The explorers: every control over its whole range draws a picture, and the pictures are right."""

import base64
import io

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from helpers import widgets
from helpers.data import load_letters
from helpers.models import Autoencoder

IMAGES, LABELS = load_letters()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Autoencoder([35, 17, 2, 17, 35])


def explorers(model):
    return {
        "latent": widgets.latent_explorer(model, IMAGES, LABELS),
        "interpolation": widgets.interpolation_explorer(model, IMAGES, LABELS, start=("b", "d")),
        "outlier": widgets.outlier_explorer(model, IMAGES, LABELS, threshold=0.1, start="a"),
    }


def parts(explorer, kind):
    return [child for child in explorer.children if isinstance(child, kind)]


def pixels(explorer):
    (picture,) = parts(explorer, ipywidgets.Image)
    image = Image.open(io.BytesIO(picture.value))
    assert picture.layout.width == f"{image.width}px"
    assert picture.layout.height == f"{image.height}px"
    return np.asarray(image)


SLIDERS = (ipywidgets.FloatSlider, ipywidgets.IntSlider)


@pytest.mark.parametrize("name", ["latent", "interpolation", "outlier"])
def test_every_slider_moves_the_picture_over_its_whole_range(model, name):
    explorer = explorers(model)[name]
    shape, figures = pixels(explorer).shape, plt.get_fignums()
    for slider in parts(explorer, SLIDERS):
        assert slider.description.endswith(")")  # the unit stands in brackets
        seen = set()
        for value in (slider.min, (slider.min + slider.max) // 2 + 0.5 * isinstance(slider.max, float), slider.max):
            slider.value = value
            seen.add(pixels(explorer).tobytes())
            assert pixels(explorer).shape == shape  # nothing jumps
        assert len(seen) == 3
    assert plt.get_fignums() == figures


def test_every_choice_draws(model):
    for explorer in explorers(model).values():
        for dropdown in parts(explorer, ipywidgets.Dropdown):
            pictures = set()
            for _, value in dropdown.options:
                dropdown.value = value
                pictures.add(pixels(explorer).tobytes())
            assert len(pictures) == len(LABELS)


def test_the_picture_is_the_decoded_code(model):
    explorer = explorers(model)["latent"]
    z1, z2 = parts(explorer, SLIDERS)
    z1.value, z2.value = 0.25, 0.75
    with torch.no_grad():
        expected = torch.sigmoid(model.decode(torch.tensor([[0.25, 0.75]]))).reshape(7, 5)
    left, scale = widgets.MAP_SIDE + 8, 200 // 7
    top = (widgets.MAP_SIDE - 200 - 40) // 2
    first = pixels(explorer)[top:, left:, 0]
    shown = np.array([[first[8 + scale * r + 5, scale * c + 5] for c in range(5)] for r in range(7)])
    assert np.abs(shown - (255 - 255 * expected.numpy())).max() <= 12  # the panel is centred to a few pixels


def test_the_ends_of_an_interpolation_are_the_two_letters():
    torch.manual_seed(0)
    model = Autoencoder([35, 17, 2, 17, 35])
    explorer = widgets.interpolation_explorer(model, IMAGES, LABELS, start=("b", "d"))
    (slider,) = parts(explorer, SLIDERS)
    for t, label in ((0, "b"), (1, "d")):
        slider.value = t
        scale = 200 // 7
        decoded = pixels(explorer)[
            8 : 8 + 7 * scale : scale, 5 * scale + 16 + 8 + 5 : 2 * (5 * scale + 16) - 8 : scale, 0
        ]
        with torch.no_grad():
            image = IMAGES[LABELS.index(label)].unsqueeze(0)
            expected = 255 - 255 * torch.sigmoid(model(image)).reshape(7, 5).numpy()
        assert np.abs(decoded - expected).max() <= 1


def test_flipping_counts_pixels_and_the_button_chooses_others(model):
    explorer = explorers(model)["outlier"]
    (slider,), (button,) = parts(explorer, SLIDERS), parts(explorer, ipywidgets.Button)

    def flipped():
        scale = 200 // 7
        sheet = pixels(explorer)[8 + 5 : 8 + 7 * scale : scale, :, 0]
        step = 5 * scale + 16
        original, changed = (sheet[:, 8 + 5 + i * step : 8 + 5 * scale + i * step : scale] for i in (0, 1))
        return np.argwhere(original != changed).tolist()

    for count in (0, 1, 7, 35):
        slider.value = count
        assert len(flipped()) == count
    slider.value = 7
    before = flipped()
    button.click()
    assert len(flipped()) == 7
    assert flipped() != before


def test_explorers_leave_the_global_generator_alone(model):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    explorer = widgets.outlier_explorer(model, IMAGES, LABELS, threshold=0.1, start="a")
    parts(explorer, ipywidgets.Button)[0].click()
    parts(explorer, SLIDERS)[0].value = 9
    assert torch.equal(torch.get_rng_state(), state)


def test_a_still_picture_stands_where_widgets_cannot_be_shown(model):
    for explorer in explorers(model).values():
        bundle = explorer._repr_mimebundle_()
        assert base64.b64decode(bundle["image/png"]) == parts(explorer, ipywidgets.Image)[0].value
        assert "application/vnd.jupyter.widget-view+json" in bundle


def test_text_names_the_nearest_letter(model):
    explorer = explorers(model)["latent"]
    (text,) = parts(explorer, ipywidgets.Label)
    assert text.value.startswith("Not a letter of the set: the nearest one")


def test_a_code_that_is_no_plane_is_refused():
    with pytest.raises(ValueError, match="latent_dim 2, got 3"):
        widgets.latent_explorer(Autoencoder([35, 10, 3, 10, 35]), IMAGES, LABELS)

"""The explorers: every control over its whole range draws a picture, and the pictures are right."""

import base64
import io
from functools import partial
from types import SimpleNamespace

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from helpers import noise, training, widgets
from helpers.data import load_emoji, load_letters
from helpers.inner import live_curve
from helpers.losses import kl_divergence
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.page import pictures
from helpers.training import History

IMAGES, LABELS = load_letters()
EMOJI, NAMES = load_emoji()
NUMBERS = [str(i % 10) for i in range(32)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Autoencoder([35, 17, 2, 17, 35])


def vae(latent_dim):
    """A network that tells faces apart, though it is not trained."""
    torch.manual_seed(latent_dim)
    model = VariationalAutoencoder([400, 20], latent_dim).eval()
    for linear in (model.encoder[0], model.encoder[2], model.decoder[0], model.decoder[2]):
        linear.weight.data *= 3
    return model


def decoded_by(model):
    return lambda noisy, level: torch.sigmoid(model(noisy))


EXPLORERS = {
    "interpolation": lambda m: widgets.interpolation_explorer(m, IMAGES, LABELS, ("b", "d")),
    "interpolation, emoji": lambda m: widgets.interpolation_explorer(
        vae(3), EMOJI, NAMES, NAMES[:2]
    ),
    "noise": lambda m: widgets.noise_explorer(IMAGES, LABELS, {"decoded": decoded_by(m)}),
    "noise, numbers": lambda m: widgets.noise_explorer(IMAGES, NUMBERS, level=0.1),
    "dimensions": lambda m: widgets.dimension_explorer(vae(3), EMOJI, NAMES),
}
SLIDERS = (ipywidgets.FloatSlider, ipywidgets.IntSlider)


def parts(explorer, kind):
    return [child for child in explorer.children if isinstance(child, kind)]


def pixels(explorer):
    image = Image.open(io.BytesIO(explorer.picture.value))
    layout = explorer.picture.layout
    assert (layout.width, layout.height) == (f"{image.width}px", f"{image.height}px")
    return np.asarray(image)


@pytest.mark.parametrize("name", EXPLORERS)
def test_every_slider_moves_the_picture_over_its_whole_range(model, name):
    explorer = EXPLORERS[name](model)
    shape, figures = pixels(explorer).shape, plt.get_fignums()
    for control in sorted(explorer.controls, key=lambda one: not isinstance(one, SLIDERS)):
        if isinstance(control, ipywidgets.Button):
            continue
        if isinstance(control, SLIDERS):
            assert control.description.endswith(")")  # the unit stands in brackets
            middle = type(control.min)((control.min + control.max) / 2)
            values = control.min, middle, control.max
        else:
            values = [value for _, value in control.options[:9]]
        seen = set()
        for control.value in values:
            seen.add(pixels(explorer).tobytes())
            assert pixels(explorer).shape == shape or control not in parts(explorer, SLIDERS)
        assert len(seen) == len(values)
    assert plt.get_fignums() == figures
    bundle = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == explorer.picture.value
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize("name", EXPLORERS)
def test_moves_make_no_new_widgets_and_leave_the_global_generator_alone(model, name, monkeypatch):
    explorer = EXPLORERS[name](model)
    made, init = [], ipywidgets.Widget.__init__
    count = lambda self, *args, **kw: made.append(self) or init(self, *args, **kw)  # noqa: E731
    monkeypatch.setattr(ipywidgets.Widget, "__init__", count)
    layout, state, random = explorer.picture.layout, torch.get_rng_state(), np.random.default_rng(0)
    for _ in range(8):
        for control in explorer.controls:
            if isinstance(control, ipywidgets.Button):
                control.click()
            elif isinstance(control, SLIDERS):
                control.value = type(control.value)(random.uniform(control.min, control.max))
            else:
                control.index = int(random.integers(len(control.options)))
    assert made == [] and explorer.picture.layout is layout
    assert torch.equal(torch.get_rng_state(), state)
    ipywidgets.IntSlider()
    assert made  # the counter counts


# ---- explorer, and the controls that notebooks build theirs from -------------------------------


def test_an_explorer_of_ones_own():
    calls = []

    def draw(*values):
        calls.append(values)
        assert not torch.is_grad_enabled()
        return Image.new("RGB", (values[1] + 1, 5), "red"), f"{values}"

    controls = [
        widgets.choice("letter", ["a", "b"], 1),
        widgets.slider("width (pixels)", 0, 9, 2, step=1),
        widgets.button("again"),
        widgets.name_slider("beta (no unit)", ["1/2", "1"]),
        widgets.slider("t (share)", 0.0, 1.0, 0.5, 0.1, digits=3),
    ]
    explorer = widgets.explorer(controls, draw)
    assert list(explorer.children) == [*controls, explorer.picture, explorer.text]
    controls[1].value, controls[0].value, controls[3].value = 4, 0, 1
    controls[2].click(), controls[2].click()
    moves = [(1, 2, 0, 0), (1, 4, 0, 0), (0, 4, 0, 0), (0, 4, 0, 1), (0, 4, 1, 1), (0, 4, 2, 1)]
    assert calls == [(*move, 0.5) for move in moves]
    assert explorer.text.value == "(0, 4, 2, 1, 0.5)" and pixels(explorer).shape == (5, 5, 3)
    assert [type(c) for c in controls[:2]] == [ipywidgets.Dropdown, ipywidgets.IntSlider]
    assert controls[4].readout_format == ".3f" and controls[4].step == 0.1
    assert controls[0].options == (("a", 0), ("b", 1)) and controls[3].options[0] == ("1/2", 0)
    assert explorer.picture.layout.flex == "none"


def test_a_failing_draw_shows_its_error_and_no_stale_picture_and_the_next_move_recovers():
    def draw(value):
        if value == 3:
            raise ZeroDivisionError("three is bad")
        return Image.new("RGB", (40, 30), "red"), f"value {value}"

    control = widgets.slider("number (count)", 0, 9, 0, step=1)
    explorer = widgets.explorer([control], draw)
    good = explorer.picture.value
    control.value = 3
    assert explorer.text.value == "ZeroDivisionError: three is bad"
    assert pixels(explorer).shape == (1, 1, 3)
    control.value = 4
    assert explorer.text.value == "value 4" and explorer.picture.value == good
    with pytest.raises(ZeroDivisionError, match="three"):  # at once: in the cell, where it belongs
        widgets.explorer([widgets.slider("number (count)", 0, 9, 3, step=1)], draw)


WRONG = {
    "noise_explorer": [
        ((IMAGES, LABELS[:31]), "expected 32 names.*got 31"),
        ((IMAGES, range(32)), "names, such as.*of type int"),
        ((IMAGES[:0], ()), "N >= 1, got shape"),
        ((IMAGES * np.nan, LABELS), "expected finite"),
        ((IMAGES.flatten(1), LABELS), r"got shape \(32, 35\)"),
        ((IMAGES, LABELS, {"start": 32}), "letter: .* below 32, got 32"),
        ((IMAGES, NUMBERS, {"start": -1}), "from 0 to 31, got -1"),
        ((IMAGES, LABELS, {"level": 1.5}), "from 0 to 1.0, got 1.5"),
        ((IMAGES, LABELS, {"level": np.nan}), "got nan"),
    ],
    "interpolation_explorer": [
        ((None, IMAGES, LABELS, ("b", "B")), "of the labels"),
        ((vae(2), EMOJI * np.inf, NAMES, NAMES[:2]), "finite"),
    ],
    "dimension_explorer": [
        ((None, IMAGES, LABELS), "expected a Variational"),
        ((vae(2), EMOJI, NAMES[1:]), "expected 56 names"),
    ],
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_refused_when_the_explorer_is_made(model, name):
    for arguments, message in WRONG[name]:
        options = arguments[-1] if isinstance(arguments[-1], dict) else {}
        given = [model if one is None else one for one in arguments if one is not options]
        with pytest.raises(ValueError, match=message):
            getattr(widgets, name)(*given, **options)
    model.encoder[0].weight.data[0, 0] = float("nan")  # a network that has diverged
    with pytest.raises(ValueError, match="expected finite codes"):
        widgets.interpolation_explorer(model, IMAGES, LABELS, ("b", "d"))


# ---- what the pictures show --------------------------------------------------------------------


def panel(explorer, i, height=168, left=0, size=(7, 5)):
    """The i-th image in the picture, as values from 0 (black) to 255."""
    scale, sheet = height // size[0], pixels(explorer)[..., 0]
    x = left + i * (size[1] * scale + 16) + 8 + scale // 2
    y = (len(sheet) - (size[0] * scale + 40)) // 2 if left else 0
    y += 8 + scale // 2
    rows, columns = size[0] * scale, size[1] * scale
    return sheet[y : y + rows : scale, x : x + columns : scale].astype(float)


def ink(image):
    return 255 - 255 * image.detach().clamp(0, 1).reshape(7, 5).numpy()


def light(image):
    return 255 * image.detach().reshape(20, 20).numpy()


def assert_shows(shown, expected):
    assert shown.shape == expected.shape and np.abs(shown - expected).max() <= 1


def test_the_text_names_the_nearest_face_and_its_distance():
    model = vae(3)
    explorer = EXPLORERS["interpolation, emoji"](model)
    parts(explorer, SLIDERS)[0].value = 0.3
    codes, _ = model.encode(EMOJI[:2])
    decoded = torch.sigmoid(model.decode(torch.lerp(*codes, 0.3).unsqueeze(0)))
    least, i = (decoded - EMOJI).square().mean(dim=(1, 2, 3)).sqrt().min(dim=0)
    expected = f"The nearest image of the set is {NAMES[i]}, at a distance of {least:.3f} (root"
    assert explorer.text.value.endswith(f"{expected} mean square).")


def test_the_text_counts_the_pixels_that_differ_from_the_nearest_letter(model):
    explorer = EXPLORERS["interpolation"](model)
    parts(explorer, SLIDERS)[0].value = 0.25
    first, second = (model.encode(IMAGES[LABELS.index(one)][None]) for one in "bd")
    decoded = torch.sigmoid(model.decode(torch.lerp(first, second, 0.25)))
    wrong = ((decoded > 0.5) != (IMAGES > 0.5)).sum(dim=(1, 2, 3)).min()
    assert explorer.text.value.startswith("Not a letter of the set: the nearest one")
    assert f"differs in {wrong} pixel" in explorer.text.value


def test_the_ends_of_an_interpolation_are_the_two_images(model):
    explorer = EXPLORERS["interpolation"](model)
    (slider,) = parts(explorer, SLIDERS)
    for t, label in ((0, "b"), (1, "d")):
        slider.value = t
        image = IMAGES[LABELS.index(label)].unsqueeze(0)
        assert_shows(panel(explorer, 1, 200), ink(torch.sigmoid(model(image))))
        assert_shows(panel(explorer, 0 if label == "b" else 3, 200), ink(image))


def test_the_noisy_picture_is_the_image_with_this_noise(model):
    denoisers = {"decoded": decoded_by(model), "wild": lambda noisy, level: 5 * noisy - 2}
    explorer = widgets.noise_explorer(IMAGES, LABELS, denoisers, level=0.3, start=5, seed=7)
    letter, kind, level, button = explorer.controls
    assert (letter.value, letter.description, level.value, level.max) == (5, "letter", 0.3, 1)

    def check(name, draw):
        image, generator = (
            IMAGES[letter.value].unsqueeze(0),
            torch.Generator().manual_seed(6 + draw),
        )
        noisy = widgets.KINDS[name](image, level.value, generator=generator)
        for i, expected in enumerate([image, noisy, torch.sigmoid(model(noisy)), 5 * noisy - 2]):
            assert_shows(panel(explorer, i), ink(expected))
        assert explorer.text.value == f"{name}, level {level.value:.3f}, draw {draw}"

    for kind.value, name in enumerate(widgets.KINDS):
        for letter.value, level.value in ((5, 0.0), (0, 0.25), (31, 1.0)):
            check(name, 1)
    button.click()
    check(name, 2)


def test_every_denoiser_gets_a_tensor_of_its_own_and_the_level():
    calls = []

    def spoil(noisy, level):
        calls.append((noisy.shape, level))
        return noisy.zero_()

    denoisers = {"spoils": spoil, "copies": lambda noisy, level: noisy.flatten(1)}  # rows will do
    explorer = widgets.noise_explorer(IMAGES, LABELS, denoisers, level=0.4)
    assert calls == [((1, 1, 7, 5), 0.4)]
    assert (panel(explorer, 2) == 255).all()
    assert np.array_equal(panel(explorer, 3), panel(explorer, 1))
    assert (panel(explorer, 1) < 255).any()


def test_captions_get_the_pixels_and_the_clean_image_and_a_line_each():
    calls, denoisers = [], {"x": lambda noisy, level: 1 - noisy}
    caption = lambda *args: calls.append(args) or "caption"  # noqa: E731
    one = widgets.noise_explorer(IMAGES, LABELS, denoisers, [caption], start=4)
    two = widgets.noise_explorer(IMAGES, LABELS, denoisers, [widgets.psnr_caption, caption])
    assert len(calls) == 4 and torch.allclose(calls[0][0], 1 - calls[1][0])
    assert [torch.equal(image, IMAGES[4:5]) for _, image in calls] == [True, True, False, False]
    assert len(pixels(two)) == len(pixels(one)) + 18
    image = torch.tensor([[[[0.0, 1.0, 1.0]]]])
    assert widgets.psnr_caption(image + 0.1, image) == "20.0 dB"
    assert widgets.psnr_caption(image, image) == "inf dB"


def test_images_whose_names_come_twice_are_chosen_by_number():
    kinds = {"salt and pepper (p)": noise.salt_and_pepper}  # one kind of noise needs no list
    explorer = widgets.noise_explorer(IMAGES, NUMBERS, kinds=kinds, start=9)
    number, level, _ = explorer.controls
    assert (number.description, number.value, number.max) == ("image (number)", 9, 31)
    assert level.description == "salt and pepper (p)"
    assert_shows(panel(explorer, 0), ink(IMAGES[9]))


def test_the_sliders_of_the_dimensions_start_at_the_code_of_the_chosen_face():
    model, drawn = vae(3), []
    explorer = widgets.dimension_explorer(model, EMOJI, NAMES)
    (chooser, *sliders), (mu, logvar) = explorer.controls, model.encode(EMOJI)
    explorer.picture.observe(drawn.append, names="value")
    left = pictures.LINE_LEFT + pictures.LINE_WIDTH + 20
    for chooser.value in (8, 0):
        code = mu[chooser.value].clamp(-3, 3).detach()
        assert [slider.value for slider in sliders] == pytest.approx(code.tolist())
        decoded = torch.sigmoid(model.decode(code.unsqueeze(0)))
        for i, expected in enumerate((EMOJI[chooser.value], decoded)):
            assert_shows(panel(explorer, i, 160, left, (20, 20)), light(expected))
    assert len(drawn) == 2  # one picture when all have moved, not one for each
    kl = kl_divergence(mu, logvar).mean(dim=0)
    texts = [f"z{i} (its KL: {value:.2f} nats)" for i, value in enumerate(kl, start=1)]
    assert [slider.description for slider in sliders] == texts
    assert {(slider.min, slider.max, slider.step) for slider in sliders} == {(-3, 3, 0.05)}


# ---- the curve of a training -------------------------------------------------------------------


@pytest.fixture
def screen(monkeypatch):
    """Stands in for the notebook: keeps the figures shown, and the clock, which the test sets."""
    screen = SimpleNamespace(shown=[], updated=[], now=100.0)

    def display(figure, display_id):
        assert display_id is True
        screen.shown.append(figure)
        return SimpleNamespace(update=screen.updated.append)

    monkeypatch.setattr(live_curve, "display", display)
    monkeypatch.setattr(live_curve, "time", SimpleNamespace(perf_counter=lambda: screen.now))
    return screen


def test_a_curve_shows_losses_and_limits(screen):
    losses = [0.5, 0.25, 0.125]
    history = History(epochs=[1, 11, 20], loss=losses)
    widgets.LiveCurve("BCE (nats)", {"the best": 0.1, "the mean image": 0.7})(history)
    (ax,) = screen.shown[0].axes
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    limits = {"the best": [0.1, 0.1], "the mean image": [0.7, 0.7]}
    assert lines == {"training": losses} | limits
    assert list(ax.lines[0].get_xdata()) == [1, 11, 20]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert len({(line.get_color(), str(line.get_linestyle())) for line in ax.lines}) == 3
    names = (ax.get_xlabel(), ax.get_ylabel(), ax.get_title())
    assert names == ("epochs", "BCE (nats)", "epoch 20: 0.1250")


def test_a_curve_is_drawn_once_a_second_and_at_the_end_whatever_the_time(screen):
    live, history, drawn = widgets.LiveCurve("BCE (nats)"), History(), []
    live(history)
    assert not screen.shown  # there is nothing to see yet
    for i in range(50):
        screen.now = 100 + 0.1 * i
        history.epochs.append(i + 1), history.loss.append(1 / (1 + i))
        live(history)
        drawn.append(len(screen.shown) + len(screen.updated))
    assert drawn[0] == 1 and drawn[8] == 1 and 4 <= drawn[-1] <= 5
    history.seconds = 5.0
    live(history)
    assert len(screen.updated) == drawn[-1] and len(screen.shown) == 1  # one picture that changes
    assert screen.updated[-1].axes[0].get_title().startswith("epoch 50: ")


def test_a_curve_follows_a_training(screen, model):
    figures, live = plt.get_fignums(), widgets.LiveCurve("BCE (nats)")
    fit = partial(training.fit, epochs=30, on_epoch=live, progress=False)
    history = fit(model, IMAGES)
    assert len(screen.shown) == len(screen.updated) == 1  # the clock stands still: first and last
    assert list(screen.updated[0].axes[0].lines[0].get_ydata()) == history.loss
    assert plt.get_fignums() == figures

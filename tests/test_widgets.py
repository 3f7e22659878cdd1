"""The explorers: every control over its whole range draws a picture, and the pictures are right."""

import base64
import gc
import io
import re
from types import SimpleNamespace

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from helpers import noise, training, widgets
from helpers.data import load_emoji, load_letters
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.training import History

IMAGES, LABELS = load_letters()
EMOJI, NAMES = load_emoji()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Autoencoder([35, 17, 2, 17, 35])


def explorers(model):
    """Functions that make them."""
    return {
        "latent": lambda: widgets.latent_explorer(model, IMAGES, LABELS),
        "interpolation": lambda: widgets.interpolation_explorer(model, IMAGES, LABELS, start=("b", "d")),
        "outlier": lambda: widgets.outlier_explorer(model, IMAGES, LABELS, threshold=0.1, start="a"),
        "noise": lambda: widgets.noise_explorer(IMAGES, LABELS, {"decoded": decoded_by(model)}),
        "noise, numbers": lambda: widgets.noise_explorer(IMAGES, range(32), most=0.4, level=0.1),
        "direction": lambda: widgets.direction_explorer(wide_model(), IMAGES, LABELS, directions=4),
        "direction, numbers": lambda: widgets.direction_explorer(wide_model(), IMAGES, range(32), directions=3),
        "training noise": lambda: widgets.training_noise_explorer(
            {"0": model, "0.1": wide_model()}, IMAGES, LABELS, draws=2
        ),
        "latent, emoji": lambda: widgets.latent_explorer(vae(2), EMOJI, NAMES),
        "interpolation, emoji": lambda: widgets.interpolation_explorer(
            vae(3), EMOJI, NAMES, path=lambda a, b, t: a + t * (b - a)
        ),
        "dimensions": lambda: widgets.dimension_explorer(vae(3), EMOJI, NAMES),
        "models": lambda: widgets.model_explorer({"0.5": vae(2), "1": vae(3)}, EMOJI, NAMES, "beta (no unit)"),
    }


def vae(latent_dim):
    """A network that tells faces apart, though it is not trained."""
    torch.manual_seed(latent_dim)
    model = VariationalAutoencoder([400, 20], latent_dim)
    for linear in (model.encoder[0], model.encoder[2], model.decoder[0], model.decoder[2]):
        linear.weight.data *= 3
    return model


def decoded_by(model):
    return lambda noisy, level: torch.sigmoid(model(noisy))


def wide_model(code=4):
    """A network with a code of 4 numbers that tells letters apart, though it is not trained."""
    torch.manual_seed(0)
    model = Autoencoder([35, 17, code, 17, 35])
    for linear in (model.encoder[0], model.decoder[0], model.decoder[2]):
        linear.weight.data *= 5
    return model


def parts(explorer, kind):
    return [child for child in explorer.children if isinstance(child, kind)]


def pixels(explorer):
    (picture,) = parts(explorer, ipywidgets.Image)
    image = Image.open(io.BytesIO(picture.value))
    assert picture.layout.width == f"{image.width}px"
    assert picture.layout.height == f"{image.height}px"
    return np.asarray(image)


SLIDERS = (ipywidgets.FloatSlider, ipywidgets.IntSlider)
CONTROLS = (*SLIDERS, ipywidgets.Dropdown, ipywidgets.SelectionSlider, ipywidgets.Button)


@pytest.mark.parametrize(
    "name",
    [
        "latent",
        "interpolation",
        "outlier",
        "noise",
        "noise, numbers",
        "direction",
        "direction, numbers",
        "training noise",
        "latent, emoji",
        "interpolation, emoji",
        "dimensions",
    ],
)
def test_every_slider_moves_the_picture_over_its_whole_range(model, name):
    explorer = explorers(model)[name]()
    shape, figures = pixels(explorer).shape, plt.get_fignums()
    for slider in parts(explorer, SLIDERS):
        assert slider.description.endswith(")")  # the unit stands in brackets
        seen = set()
        middle = (slider.min + slider.max) / 2
        for value in (slider.min, middle if isinstance(slider.max, float) else int(middle), slider.max):
            slider.value = value
            seen.add(pixels(explorer).tobytes())
            assert pixels(explorer).shape == shape  # nothing jumps
        assert len(seen) == 3
    assert plt.get_fignums() == figures


MOVES = 1_000


@pytest.mark.long
def test_a_thousand_random_moves(model):
    """Of all controls of all explorers, two of three moves to an end; no error, no warning, no more memory."""
    all_explorers = [make() for make in explorers(model).values()]
    random, process, figures = np.random.default_rng(0), psutil.Process(), plt.get_fignums()
    memory = None
    for move in range(MOVES):
        explorer = all_explorers[random.integers(len(all_explorers))]
        controls = [child for child in explorer.children if isinstance(child, CONTROLS)]
        control = controls[random.integers(len(controls))]
        if isinstance(control, ipywidgets.Button):
            control.click()
        elif isinstance(control, SLIDERS):
            steps = round((control.max - control.min) / control.step)
            step = random.choice([0, steps, random.integers(steps + 1)])
            control.value = type(control.value)(min(control.max, control.min + step * control.step))
        else:
            control.index = int(random.integers(len(control.options)))
        assert pixels(explorer).size
        if move == MOVES // 2:  # caches are full by then
            gc.collect()
            memory = process.memory_info().rss
    gc.collect()
    assert process.memory_info().rss - memory < 2 * 2**20
    assert plt.get_fignums() == figures


def test_every_choice_draws(model):
    for make in explorers(model).values():
        explorer = make()
        for dropdown in parts(explorer, ipywidgets.Dropdown):
            pictures = set()
            for _, value in dropdown.options:
                dropdown.value = value
                pictures.add(pixels(explorer).tobytes())
            assert len(pictures) == len(dropdown.options)


def test_the_picture_is_the_decoded_code(model):
    explorer = explorers(model)["latent"]()
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
    explorer = explorers(model)["outlier"]()
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
    for make in explorers(model).values():
        explorer = make()
        bundle = explorer._repr_mimebundle_()
        assert base64.b64decode(bundle["image/png"]) == parts(explorer, ipywidgets.Image)[0].value
        assert "application/vnd.jupyter.widget-view+json" in bundle


def test_text_names_the_nearest_letter(model):
    explorer = explorers(model)["latent"]()
    (text,) = parts(explorer, ipywidgets.Label)
    assert text.value.startswith("Not a letter of the set: the nearest one")


def test_a_code_that_is_no_plane_is_refused():
    with pytest.raises(ValueError, match="latent_dim 2, got 3"):
        widgets.latent_explorer(Autoencoder([35, 10, 3, 10, 35]), IMAGES, LABELS)


# --- the explorer of the noise ---------------------------------------------------------------------------------------


def panel(explorer, i, height=168):
    """The values 0 to 255 of the i-th letter in the picture, 255 is white."""
    scale = height // 7
    left = i * (5 * scale + 16) + 8
    return pixels(explorer)[8 + 5 : 8 + 7 * scale : scale, left + 5 : left + 5 * scale : scale, 0].astype(float)


def as_shown(image):
    return 255 - 255 * image.detach().reshape(7, 5).numpy()


def noise_parts(explorer):
    """The controls: letter, kind, level, button."""
    letter, kind = parts(explorer, ipywidgets.Dropdown)
    return letter, kind, *parts(explorer, SLIDERS), *parts(explorer, ipywidgets.Button)


def test_the_noisy_picture_is_the_image_with_this_noise(model):
    explorer = widgets.noise_explorer(IMAGES, LABELS, {"decoded": decoded_by(model)}, level=0.3, start=5, seed=7)
    letter, kind, level, _ = noise_parts(explorer)
    for name, function in widgets.NOISE_KINDS.items():
        for index in (5, 0, 31):
            for value in (0.0, 0.25, 1.0):
                letter.value, kind.value, level.value = index, name, value
                noisy = function(IMAGES[index : index + 1], value, generator=torch.Generator().manual_seed(7))
                assert np.abs(panel(explorer, 0) - as_shown(IMAGES[index])).max() <= 1
                assert np.abs(panel(explorer, 1) - as_shown(noisy)).max() <= 1
                assert np.abs(panel(explorer, 2) - as_shown(torch.sigmoid(model(noisy)))).max() <= 1
                (text,) = parts(explorer, ipywidgets.Label)
                assert text.value == f"{name}, level {value:.3f}, draw 1"


def test_the_starting_values_are_those_asked_for():
    explorer = widgets.noise_explorer(IMAGES, LABELS, level=0.3, most=2.0, start=5)
    letter, kind, level, _ = noise_parts(explorer)
    assert (letter.value, kind.value) == (5, "Gaussian (sigma)")
    assert (level.value, level.min, level.max) == (0.3, 0, 2)


def test_kind_changes_the_picture():
    explorer = widgets.noise_explorer(1 - IMAGES / 2, LABELS, level=0.5)
    _, kind, _, _ = noise_parts(explorer)
    gaussian = panel(explorer, 1)
    kind.value = "salt and pepper (p)"
    paper_and_grey = {0.0, 127.0, 128.0, 255.0}
    assert set(panel(explorer, 1).flatten()) <= paper_and_grey and not set(gaussian.flatten()) <= paper_and_grey


def test_the_draw_stays_until_the_button_is_pressed():
    explorer = widgets.noise_explorer(torch.full((3, 1, 7, 5), 0.5), ["a", "b", "c"], level=0.2)
    _, kind, level, button = noise_parts(explorer)
    kind.value = "salt and pepper (p)"
    first, original, hit = pixels(explorer), panel(explorer, 0), {}
    for value in (0.6, 0.9, 0.2):
        level.value = value
        hit[value] = panel(explorer, 1) != original
    assert np.array_equal(pixels(explorer), first)
    assert 0 < hit[0.2].sum() < hit[0.6].sum() < hit[0.9].sum()
    assert not (hit[0.2] & ~hit[0.6]).any()  # more noise hits the same pixels, and others
    button.click()
    assert np.array_equal(panel(explorer, 0), original)
    assert not np.array_equal(panel(explorer, 1) != original, hit[0.2])
    assert parts(explorer, ipywidgets.Label)[0].value.endswith("level 0.200, draw 2")


def test_the_same_seed_gives_the_same_noise_and_the_button_goes_on_from_there():
    first, second, other = (widgets.noise_explorer(IMAGES, LABELS, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(pixels(first), pixels(second))
    assert not np.array_equal(pixels(first), pixels(other))
    parts(first, ipywidgets.Button)[0].click()
    assert np.array_equal(panel(first, 1), panel(other, 1))


def test_denoisers_get_the_noisy_image_and_the_level():
    calls = []

    def denoise(noisy, level):
        calls.append((noisy.clone(), level))
        return noisy.flatten(1)  # rows will do

    explorer = widgets.noise_explorer(IMAGES, LABELS, {"a": denoise, "b": lambda noisy, level: 1 - noisy}, level=0.4)
    noisy, level = calls[-1]
    assert noisy.shape == (1, 1, 7, 5) and level == 0.4
    assert np.array_equal(panel(explorer, 2), panel(explorer, 1))
    assert np.abs(panel(explorer, 3) - (255 - panel(explorer, 1))).max() <= 1


def test_captions_get_the_pixels_and_the_clean_image_and_a_line_each():
    calls = []

    def caption(pixels, image):
        calls.append((pixels, image))
        return "caption"

    one, two, none = (
        widgets.noise_explorer(IMAGES, LABELS, {"inverted": lambda x, level: 1 - x}, captions, start=4)
        for captions in ([caption], [widgets.psnr_caption, caption], [])
    )
    assert all(torch.equal(image, IMAGES[4:5]) for _, image in calls)
    assert torch.allclose(calls[0][0], 1 - calls[1][0])
    assert pixels(two).shape[0] == pixels(one).shape[0] + 18 and pixels(one).shape[0] == pixels(none).shape[0]
    assert not np.array_equal(pixels(one)[168 + 14 :, 136:], pixels(none)[168 + 14 :, 136:])


@pytest.mark.parametrize(("difference", "expected"), [(0.1, "20.0 dB"), (0.5, "6.0 dB"), (0, "inf dB")])
def test_the_caption_is_the_psnr(difference, expected):
    zeros = torch.zeros(1, 1, 7, 5)
    assert widgets.psnr_caption(zeros + difference, zeros) == expected


@pytest.mark.parametrize(
    ("pixels", "wrong"),
    [([0.0, 1.0, 1.0], 0), ([0.4, 0.6, 1.0], 0), ([0.6, 0.6, 1.0], 1), ([1.0, 0.0, 0.0], 3), ([-2.0, 3.0, 0.4], 1)],
)
def test_the_caption_is_the_number_of_wrong_pixels(pixels, wrong):
    image = torch.tensor([[[[0.0, 1.0, 1.0]]]])
    assert widgets.error_caption(torch.tensor(pixels).reshape(1, 1, 1, 3), image) == f"wrong pixels: {wrong}"


def test_values_outside_of_0_and_1_are_cut_in_the_picture():
    explorer = widgets.noise_explorer(IMAGES, LABELS, {"wild": lambda noisy, level: 5 * noisy - 2}, level=0.5, seed=3)
    noisy = noise.gaussian(IMAGES[:1], 0.5, torch.Generator().manual_seed(3))
    expected = (5 * noisy - 2).clamp(0, 1)
    assert 0 < (expected != 5 * noisy - 2).sum() < 35  # some values are outside
    assert np.abs(panel(explorer, 2) - as_shown(expected)).max() <= 1


def test_other_kinds_of_noise_can_be_given():
    kinds = {"nothing (1)": lambda x, level, generator: x, "stripes (1)": lambda x, level, generator: x * 0 + level}
    explorer = widgets.noise_explorer(IMAGES, LABELS, kinds=kinds, level=0.2)
    _, kind, _, _ = noise_parts(explorer)
    assert np.array_equal(panel(explorer, 1), panel(explorer, 0))
    kind.value = "stripes (1)"
    assert (panel(explorer, 1) == 204).all()


@pytest.mark.parametrize("labels", [range(32), torch.arange(32), list(range(32))])
def test_images_without_names_are_chosen_by_number(labels):
    for explorer in (
        widgets.noise_explorer(IMAGES, labels, start=9),
        widgets.direction_explorer(wide_model(), IMAGES, labels, directions=2, start=9),
    ):
        slider = parts(explorer, ipywidgets.IntSlider)[0]
        assert (slider.value, slider.min, slider.max) == (9, 0, 31)
        assert np.abs(panel(explorer, 0) - as_shown(IMAGES[9])).max() <= 1


# --- the explorer of the noise in training ---------------------------------------------------------------------------

TEXT = r"(\d+) draws of all letters: (\d+\.\d\d) wrong pixels a letter, (\d+\.\d)% without a mistake"


def results(explorer):
    """The numbers of the text: draws, wrong pixels of a letter, share without a mistake."""
    (text,) = parts(explorer, ipywidgets.Label)
    draws, wrong, exact = re.fullmatch(TEXT, text.value).groups()
    return int(draws), float(wrong), float(exact) / 100


class DoesNothing(torch.nn.Module):
    def forward(self, images):
        return images - 0.5


class DrawsAnE(torch.nn.Module):
    def forward(self, images):
        return (IMAGES[LABELS.index("e")] - 0.5).expand_as(images)


@pytest.mark.parametrize("p", [0.0, 0.05, 0.2, 0.5])
def test_the_text_gives_the_mean_over_all_letters_and_draws(p):
    networks = {"nothing": DoesNothing(), "e": DrawsAnE()}
    explorer = widgets.training_noise_explorer(networks, IMAGES, LABELS, p=p, draws=100)
    assert results(explorer) == (
        100,
        pytest.approx(35 * p / 2, abs=0.1),  # a pixel flips with probability p/2
        pytest.approx((1 - p / 2) ** 35, abs=0.03),
    )
    parts(explorer, ipywidgets.Dropdown)[1].value = "e"
    wrong = (IMAGES[LABELS.index("e")] != IMAGES).sum() / 32
    assert results(explorer) == (100, pytest.approx(wrong.item(), abs=0.005), pytest.approx(1 / 32, abs=0.0005))


def test_letter_network_and_p_choose_the_pictures_and_not_the_letter_the_mean(model):
    networks = {"0": model, "0.1": wide_model()}
    explorer = widgets.training_noise_explorer(networks, IMAGES, LABELS, p=0.1, start=3, draws=2, seed=7)
    letter, network = parts(explorer, ipywidgets.Dropdown)
    (p,) = parts(explorer, SLIDERS)
    assert (letter.value, network.value, p.value) == (3, "0", 0.1)
    for name in ("0.1", "0"):
        for value in (0.0, 0.3):
            texts = set()
            for index in (0, 31):
                letter.value, network.value, p.value = index, name, value
                noisy = noise.salt_and_pepper(IMAGES.repeat(2, 1, 1, 1), value, torch.Generator().manual_seed(7))
                decoded = torch.sigmoid(networks[name](noisy[index : index + 1]))
                for i, image in enumerate([IMAGES[index], noisy[index], decoded, (decoded > 0.5).float()]):
                    assert np.abs(panel(explorer, i) - as_shown(image)).max() <= 1
                texts.add(results(explorer))
            assert len(texts) == 1


# --- the explorer of the directions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [1, 2, 3, 4])
def test_a_step_is_one_standard_deviation_along_a_principal_direction(direction):
    """Against the eigenvectors of the covariance; which way along them is + is anybody's choice."""
    model = wide_model()
    explorer = widgets.direction_explorer(model, IMAGES, LABELS, directions=4, start=2)
    number, amount = parts(explorer, SLIDERS)
    codes = model.encode(IMAGES).detach().double()
    variances, axes = torch.linalg.eigh(torch.cov(codes.T))
    step = (axes[:, -direction] * variances[-direction].sqrt()).float()
    number.value = direction
    found, expected = [], []
    for value in (-2.0, 2.0):
        amount.value = value
        found.append(panel(explorer, 2))
        expected.append(as_shown(torch.sigmoid(model.decode(model.encode(IMAGES[2:3]) + value * step))))
    if np.abs(found[0] - expected[0]).max() > 2:
        expected.reverse()
    assert np.abs(np.array(found) - expected).max() <= 2
    assert np.abs(found[0] - found[1]).max() > 10
    (text,) = parts(explorer, ipywidgets.Label)
    share = float(variances[-direction] / variances.sum())
    assert text.value == f"The image is a b. Direction {direction} has {share:.0%} of the variance of the codes."


def test_no_step_changes_nothing_and_the_letter_can_be_chosen():
    model = wide_model()
    explorer = widgets.direction_explorer(model, IMAGES, LABELS, directions=4)
    (letter,), (_, amount) = parts(explorer, ipywidgets.Dropdown), parts(explorer, SLIDERS)
    amount.value = 0
    for index in (0, 7, 31):
        letter.value = index
        assert np.abs(panel(explorer, 0) - as_shown(IMAGES[index])).max() <= 1
        assert np.abs(panel(explorer, 1) - as_shown(torch.sigmoid(model(IMAGES[index : index + 1])))).max() <= 1
        assert np.array_equal(panel(explorer, 2), panel(explorer, 1))


def test_a_plane_has_two_directions():
    explorer = widgets.direction_explorer(wide_model(code=2), IMAGES, LABELS)
    number, _ = parts(explorer, SLIDERS)
    assert (number.min, number.max) == (1, 2)
    first, shares = pixels(explorer), []
    for number.value in (1, 2):
        shares.append(int(re.search(r"has (\d+)% of the variance", parts(explorer, ipywidgets.Label)[0].value)[1]))
    assert shares[0] > shares[1] and sum(shares) == pytest.approx(100, abs=1)
    assert not np.array_equal(pixels(explorer), first)


def test_the_new_explorers_leave_the_global_generator_alone(model):
    wide = wide_model()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for explorer in (
        widgets.noise_explorer(IMAGES, LABELS, {"decoded": decoded_by(model)}),
        widgets.direction_explorer(wide, IMAGES, LABELS, directions=4),
        widgets.training_noise_explorer({"0": model, "0.1": wide}, IMAGES, LABELS, draws=2),
    ):
        for button in parts(explorer, ipywidgets.Button):
            button.click()
        for slider in parts(explorer, SLIDERS):
            slider.value = slider.max
        for dropdown in parts(explorer, ipywidgets.Dropdown):
            dropdown.value = dropdown.options[-1][1]
    assert torch.equal(torch.get_rng_state(), state)


# --- the curve of a training -----------------------------------------------------------------------------------------


@pytest.fixture
def screen(monkeypatch):
    """Stands in for the notebook: keeps the pictures that are shown, and the clock, which the test sets."""
    screen = SimpleNamespace(shown=[], updated=[], axes=[], now=100.0)

    def display(picture, display_id):
        assert display_id is True
        screen.shown.append(picture)
        return SimpleNamespace(update=screen.updated.append)

    def plot_curves(*args, plot=widgets.plot_curves, **kwargs):
        screen.axes.append(plot(*args, **kwargs))
        return screen.axes[-1]

    monkeypatch.setattr(widgets, "display", display)
    monkeypatch.setattr(widgets, "plot_curves", plot_curves)
    monkeypatch.setattr(widgets, "time", SimpleNamespace(perf_counter=lambda: screen.now))
    return screen


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer)
    return buffer.getvalue()


def test_a_curve_shows_losses_and_limits(screen):
    history = History(loss=[0.5, 0.25, 0.125], validation=[0.6, 0.4, 0.3])
    widgets.LiveCurve("BCE (nats)", {"the best": 0.1, "the mean image": 0.7})(history)
    (ax,) = screen.axes
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines}
    assert lines["training"] == history.loss and lines["validation"] == history.validation
    assert lines["the best"] == [0.1, 0.1] and lines["the mean image"] == [0.7, 0.7]
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert len({(line.get_color(), str(line.get_linestyle())) for line in ax.lines}) == 4
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("epochs", "BCE (nats)", "epoch 3: 0.1250")
    (picture,) = screen.shown
    assert Image.open(io.BytesIO(png(picture))).size == (480, 224)


def test_a_curve_without_validation_and_limits_is_one_line(screen):
    widgets.LiveCurve("BCE (nats)")(History(loss=[0.5]))
    assert [line.get_label() for line in screen.axes[0].lines] == ["training"]


def test_a_curve_with_many_limits_shows_them_all(screen):
    limits = {f"limit {i}": 0.1 * i for i in range(7)}
    widgets.LiveCurve("BCE (nats)", limits)(History(loss=[0.5, 0.25], validation=[0.6, 0.4]))
    lines = {line.get_label(): line.get_ydata()[0] for line in screen.axes[0].lines}
    assert lines == {"training": 0.5, "validation": 0.6} | limits
    (picture,) = screen.shown
    assert Image.open(io.BytesIO(png(picture))).size == (480, 224)


def test_a_curve_is_drawn_once_a_second_and_at_the_end_whatever_the_time(screen):
    live, history = widgets.LiveCurve("BCE (nats)"), History()
    live(history)
    assert not screen.shown  # there is nothing to see yet
    drawn = []
    for i in range(50):
        screen.now = 100 + 0.1 * i
        history.loss.append(1 / (1 + i))
        live(history)
        drawn.append(len(screen.shown) + len(screen.updated))
    assert drawn[0] == 1 and drawn[8] == 1 and 4 <= drawn[-1] <= 5
    history.seconds = 5.0
    live(history)
    assert len(screen.shown) + len(screen.updated) == drawn[-1] + 1
    assert screen.axes[-1].get_title().startswith("epoch 50: ")
    assert len(screen.shown) == 1  # one picture that changes
    assert len({png(picture) for picture in screen.shown + screen.updated}) == drawn[-1] + 1


def test_a_curve_that_follows_a_training(screen, model):
    figures, before = plt.get_fignums(), torch.get_rng_state()
    live = widgets.LiveCurve("BCE (nats)", {"no better": 0.0})
    pair = (IMAGES, IMAGES)
    history = training.fit(model, pair, epochs=30, validation=pair, on_epoch=live, progress=False)
    assert len(screen.shown) == len(screen.updated) == 1  # the clock stands still: the first epoch, and the end
    assert list(screen.axes[-1].lines[0].get_ydata()) == history.loss
    assert screen.axes[-1].get_title() == f"epoch 30: {history.loss[-1]:.4f}"
    assert plt.get_fignums() == figures
    assert torch.equal(torch.get_rng_state(), before)


def test_where_pictures_cannot_be_shown_a_line_stands_for_them(capsys, model):
    training.fit(model, (IMAGES, IMAGES), epochs=1, on_epoch=widgets.LiveCurve("BCE (nats)"), progress=False)
    assert set(capsys.readouterr().out.splitlines()) == {"Figure(480x224)"}


def test_one_kind_of_noise_needs_no_dropdown_for_it():
    kinds = {"salt and pepper (p)": noise.salt_and_pepper}
    explorer = widgets.noise_explorer(IMAGES, LABELS, kinds=kinds, most=0.5)
    (letter,) = parts(explorer, ipywidgets.Dropdown)
    assert letter.description == "letter"
    (level,) = parts(explorer, SLIDERS)
    level.value = 0
    clean = pixels(explorer)
    level.value = 0.5
    assert not np.array_equal(pixels(explorer), clean)


def test_every_step_of_the_test_noise_can_be_seen(model):
    explorer = widgets.training_noise_explorer({"a": model}, IMAGES, LABELS)
    (p,) = parts(explorer, SLIDERS)
    seen = set()
    for step in range(11):
        p.value = 0.25 + step * p.step
        seen.add(pixels(explorer).tobytes())
    assert len(seen) == 11


# ---- explorers of the variational autoencoder ------------------------------------------------------------------------


def face(explorer, i, height):
    """The i-th panel, 20x20, as pixel values; counted from the right if i < 0."""
    scale = height // 20
    width = 20 * scale + 16
    shown = pixels(explorer)
    panels = (shown.shape[1] - (shown.shape[1] % width)) // width
    left = shown.shape[1] + i * width if i < 0 else i * width
    assert panels
    top = (shown.shape[0] - (20 * scale + 40)) // 2 + 8
    return shown[top + scale // 2 :, left + 8 + scale // 2 :, 0][: 20 * scale : scale, : 20 * scale : scale] / 255


def test_the_sliders_of_the_dimensions_start_at_the_code_of_the_chosen_face():
    model = vae(3)
    explorer = widgets.dimension_explorer(model, EMOJI, NAMES, start=5)
    mu, logvar = model.encode(EMOJI)
    chooser, sliders = parts(explorer, ipywidgets.Dropdown)[0], parts(explorer, SLIDERS)
    for index in (5, 8):
        chooser.value = index
        code = mu[index].clamp(-3, 3).detach()
        assert [slider.value for slider in sliders] == pytest.approx(code.tolist())
        expected = torch.sigmoid(model.decode(code.unsqueeze(0))).reshape(20, 20).detach()
        assert np.abs(face(explorer, -2, 160) - expected.numpy()).max() < 0.01
        assert np.abs(face(explorer, -3, 160) - EMOJI[index, 0].numpy()).max() < 0.01
    divergences = training.kl_divergence(mu, logvar).mean(dim=0)
    assert [slider.description for slider in sliders] == [
        f"z{i} (its KL: {value:.2f} nats)" for i, value in enumerate(divergences, start=1)
    ]


def test_the_text_names_the_nearest_face_and_its_distance():
    model = vae(2)
    explorer = widgets.latent_explorer(model, EMOJI, NAMES)
    with torch.no_grad():
        decoded = torch.sigmoid(model.decode(torch.tensor([[s.value for s in parts(explorer, SLIDERS)]])))
    distances = (decoded.reshape(20, 20) - EMOJI[:, 0]).square().mean(dim=(1, 2)).sqrt()
    (text,) = parts(explorer, ipywidgets.Label)
    assert NAMES[int(distances.argmin())] in text.value
    assert f"{distances.min():.3f}" in text.value
    assert np.abs(face(explorer, -1, 200) - EMOJI[distances.argmin(), 0].numpy()).max() < 0.01


def test_the_path_of_an_interpolation_can_be_given():
    model, seen = vae(3), []

    def path(a, b, t):
        seen.append((a, b, t))
        return b

    widgets.interpolation_explorer(model, EMOJI, NAMES, start=(NAMES[3], NAMES[7]), path=path)
    mu = model.encode(EMOJI)[0]
    a, b, t = seen[-1]
    assert torch.equal(a, mu[3]) and torch.equal(b, mu[7]) and t == 0.5


def test_the_model_slider_shows_reconstruction_and_samples_of_the_chosen_model():
    models = {"0.5": vae(2), "1": vae(3)}
    explorer = widgets.model_explorer(models, EMOJI, NAMES, "beta (no unit)", start=4, samples=2, seed=7)
    (slider,), (text,) = parts(explorer, ipywidgets.SelectionSlider), parts(explorer, ipywidgets.Label)
    for key, model in models.items():
        slider.value = key
        codes = torch.randn(2, model.latent_dim, generator=torch.Generator().manual_seed(7))
        with torch.no_grad():
            logits, mu, logvar = model(EMOJI)
            samples = torch.sigmoid(model.decode(codes)).reshape(2, 20, 20)
        shown = [face(explorer, i, 120) for i in range(4)]
        for picture, expected in zip(shown, [EMOJI[4, 0], torch.sigmoid(logits)[4, 0], *samples], strict=True):
            assert np.abs(picture - expected.numpy()).max() < 0.01
        assert f"KL {training.kl_divergence(mu, logvar).sum(dim=1).mean():.2f} nats" in text.value
        assert f"error of all images {(torch.sigmoid(logits) - EMOJI).square().mean():.4f}" in text.value


def test_explorers_of_a_vae_refuse_other_models_and_bounds():
    plain = Autoencoder([400, 20, 3, 20, 400])
    with pytest.raises(ValueError, match="expected a VariationalAutoencoder, got Autoencoder"):
        widgets.dimension_explorer(plain, EMOJI, NAMES)
    with pytest.raises(ValueError, match="expected a VariationalAutoencoder, got Autoencoder"):
        widgets.model_explorer({"1": plain}, EMOJI, NAMES, "beta (no unit)")
    with pytest.raises(ValueError, match="models: expected at least one"):
        widgets.model_explorer({}, EMOJI, NAMES, "beta (no unit)")
    with pytest.raises(ValueError, match="bound: expected a number > 0, got 0"):
        widgets.dimension_explorer(vae(3), EMOJI, NAMES, bound=0)

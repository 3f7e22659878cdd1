"""What travels into the page with an instrument. That it decodes as PyTorch does: see browser/."""

import base64
import html
import io
import json
import re
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from helpers import page, widgets
from helpers.data import load_emoji, load_letters
from helpers.models import Autoencoder, UNet, VariationalAutoencoder
from helpers.page import packing
from helpers.page.pictures import code_bounds

LETTERS, LABELS = load_letters()
EMOJI, NAMES = load_emoji()


def unpack(text):
    """The opposite of `packing.pack`, as the script of the page does it."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(4, -1)
    zigzag = planes.T.copy().view("<u4").ravel().astype(np.int64)
    return (zigzag >> 1) ^ -(zigzag & 1)


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1)))
def test_packed_numbers_come_back(numbers):
    assert unpack(packing.pack(torch.tensor(numbers, dtype=torch.float64))).tolist() == numbers
    with pytest.raises(ValueError, match=r"below 2\^31 in size, got 2147483648"):
        packing.pack(torch.tensor([2.0**31]))


def decode(layers, codes):
    """What the script does with the packed layers of a dense decoder."""
    known = {"Tanh": torch.tanh, "ReLU": torch.relu, "Sigmoid": torch.sigmoid}
    known |= {"Identity": torch.clone, "SiLU": nn.functional.silu}
    for layer in layers:
        if layer["type"] == "Linear":
            bias = torch.tensor(unpack(layer["bias"])).double() * layer["step"]
            weight = torch.tensor(unpack(layer["weight"])).reshape(len(bias), -1).double()
            codes = codes @ weight.T * layer["step"] + bias
        else:
            codes = known[layer["type"]](codes)
    return codes


def decoder(sizes, activation, scale=1.0):
    torch.manual_seed(0)
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())][:-1]
    for layer in layers[0::2]:
        layer.weight.data *= scale
    return nn.Sequential(*layers)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Identity, nn.SiLU])
@pytest.mark.parametrize(
    ("sizes", "scale"), [((2, 17, 35), 1), ((2, 17, 35), 30), ((3, 50, 80, 400), 3), ((6, 400), 1)]
)
def test_packed_layers_decode_with_a_small_error(activation, sizes, scale):
    network, bounds = decoder(sizes, activation, scale), [(-3.0, 2.0)] * sizes[0]
    codes = torch.rand(5000, sizes[0], generator=torch.Generator().manual_seed(9)) * 5 - 3
    with torch.no_grad():
        exact = torch.sigmoid(network(codes))
    assert exact.std() > 0.05
    packed = packing.pack_decoder(network, bounds)
    found = float((decode(packed["layers"], codes.double()) - exact).abs().max())
    assert found <= 0.02
    assert 0 < packed["error"] <= packing.MOST_ERROR
    assert found == pytest.approx(packed["error"], rel=0.5)
    assert packed["layers"][0]["step"] > 2**-24  # no finer than needed


def test_units_that_are_always_zero_stay_at_home_but_no_pixel_is_left_out():
    network = decoder((2, 10, 12, 400), nn.ReLU)
    network[0].bias.data[3:] = -100  # seven of ten
    network[2].bias.data[5:] = -100
    network[4].bias.data[4] = -1000  # its sigmoid is exactly 0
    linear = packing.pack_decoder(network, [(-1.0, 1.0)] * 2)["layers"][0::2]
    weights = [len(unpack(layer["weight"])) for layer in linear]
    assert weights[0] <= 2 * 3 and weights[1] <= 3 * 5 and weights[2] <= 5 * 400
    assert len(unpack(linear[-1]["bias"])) == 400


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Linear(2, 4), nn.GELU()),
        (nn.Linear(2, 4, bias=False),),
        (nn.Conv2d(1, 1, 3),),  # no zeros around: the outputs are smaller
        (nn.Conv2d(1, 1, 3, padding=1, stride=2),),
        (nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1, track_running_stats=False)),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),),
        (nn.Conv2d(2, 2, 3, padding=1, groups=2),),
        (nn.Conv2d(1, 1, 5, padding=2),),
        (nn.MaxPool2d(2, stride=1),),
        (nn.Upsample(scale_factor=2, mode="bilinear"),),
        (nn.Upsample(scale_factor=1.5),),
        (nn.BatchNorm1d(4),),  # nothing before it
    ],
)
def test_layers_that_the_page_does_not_know_are_refused(layers):
    with pytest.raises(ValueError, match=r"expected layers of Linear, Conv2d, Identity, .* got"):
        packing.folded(layers)


def test_weights_that_cannot_be_rounded_are_refused(monkeypatch):
    monkeypatch.setattr(packing, "MOST_ERROR", -1)
    with pytest.raises(ValueError, match="can't be rounded"):
        packing.pack_decoder(decoder((2, 17, 35), nn.Tanh), [(0.0, 1.0)] * 2)


def lively(model):
    """A network with weights and running statistics as of a trained one, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (layer.running_mean, layer.bias.data):
                values.uniform_(-0.2, 0.2, generator=generator)
            for values in (layer.running_var, layer.weight.data):
                values.uniform_(0.7, 1.5, generator=generator)
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.weight.data *= 2
    return model.eval()


def normed():
    return Autoencoder([35, 20, 3, 20, 35], batch_norm=True, activation=nn.LeakyReLU)


@pytest.mark.parametrize("make", [normed, UNet, lambda: vae(2)])
def test_the_layers_compute_what_the_network_does(make):
    torch.manual_seed(0)
    model, images = lively(make()), {UNet: torch.rand(9, 1, 28, 28)}.get(make, LETTERS)
    if isinstance(model, VariationalAutoencoder):
        images = EMOJI
    outputs = model(images)
    exact = torch.sigmoid(outputs[0] if isinstance(outputs, tuple) else outputs)
    layers = packing.layers_of(model)
    assert exact.std() > 0.05
    assert torch.allclose(packing.run(layers, images).reshape(images.shape), exact, atol=1e-5)
    assert not any("Norm" in type(layer).__name__ for layer in layers)
    assert torch.equal(outputs[0], model(images)[0])  # the network stays as it was


def letter_map(labels=LABELS, **options):
    torch.manual_seed(0)
    return page.latent_map(Autoencoder([35, 17, 2, 17, 35]), LETTERS, labels, **options)


def vae(latent_dim):
    torch.manual_seed(latent_dim)
    return VariationalAutoencoder([400, 20], latent_dim)


def test_the_output_of_a_cell_has_the_page_and_a_still_picture():
    text = letter_map()._repr_html_()
    still = re.search(r'<figure><img alt="(.+?)" src="data:image/png;base64,(.+?)">', text)
    assert still[1].startswith("Map of the codes of 32 images")
    assert base64.b64decode(still[2]).startswith(b"\x89PNG")
    assert "Run this cell to play with it." in text
    inside = html.unescape(re.search(r'srcdoc="(.+?)"', text, re.DOTALL)[1])
    assert inside.startswith("<!doctype html>")
    assert not re.search(r"https?:|src=|import|fetch\(", inside)  # it asks nobody for anything
    assert len(text) < 60_000


@pytest.mark.parametrize("label", ["</script><b>", "<!--<script>", "<SCRIPT", "]]><"])
def test_a_label_is_only_a_label(label):
    plain, marked = letter_map().page(), letter_map(labels=[label, *LABELS[1:]]).page()
    assert label not in marked
    assert marked.count("<") == plain.count("<")
    assert label.replace("<", "\\u003c") in marked


def test_where_it_starts_and_what_it_shows():
    latent_map = page.latent_map(vae(5), EMOJI, NAMES, dimensions=(4, 2))
    mu = vae(5).encode(EMOJI)[0].detach()
    data = latent_map.data
    assert data["dimensions"] == [3, 1] and data["letters"] is False and data["shape"] == [20, 20]
    assert data["start"] == pytest.approx(mu.mean(dim=0).tolist())
    assert torch.tensor(data["codes"]) == pytest.approx(mu, abs=1e-4)
    assert unpack(data["images"]).tolist() == (255 * EMOJI).round().flatten().tolist()
    widest = (mu.std(dim=0).argsort(descending=True)[:2]).sort().values.tolist()
    assert page.latent_map(vae(5), EMOJI, NAMES).data["dimensions"] == widest
    assert letter_map(start=(0.25, 0.75)).data["start"] == [0.25, 0.75]
    assert letter_map().data["letters"] is True
    assert "Run this cell" in repr(latent_map)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (0.5,)}, "start: expected 2 numbers, got 1"),
        ({"start": (0.5, 1.5)}, r"expected a code on the map, within .*, got \[0.5, 1.5\]"),
        ({"start": (0.5, float("nan"))}, "start: expected a code on the map"),
        *(
            ({"dimensions": wrong}, "two different numbers from 1 to 2, got")
            for wrong in ((1, 1), (0, 1), (1, 2, 3), (1, 2, 1), (1.5, 2))
        ),
        ({"labels": ["a"]}, "expected 32 names.* got 1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        letter_map(**options)


def test_other_models_codes_of_one_number_and_weights_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"expected an Autoencoder or a Variational.*, got UNet"):
        page.latent_map(UNet(), EMOJI, NAMES)
    with pytest.raises(ValueError, match="latent_dim 2 or more, got 1"):
        page.latent_map(vae(1), EMOJI, NAMES)
    for part, message in (("encoder", "finite codes"), ("decoder", "finite weights")):
        model = vae(3)
        getattr(model, part)[0].weight.data[0, 0] = float("nan")
        with pytest.raises(ValueError, match=message):
            page.latent_map(model, EMOJI, NAMES)


BOUNDS = {  # lowest and highest code: bounds of a VAE, and of an autoencoder
    (0.0, 1.0): ((-0.5, 1.5), (0, 1)),
    (0.3, 0.3): ((-0.7, 1.3), (0, 1)),
    (-0.1, 0.9): ((-0.6, 1.4), (-0.25, 1.05)),
    (0.1, 1.1): ((-0.4, 1.6), (-0.05, 1.25)),
    (-2.0, 2.0): ((-2.6, 2.6), (-2.6, 2.6)),
    (5.0, 5.0): ((4, 6), (4.95, 5.05)),
}


@pytest.mark.parametrize("codes", BOUNDS)
def test_the_bounds_hold_all_codes_and_those_of_a_vae_are_at_least_2_wide(codes):
    two = torch.tensor([[codes[0], 0.0], [codes[1], 0.5]])
    for model, expected in zip((vae(2), Autoencoder([35, 2, 35])), BOUNDS[codes], strict=True):
        (a, b), _ = code_bounds(model, two)
        assert (a, b) == pytest.approx(expected, abs=0.0101)
        assert a <= codes[0] and codes[1] <= b
    (_, (a, b)) = code_bounds(vae(2), two)
    assert b - a >= 2


def pad(models=None, **options):
    torch.manual_seed(0)
    models = {"plain": Autoencoder([35, 17, 2, 17, 35])} if models is None else models
    return page.sketchpad(LETTERS, LABELS, models, **options)


def broken():
    model = Autoencoder([35, 17, 2, 17, 35])
    model.decoder[0].weight.data[0, 0] = float("nan")
    return model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": {}}, "models: expected name -> network, at least one"),
        ({"models": {1: UNet()}}, "models: expected name -> network"),
        ({"models": {"x": nn.Linear(35, 35)}}, "expected one of helpers.models, got Linear"),
        ({"models": {"x": broken()}}, "expected finite weights, got NaN"),
        (
            {"models": {"x": nn.Sequential(nn.Flatten(), nn.Linear(35, 4))}},
            r"x: expected a network for images of \(1, 7, 5\), got",
        ),
        (
            {"models": {"x": Autoencoder([36, 6, 36])}},
            r"x: expected a network for images of \(1, 7, 5\), got",
        ),
        ({"level": 1.5}, "level: expected None or a number from 0 to 1, got 1.5"),
        ({"level": float("nan")}, "level: expected"),
        ({"thresholds": {"other": 1.0}}, "thresholds: expected names of models, finite"),
        ({"thresholds": {"plain": float("nan")}}, "thresholds: expected .* finite"),
        ({"start": 32}, "start: expected an index below 32, got 32"),
        ({"classifier": nn.Sequential(nn.GELU())}, "expected layers of"),
        (
            {"models": {"wide": Autoencoder([35, 600, 300, 600, 35])}},
            r"sketchpad: expected a page of at most 300 KB, got \d+: give fewer",
        ),
    ],
)
def test_a_sketchpad_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        pad(**options)


def test_a_sketchpad_states_its_errors_and_has_a_still_picture():
    made = pad(thresholds={"plain": 0.02}, start=3)
    (model,) = made.data["models"]
    assert 0 < model["error"] <= packing.MOST_ERROR
    assert f"a pixel differs from Python's by at most {model['error']:.3f}." in made.page()
    assert made.description == "The picture c, and what plain make of it."
    assert made.still.startswith(b"\x89PNG") and "Sketchpad" in repr(made)


def film(outputs=None, codes=None, epochs=(0, 10, 20), labels=LABELS):
    outputs = LETTERS.expand(3, -1, -1, -1, -1) if outputs is None else outputs
    codes = torch.rand(3, 32, 2) if codes is None else codes
    return page.film(LETTERS, labels, epochs, {"run": (outputs, codes)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": (0,)}, "epochs: expected two or more that grow"),
        ({"epochs": (0, 20, 10)}, "epochs: expected two or more that grow"),
        ({"outputs": torch.zeros(2, 32, 1, 7, 5)}, r"expected outputs \(3, 32, 1, 7, 5\)"),
        ({"outputs": torch.full((3, 32, 1, 7, 5), 1.5)}, r"in \[0, 1\], got"),
        ({"outputs": torch.full((3, 32, 1, 7, 5), float("nan"))}, r"in \[0, 1\], got"),
        ({"codes": torch.zeros(3, 31, 2)}, r"expected codes \(3, 32, d\), d >= 2"),
        ({"codes": torch.zeros(3, 32, 1)}, r"expected codes \(3, 32, d\), d >= 2"),
        ({"codes": torch.full((3, 32, 2), float("inf"))}, "expected finite codes"),
        ({"labels": ["a"]}, "expected 32 names"),
    ],
)
def test_a_film_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        film(**options)


def test_a_film_without_runs_and_one_that_is_too_large_are_refused():
    with pytest.raises(ValueError, match="and a run"):
        page.film(LETTERS, LABELS, (0, 1), {})
    outputs = torch.rand(60, *EMOJI.shape, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="at most 300 KB, got"):
        page.film(EMOJI, NAMES, range(60), {"noise": (outputs, None)})


def test_a_film_tells_the_wrong_pixels_of_every_epoch():
    outputs = LETTERS.repeat(3, 1, 1, 1, 1)
    outputs[0, 4] = 1 - outputs[0, 4]
    made = film(outputs, torch.rand(3, 32, 5))
    (run,) = made.data["runs"]
    assert run["errors"] == [35, 0, 0]
    assert len(set(run["plane"])) == 2 and made.data["epochs"] == [0, 10, 20]
    assert (
        "codes"
        not in page.film(LETTERS, LABELS, (0, 1), {"a": (outputs[:2], None)}).data["runs"][0]
    )


def test_a_film_says_what_it_counts():
    made = page.film(
        LETTERS, LABELS, (0, 9), {"a": (LETTERS.expand(2, -1, -1, -1, -1), None)}, "step"
    )
    assert made.data["unit"] == "step" and made.description.endswith("at step 9.")


def test_all_maps_of_a_film_have_one_scale():
    near, far = torch.rand(3, 32, 2), 8 * torch.rand(3, 32, 2) - 4
    outputs = LETTERS.expand(3, -1, -1, -1, -1)
    made = page.film(LETTERS, LABELS, (0, 1, 2), {"near": (outputs, near), "far": (outputs, far)})
    low, high = made.data["bounds"]
    assert low == round(far.min().item(), 2) and high == round(far.max().item(), 2)
    for run, codes in zip(made.data["runs"], (near, far), strict=True):
        shares = torch.tensor(unpack(run["codes"])).reshape(-1, 3).cumsum(dim=1).T / 4095
        shown = low + (high - low) * shares.reshape(3, 32, 2)
        assert (shown - codes[..., run["plane"]]).abs().max() < 0.01


def frames_of(*controls, draw=lambda *values: (Image.new("RGB", (40, 30), "red"), str(values))):
    """What is in the flipbook of an explorer, or None."""
    text = widgets.explorer(controls, draw)._repr_mimebundle_().get("text/html")
    inside = text and html.unescape(re.search(r'srcdoc="(.+?)"', text, re.DOTALL)[1])
    return inside and json.loads(re.search(r"const data = (.+);\n", inside)[1])


def pictures_of(book):
    """The frames of a flipbook, from its sheet, where they stand one below the other."""
    sheet, (width, height) = Image.open(io.BytesIO(base64.b64decode(book["sheet"]))), book["size"]
    assert sheet.size == (width, height * len(book["values"]))
    tops = range(0, sheet.height, height)
    return [sheet.convert("RGB").crop((0, top, width, top + height)) for top in tops]


def test_a_flipbook_follows_the_first_slider_of_numbers():
    choice, again = widgets.choice("letter", ["a", "b", "c"], 1), widgets.button("again")
    count = widgets.slider("flips (count)", 0, 35, 4, step=1)
    share = widgets.slider("t (share)", 0.0, 1.0, 0.37, 0.01)
    assert frames_of(again) is None
    book = frames_of(choice, again)
    assert book["values"] == ["a", "b", "c"] and book["start"] == 1
    book = frames_of(choice, count)
    assert len(book["values"]) == 21 and book["name"] == "flips (count)"
    assert all(np.abs(np.asarray(one, int) - (255, 0, 0)).max() < 9 for one in pictures_of(book))
    assert book["values"][book["start"]] == "4" and book["texts"][-1] == "(1, 35)"
    book = frames_of(choice, count, share)
    assert book["values"][:2] == ["0.00", "0.05"] and book["values"][book["start"]] == "0.37"
    assert book["texts"][book["start"]] == "(1, 4, 0.37)" and len(book["values"]) == 21
    few = widgets.slider("dimensions (count)", 1, 3, 3, step=1)
    assert frames_of(few)["values"] == ["1", "2", "3"]


def test_a_flipbook_shows_where_a_drawing_fails_and_what_it_takes_many_bytes_for():
    def fails(n):
        return (Image.new("RGB", (40, 30), "red"), "well") if n < 3 else 1 / 0

    assert frames_of(widgets.slider("n (count)", 0, 3, 0, step=1), draw=fails)["texts"] == [
        *["well"] * 3,
        "ZeroDivisionError: division by zero",
    ]

    def noisy(n):
        grey = np.random.default_rng(n).integers(0, 256, (300, 900), dtype=np.uint8)
        return Image.fromarray(grey), "noise"

    book = frames_of(widgets.slider("n (count)", 0, 5, 0, step=1), draw=noisy)
    assert book["size"][0] < book["width"] == 900 and len(pictures_of(book)) == 6


def test_a_flipbook_keeps_the_pictures_of_a_noise_explorer_as_they_are():
    explorer = widgets.noise_explorer(EMOJI, NAMES, {"same": lambda noisy, level: noisy}, level=0.1)
    book = frames_of(*explorer.controls, draw=explorer.draw)
    picture = Image.open(io.BytesIO(explorer.picture.value)).convert("RGB")
    shown = pictures_of(book)[book["start"]]
    assert book["size"][0] == book["width"] == picture.width  # no smaller: captions stay sharp
    assert np.abs(np.asarray(shown, int) - np.asarray(picture, int)).mean() < 4


def test_a_flipbook_of_tall_pictures_is_smaller_than_webp_allows():
    """As the sliders of a code of 32 numbers, whose lines are 1122 pixels high."""
    count = widgets.slider("n (count)", 0, 30, 0, step=1)
    book = frames_of(count, draw=lambda n: (Image.new("RGB", (300, 1122), "white"), "tall"))
    assert book["size"] == [150, 561] and book["width"] == 300
    assert all(one.getcolors() == [(150 * 561, (255, 255, 255))] for one in pictures_of(book))

"""What travels into the page with a latent map. That the page decodes it as PyTorch does is tested in browser/."""

import base64
import html
import re
import zlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers import page, widgets
from helpers.data import load_emoji, load_letters
from helpers.models import Autoencoder, Linear, UNet, VariationalAutoencoder

LETTERS, LABELS = load_letters()
EMOJI, NAMES = load_emoji()


def unpack(text):
    """The opposite of `page.pack`, as the script of the page does it."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(4, -1)
    zigzag = planes.T.copy().view("<u4").ravel().astype(np.int64)
    return (zigzag >> 1) ^ -(zigzag & 1)


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1)))
def test_packed_numbers_come_back(numbers):
    assert unpack(page.pack(torch.tensor(numbers, dtype=torch.float64))).tolist() == numbers


def test_numbers_too_large_to_pack():
    with pytest.raises(ValueError, match=r"below 2\^31 in size, got 2147483648"):
        page.pack(torch.tensor([2.0**31]))


def decode(layers, codes):
    """What the script does with packed layers."""
    activations = {"Tanh": torch.tanh, "ReLU": torch.relu, "Sigmoid": torch.sigmoid, "Identity": lambda x: x}
    for layer in layers:
        bias = torch.tensor(unpack(layer["bias"])).double() * layer["step"]
        weight = torch.tensor(unpack(layer["weight"])).reshape(len(bias), -1).double() * layer["step"]
        codes = activations[layer["activation"]](codes @ weight.T + bias)
    return codes


def decoder(sizes, activation, scale=1.0):
    torch.manual_seed(0)
    layers = [layer for a, b in pairwise(sizes) for layer in (Linear(a, b), activation())][:-1]
    for layer in layers[0::2]:
        layer.weight.data *= scale
    return nn.Sequential(*layers)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Identity])
@pytest.mark.parametrize(
    ("sizes", "scale"), [((2, 17, 35), 1), ((2, 17, 35), 30), ((3, 50, 80, 400), 3), ((6, 400), 1)]
)
def test_packed_layers_decode_with_a_small_error(activation, sizes, scale):
    network, bounds = decoder(sizes, activation, scale), [(-3.0, 2.0)] * sizes[0]
    codes = torch.rand(5000, sizes[0], generator=torch.Generator().manual_seed(9)) * 5 - 3
    with torch.no_grad():
        exact = torch.sigmoid(network(codes))
    assert exact.std() > 0.05
    packed = page.pack_decoder(network, bounds)
    assert float((decode(packed, codes.double()) - exact).abs().max()) <= 0.02


def test_units_that_are_always_zero_stay_at_home():
    network = decoder((2, 10, 12, 400), nn.ReLU)
    network[0].bias.data[3:] = -100  # seven of ten
    network[2].bias.data[5:] = -100
    weights = [unpack(layer["weight"]) for layer in page.pack_decoder(network, [(-1.0, 1.0)] * 2)]
    assert len(weights[0]) <= 2 * 3
    assert len(weights[1]) <= 3 * 5
    assert len(weights[2]) <= 5 * 400


def test_no_pixel_is_left_out():
    network = decoder((2, 17, 35), nn.Tanh)
    network[2].bias.data[4] = -1000  # its sigmoid is exactly 0
    assert len(unpack(page.pack_decoder(network, [(0.0, 1.0)] * 2)[-1]["bias"])) == 35


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 4)),
        nn.Sequential(nn.Conv2d(1, 1, 1)),
        nn.Sequential(nn.Linear(2, 4, bias=False)),
    ],
)
def test_layers_that_the_page_does_not_know(network):
    with pytest.raises(ValueError, match="expected a decoder of Linear layers, with biases, and Tanh, ReLU"):
        page.pack_decoder(network, [(0.0, 1.0)] * 2)


def test_weights_that_cannot_be_rounded():
    network = decoder((2, 17, 35), nn.Tanh)
    network[0].weight.data[:] = float("nan")
    with pytest.raises(ValueError, match="can't be rounded"):
        page.pack_decoder(network, [(0.0, 1.0)] * 2)


def letter_map(labels=LABELS, **options):
    torch.manual_seed(0)
    return widgets.latent_map(Autoencoder([35, 17, 2, 17, 35]), LETTERS, labels, **options)


def vae(latent_dim):
    torch.manual_seed(latent_dim)
    return VariationalAutoencoder([400, 20], latent_dim)


def test_the_output_of_a_cell_has_the_page_and_a_still_picture():
    text = letter_map()._repr_html_()
    still = re.search(r'<figure><img alt="(.+?)" src="data:image/png;base64,(.+?)">', text)
    assert still[1].startswith("Map of the codes of 32 images")
    assert base64.b64decode(still[2]).startswith(b"\x89PNG")
    assert "Run this cell to get the map." in text
    inside = html.unescape(re.search(r'srcdoc="(.+?)"', text, re.DOTALL)[1])
    assert inside.startswith("<!doctype html>")
    assert not re.search(r"https?:|src=|import|fetch\(", inside)  # it asks nobody for anything
    assert len(text) < 60_000


def test_a_label_is_only_a_label():
    latent_map = letter_map(labels=["</script><b>", *LABELS[1:]])
    assert "</script><b>" not in latent_map.page()
    assert latent_map.page().count("</script>") == 1


def test_where_it_starts_and_what_it_shows():
    latent_map = widgets.latent_map(vae(5), EMOJI, NAMES, dimensions=(4, 2))
    mu, _ = vae(5).encode(EMOJI)
    assert latent_map.data["dimensions"] == [3, 1]
    assert latent_map.data["start"] == pytest.approx(mu.mean(dim=0).tolist())
    assert torch.tensor(latent_map.data["codes"]) == pytest.approx(mu.detach(), abs=1e-4)
    assert unpack(latent_map.data["images"]).tolist() == (255 * EMOJI).round().flatten().tolist()

    widest = (mu.std(dim=0).argsort(descending=True)[:2]).sort().values.tolist()
    assert widgets.latent_map(vae(5), EMOJI, NAMES).data["dimensions"] == widest
    assert letter_map(start=(0.25, 0.75)).data["start"] == [0.25, 0.75]
    assert "Run this cell" in repr(latent_map)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (0.5,)}, "start: expected 2 numbers, got 1"),
        ({"start": (0.5, 1.5)}, r"start: expected a code on the map, within .*, got \[0.5, 1.5\]"),
        ({"start": (0.5, float("nan"))}, "start: expected a code on the map"),
        ({"dimensions": (1, 1)}, "two different numbers from 1 to 2, got"),
        ({"dimensions": (0, 1)}, "two different numbers from 1 to 2, got"),
        ({"dimensions": (1, 2, 3)}, "two different numbers from 1 to 2, got"),
        ({"dimensions": (1, 2, 1)}, "two different numbers from 1 to 2, got"),
        ({"dimensions": (1.5, 2)}, "two different numbers from 1 to 2, got"),
        ({"labels": ["a"]}, "expected 32 labels, got 1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        letter_map(**options)


def test_other_models_are_refused():
    with pytest.raises(ValueError, match="expected an Autoencoder or a VariationalAutoencoder, got UNet"):
        widgets.latent_map(UNet(), EMOJI, NAMES)


def test_a_collapsed_network_has_a_map_too():
    model = vae(3)
    for layer in model.encoder:
        if isinstance(layer, nn.Linear):
            layer.weight.data.zero_(), layer.bias.data.zero_()
    for low, high in widgets.latent_map(model, EMOJI, NAMES).data["bounds"]:
        assert high - low >= 1


def test_a_code_of_one_number():
    with pytest.raises(ValueError, match="latent_dim 2 or more, got 1"):
        widgets.latent_map(vae(1), EMOJI, NAMES)

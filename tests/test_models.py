"""The dense autoencoder: shapes, layers, errors."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from helpers.models import Autoencoder

SIZES = [[35, 2, 35], [35, 17, 2, 17, 35], [35, 25, 12, 3, 12, 25, 35]]


@pytest.fixture
def images():
    return torch.rand(6, 1, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sizes", SIZES)
def test_shapes(sizes, images):
    model = Autoencoder(sizes)
    latent_dim = min(sizes)
    assert (model.pixels, model.latent_dim) == (35, latent_dim)
    assert model(images).shape == (6, 1, 7, 5)
    assert model(images.flatten(1)).shape == (6, 35)
    assert model.encode(images).shape == model.encode(images.flatten(1)).shape == (6, latent_dim)
    assert model.decode(model.encode(images)).shape == (6, 35)
    assert model(images[:1]).shape == (1, 1, 7, 5)
    strips = images.reshape(6, 1, 1, 35)
    assert model.encode(strips).shape == (6, latent_dim) and model(strips).shape == strips.shape


@pytest.mark.parametrize("sizes", SIZES)
def test_forward_is_decode_after_encode_for_images_and_rows(sizes, images):
    model = Autoencoder(sizes)
    logits = model.decode(model.encode(images))
    assert torch.equal(model(images), logits.reshape(6, 1, 7, 5))
    assert torch.equal(model(images.flatten(1)), logits)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("code_activation", [nn.Sigmoid, nn.Identity])
def test_the_layers_by_hand(sizes, activation, code_activation, images):
    """Affine maps with an activation between them, another one for the code, and none after the last."""
    model = Autoencoder(sizes, activation=activation, code_activation=code_activation)
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(sizes))
    values = images.flatten(1)
    for i, layer in enumerate(linear, start=1):
        values = values @ layer.weight.T + layer.bias
        if i == len(linear) // 2:
            values = code_activation()(values)
            assert torch.allclose(model.encode(images), values, atol=1e-5)
        elif i < len(linear):
            values = activation()(values)
    assert torch.allclose(model(images).flatten(1), values, atol=1e-5)


def test_a_sigmoid_code_stays_inside_0_and_1_and_a_free_one_does_not(images):
    codes = {}
    for code_activation in (nn.Sigmoid, nn.Identity):
        torch.manual_seed(0)
        model = Autoencoder([35, 17, 2, 17, 35], code_activation=code_activation)
        with torch.no_grad():
            model.encoder[-2].bias.copy_(torch.tensor([5.0, -5.0]))
        codes[code_activation] = model.encode(images)
    limited, free = codes[nn.Sigmoid], codes[nn.Identity]
    assert (limited > 0).all() and (limited < 1).all()
    assert (free[:, 0] > 1).all() and (free[:, 1] < 0).all()


def test_logits_are_not_limited(images):
    model = Autoencoder([35, 2, 35])
    with torch.no_grad():
        model.decoder[-1].bias.fill_(7)
    assert (model(images) > 1).all()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([35, 17, 2, 18, 35], "forwards and backwards"),
        ([35, 17, 2, 17, 36], "forwards and backwards"),
        ([35, 2, 2, 35], "forwards and backwards"),
        ([35, 35], "forwards and backwards"),
        ([35], "forwards and backwards"),
        ([], "forwards and backwards"),
        ([35, 0, 35], "whole numbers > 0"),
        ([35, -2, 35], "whole numbers > 0"),
        ([35, 2.0, 35], "whole numbers > 0"),
        ([35, "2", 35], "whole numbers > 0"),
    ],
)
def test_wrong_sizes_are_refused(sizes, expected):
    with pytest.raises(ValueError, match=expected) as error:
        Autoencoder(sizes)
    assert str(sizes) in str(error.value)


@pytest.mark.parametrize("shape", [(4, 1, 6, 6), (4, 36), (4, 1, 28, 28), (4, 34), (1, 1), (4, 1, 2, 35)])
@pytest.mark.parametrize("method", ["encode", "forward"])
def test_images_of_another_size_are_refused(shape, method):
    pixels = torch.zeros(shape)[0].numel()
    with pytest.raises(ValueError, match=rf"\b35 pixels.*{pixels}\b"):
        getattr(Autoencoder([35, 2, 35]), method)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (4, 35)])
def test_codes_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=rf"\(N, 2\).*\({shape[0]}, {shape[1]}\)"):
        Autoencoder([35, 2, 35]).decode(torch.zeros(shape))


def test_every_weight_gets_a_gradient(images):
    model = Autoencoder([35, 17, 2, 17, 35])
    model(images).square().sum().backward()
    assert all(weights.grad.abs().sum() > 0 for weights in model.parameters())

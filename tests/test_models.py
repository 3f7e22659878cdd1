"""The dense autoencoder, the U-Net and the variational autoencoder: shapes, layers, errors."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from helpers.models import Autoencoder, UNet, VariationalAutoencoder, sampling_noise

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


# --- batch normalisation ---------------------------------------------------------------------------------------------


def test_batch_norm_stands_before_the_activation_of_hidden_layers_only():
    model = Autoencoder([35, 17, 8, 2, 8, 17, 35], activation=nn.ReLU, batch_norm=True)
    half = ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in model.encoder] == [*half, "Sigmoid"]
    assert [type(layer).__name__ for layer in model.decoder] == half
    assert [layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)] == [17, 8, 8, 17]
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in Autoencoder([35, 17, 2, 17, 35]).modules())


def test_networks_with_batch_norm_do_not_say_that_they_take_stacked_weights():
    assert Autoencoder([35, 17, 2, 17, 35]).takes_stacked_weights
    assert not Autoencoder([35, 17, 2, 17, 35], batch_norm=True).takes_stacked_weights


# --- U-Net -----------------------------------------------------------------------------------------------------------


def make_unet(*args):
    torch.manual_seed(0)
    return UNet(*args)


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels", [(32, 24), [3, 5], (1, 1)])
@pytest.mark.parametrize("shape", [(2, 1, 28, 28), (1, 1, 4, 4), (3, 1, 20, 8)])
def test_the_unet_keeps_the_shape(channels, shape):
    model = make_unet(channels).eval()
    assert model(noise(*shape)).shape == shape


def test_the_weights_of_the_unet_are_counted():
    assert sum(weights.numel() for weights in UNet().parameters()) == 30_756
    half, quarter = 6, 5
    convolutions = 9 * (4 * half + half * quarter + quarter**2 + (quarter + half) * half + half * 4) + 4
    normalised = 2 * (half + quarter + quarter + half)
    assert sum(weights.numel() for weights in UNet((half, quarter)).parameters()) == convolutions + normalised


@pytest.mark.parametrize("channels", [(), (32,), (32, 24, 16), (32, 0), (-1, 24), (32.0, 24), ("32", 24)])
def test_the_unet_refuses_other_channels(channels):
    with pytest.raises(ValueError, match="two whole numbers > 0") as error:
        UNet(channels)
    assert str(channels) in str(error.value)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (2, 3, 28, 28), (2, 1, 28, 30), (2, 1, 7, 5), (2, 784)])
def test_the_unet_refuses_images_that_it_cannot_halve_twice(shape):
    with pytest.raises(ValueError, match="multiples of 4") as error:
        UNet()(torch.zeros(shape))
    assert str(shape) in str(error.value)


def test_the_output_of_the_unet_depends_on_every_pixel_and_each_image_stands_alone():
    model = make_unet().eval()
    images = noise(3, 1, 28, 28).requires_grad_()
    model(images)[1].square().sum().backward()
    seen = images.grad.abs().sum(dim=1)
    assert (seen[1] > 0).float().mean() > 0.99
    assert (seen[0] == 0).all() and (seen[2] == 0).all()


@pytest.mark.parametrize(("off", "differs"), [("middle", True), ("down_1", False)])
def test_what_was_seen_at_half_of_the_resolution_is_handed_across(off, differs):
    """Without the way through a quarter of the resolution the output still depends on the image."""
    model = make_unet().eval()
    for layer in getattr(model, off):
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
    first, second = model(noise(2, 1, 8, 8))
    assert ((first - second).abs().max() > 1e-3) == differs


def test_the_logits_of_the_unet_are_not_limited():
    model = make_unet().eval()
    for value in (-7, 7):
        torch.nn.init.constant_(model.up[3].bias, value)
        assert (model(noise(1, 1, 8, 8)).sign() == value / 7).all()


def test_every_weight_of_the_unet_gets_a_gradient():
    model = make_unet()
    model(noise(4, 1, 28, 28)).square().sum().backward()
    assert all(weights.grad.abs().sum() > 0 for weights in model.parameters())


# ---- the variational autoencoder -------------------------------------------------------------------------------------


@given(latent_dim=st.integers(1, 32), count=st.integers(1, 3))
def test_a_vae_has_the_shapes_that_it_says(latent_dim, count):
    model = VariationalAutoencoder([400, 20, 10], latent_dim)
    images, epsilon = torch.rand(count, 1, 20, 20), torch.randn(count, latent_dim)
    mu, logvar = model.encode(images)
    assert mu.shape == logvar.shape == (count, latent_dim)
    assert model.decode(mu).shape == (count, 400)
    logits, *code = model(images, epsilon)
    assert logits.shape == images.shape
    assert torch.equal(code[0], mu)
    assert torch.equal(code[1], logvar)
    assert torch.allclose(model(images.flatten(1), epsilon)[0], logits.flatten(1))


def test_without_epsilon_a_vae_decodes_the_mean_and_draws_nothing():
    model, images = VariationalAutoencoder([400, 20], 3), torch.rand(2, 1, 20, 20)
    state = torch.get_rng_state()
    logits, mu, _ = model(images)
    assert torch.equal(logits.flatten(1), model.decode(mu))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.allclose(model(images, torch.ones(2, 3))[0], logits)


def test_reparameterize_gives_the_mean_and_the_variance_that_it_is_told():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * math.log(3)]])
    epsilon = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    codes = VariationalAutoencoder.reparameterize(mu.expand_as(epsilon), logvar.expand_as(epsilon), epsilon)
    assert torch.allclose(codes.mean(dim=0), mu[0], atol=0.03)
    assert torch.allclose(codes.std(dim=0), torch.tensor([1.0, 3.0]), atol=0.03)


def test_sampling_noise_leaves_the_images_alone_and_draws_from_its_generator():
    images = torch.rand(5, 4, 1, 20, 20)
    noise = sampling_noise(3)
    same, epsilon = noise(images, generator=torch.Generator().manual_seed(1))
    assert torch.equal(same, images)
    assert epsilon.shape == (5, 4, 3)
    assert torch.equal(noise(images, generator=torch.Generator().manual_seed(1))[1], epsilon)
    assert not torch.equal(noise(images, generator=torch.Generator().manual_seed(2))[1], epsilon)


@pytest.mark.parametrize(
    ("sizes", "latent_dim"), [([400], 2), ([400, 0], 2), ([400, 20], 0), ([400, 20.5], 2), ([400, 20], 2.0)]
)
def test_a_vae_refuses_sizes_that_are_none(sizes, latent_dim):
    with pytest.raises(ValueError, match="expected at least two sizes and a latent_dim"):
        VariationalAutoencoder(sizes, latent_dim)


def test_a_vae_refuses_other_images_and_codes():
    model = VariationalAutoencoder([400, 20], 2)
    with pytest.raises(ValueError, match=r"expected images with 400 pixels.*\(3, 1, 7, 5\)"):
        model.encode(torch.rand(3, 1, 7, 5))
    with pytest.raises(ValueError, match=r"expected codes of shape \(N, 2\), got \(3, 4\)"):
        model.decode(torch.rand(3, 4))
    with pytest.raises(ValueError, match=r"of one shape, got \(3, 2\), \(3, 2\) and \(3, 1\)"):
        model(torch.rand(3, 1, 20, 20), torch.rand(3, 1))

"""The dense autoencoder, the U-Net and the variational autoencoder: shapes, layers, errors."""

import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from helpers.models import Autoencoder, UNet, VariationalAutoencoder, normal_like

SIZES = [[35, 2, 35], [35, 17, 2, 17, 35], [35, 25, 12, 3, 12, 25, 35]]
MAKERS = [
    lambda **settings: Autoencoder([35, 2, 35], **settings),
    lambda **settings: VariationalAutoencoder([35, 9], 2, **settings),
]


@pytest.fixture
def images():
    return torch.rand(6, 1, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", MAKERS)
def test_the_shape_of_the_images(make):
    assert Autoencoder([784, 9, 784]).shape == (28, 28) and make().shape == (7, 5)
    assert VariationalAutoencoder([400, 9], 2).shape == (20, 20)
    model = make(shape=[5, 7]).eval()
    assert model.shape == (5, 7) and model.encode(torch.rand(2, 1, 5, 7))[0].shape[-1:] == (2,)
    assert model.decode(torch.rand(3, 2)).shape == (3, 1, 5, 7)
    for wrong in ((7, 6), (35,), (7, 5, 1)):
        with pytest.raises(ValueError, match="shape: expected height x width = 35"):
            make(shape=wrong)
    with pytest.raises(ValueError, match=r"shape: expected height x width = 12, got \(3, 3\)"):
        Autoencoder([12, 2, 12])


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("code_activation", [nn.Sigmoid, nn.Identity])
def test_the_layers_by_hand(sizes, activation, code_activation, images):
    """Affine maps, an activation between them, another for the code, none after the last."""
    model = Autoencoder(sizes, activation=activation, code_activation=code_activation)
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(sizes))
    assert model.latent_dim == min(sizes)
    linear[-1].bias.data += 7  # logits have no limits
    values = images.flatten(1)
    for i, layer in enumerate(linear, start=1):
        values = values @ layer.weight.T + layer.bias
        if i == len(linear) // 2:
            codes = values = code_activation()(values)
            assert torch.allclose(model.encode(images), values, atol=1e-5)
        elif i < len(linear):
            values = activation()(values)
    logits = values.reshape(6, 1, 7, 5)
    assert torch.allclose(model(images), logits, atol=1e-5)
    assert torch.allclose(model.decode(codes), logits, atol=1e-5)
    stacked = torch.stack([images.flip(0), images])  # what Stack hands on
    assert torch.allclose(model(stacked)[1], logits, atol=1e-5)


OTHER_NUMBERS = [[35, 17, 2, 18, 35], [35, 17, 2, 17, 36], [35, 2, 2, 35], [35, 35], [35], []]
NO_NUMBERS = [[35, 0, 35], [35, -2, 35], [35, 2.0, 35], [35, "2", 35]]


@pytest.mark.parametrize("sizes", [*OTHER_NUMBERS, *NO_NUMBERS])
def test_wrong_sizes_are_refused(sizes):
    expected = "whole numbers > 0" if sizes in NO_NUMBERS else "expected such as"
    with pytest.raises(ValueError, match=f"{expected}.*{re.escape(str(sizes))}"):
        Autoencoder(sizes)


@pytest.mark.parametrize("make", MAKERS)
def test_images_and_codes_of_another_shape_are_refused(make):
    model = make()
    for shape in ((4, 1, 6, 6), (4, 35), (4, 1, 5, 7), (4, 3, 7, 5), (1, 7, 5)):
        for method in (model, model.encode):
            got = re.escape(f"images: expected shape (N, 1, 7, 5), got {shape}")
            with pytest.raises(ValueError, match=got):
                method(torch.zeros(shape))
    for shape in ((4, 3), (4, 1), (2,)):
        with pytest.raises(ValueError, match=r"codes: expected shape \(N, 2\), got"):
            model.decode(torch.zeros(shape))


# --- batch normalisation ---


def test_batch_norm_stands_before_the_activation_of_hidden_layers_only():
    model = Autoencoder([35, 17, 8, 2, 8, 17, 35], activation=nn.ReLU, batch_norm=True)
    half = ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in model.encoder] == [*half, "Sigmoid"]
    assert [type(layer).__name__ for layer in model.decoder] == half
    widths = [layer.num_features for layer in model.modules() if hasattr(layer, "num_features")]
    assert widths == [17, 8, 8, 17] and "BatchNorm" not in str(Autoencoder([35, 17, 2, 17, 35]))


def test_batch_norm_gives_hidden_numbers_mean_0_and_deviation_1_in_training(images):
    model = Autoencoder([35, 17, 2, 17, 35], batch_norm=True)
    hidden = model.encoder[:2](images.flatten(1))
    assert torch.allclose(hidden.mean(dim=0), torch.zeros(17), atol=1e-5)
    assert torch.allclose(hidden.std(dim=0, correction=0), torch.ones(17), atol=0.05)
    model.eval()  # the other images do not matter any more
    assert torch.allclose(model(images)[:1], model(images[:1]), atol=1e-6)


# --- U-Net ---


def make_unet():
    torch.manual_seed(0)
    return UNet()


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def test_the_unet_has_as_many_weights_as_it_should_and_keeps_the_shape():
    half, quarter = 32, 24
    kernels = 4 * half + half * quarter + quarter**2 + (quarter + half) * half + half * 4
    normalised, model = 2 * (half + quarter + quarter + half), make_unet().eval()
    assert sum(weights.numel() for weights in model.parameters()) == 9 * kernels + 4 + normalised
    for shape in ((2, 1, 28, 28), (1, 1, 4, 4), (3, 1, 20, 8)):
        assert model(noise(*shape)).shape == shape


def test_the_unet_refuses_images_that_it_cannot_halve_twice():
    for shape in ((28, 28), (1, 28, 28), (2, 3, 28, 28), (2, 1, 28, 30), (2, 1, 7, 5), (2, 784)):
        with pytest.raises(ValueError, match=f"multiples of 4.*{re.escape(str(shape))}"):
            UNet()(torch.zeros(shape))


def test_every_weight_of_the_unet_counts_and_every_pixel_of_the_same_image():
    model, images = make_unet().eval(), noise(3, 1, 28, 28).requires_grad_()
    model(images)[1].square().sum().backward()
    seen = images.grad.abs().sum(dim=1)
    assert (seen[1] > 0).float().mean() > 0.99
    assert (seen[0] == 0).all() and (seen[2] == 0).all()
    assert all(weights.grad.abs().sum() > 0 for weights in model.parameters())


@pytest.mark.parametrize(
    ("off", "low", "high"), [(None, 5, 19), ("middle", 2, 7), ("down_1", 0, 0)]
)
def test_a_change_of_one_pixel_is_seen_nearby_only(off, low, high):
    """Farther than one 3x3 convolution at half of the resolution. Without the way through a quarter
    of it the skip hands across what was seen at half."""
    model, images = make_unet().eval(), noise(1, 1, 64, 64)
    for layer in getattr(model, off) if off else []:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
    changed = images.clone()
    changed[0, 0, 32, 32] = 5
    distances = ((model(images) - model(changed))[0, 0].nonzero() - 32).tolist() or [[0, 0]]
    for places in zip(*distances, strict=True):
        assert low <= max(places) <= high and low <= -min(places) <= high


def test_the_logits_of_the_unet_are_not_limited():
    model = make_unet().eval()
    for value in (-7, 7):
        torch.nn.init.constant_(model.up[3].bias, value)
        assert (model(noise(1, 1, 8, 8)).sign() == value / 7).all()


# --- the variational autoencoder ---


@pytest.mark.parametrize("latent_dim", [1, 3, 32])
@pytest.mark.parametrize("count", [1, 3])
def test_a_vae_has_the_shapes_and_the_layers_that_it_says(latent_dim, count):
    model = VariationalAutoencoder([400, 20, 10], latent_dim, activation=nn.SiLU)
    images = torch.rand(count, 1, 20, 20)
    mu, logvar = model.encode(images)
    assert mu.shape == logvar.shape == (count, latent_dim)
    assert model.decode(mu).shape == (count, 1, 20, 20)
    logits, *code = model(images)
    assert logits.shape == images.shape
    assert torch.equal(code[0], mu) and torch.equal(code[1], logvar)
    assert torch.equal(model.encoder(images.flatten(1)), torch.cat([mu, logvar], dim=1))
    per_image = model.eval()(torch.stack([images, images]))[1:]  # as a stack hands them on
    assert all(
        torch.allclose(part[1], other, atol=1e-5)
        for part, other in zip(per_image, code, strict=True)
    )
    names = ["Linear", "SiLU", "Linear", "SiLU", "Linear"]
    for half, widths in ((model.encoder, [400, 20, 10]), (model.decoder, [latent_dim, 10, 20])):
        assert [type(layer).__name__ for layer in half] == names
        assert [layer.in_features for layer in half[::2]] == widths


def test_in_training_a_vae_draws_the_code_from_its_generator_else_it_is_the_mean():
    model, images = VariationalAutoencoder([400, 20], 3), torch.rand(2, 1, 20, 20)
    state, model.generator = torch.get_rng_state(), torch.Generator().manual_seed(4)
    logits, mu, logvar = model(images)
    epsilon = torch.randn(2, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(logits, model.decode(mu + (logvar / 2).exp() * epsilon))
    assert not torch.equal(model(images)[0], logits)  # the generator goes on
    assert torch.equal(model.eval()(images)[0], model.decode(mu))
    assert torch.equal(torch.get_rng_state(), state)
    model.generator = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        assert torch.equal(model.eval()(images)[0], model.decode(mu))
        assert torch.equal(model.train()(images)[0], logits)


def test_normal_like():
    for dtype in (torch.float32, torch.float64):
        drawn = normal_like(torch.zeros(2, 50_000, dtype=dtype), torch.Generator().manual_seed(0))
        assert drawn.shape == (2, 50_000) and drawn.dtype == dtype
        assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02


def test_reparameterize_gives_the_mean_and_the_variance_that_it_is_told():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * math.log(3)]])
    codes = VariationalAutoencoder.reparameterize(mu, logvar, torch.tensor([[2.0, -0.5]]))
    assert torch.allclose(codes, torch.tensor([[3.0, -3.5]]))
    with pytest.raises(ValueError, match=r"one shape, got \[\(1, 2\), \(1, 2\), \(1, 1\)\]"):
        VariationalAutoencoder.reparameterize(mu, logvar, torch.zeros(1, 1))


@pytest.mark.parametrize(
    ("sizes", "latent_dim"), [([400, 0], 2), ([400, 20], 0), ([400, 20.5], 2), ([400, 20], 2.0)]
)
def test_a_vae_refuses_sizes_that_are_none(sizes, latent_dim):
    with pytest.raises(ValueError, match=r"(sizes|latent_dim): expected whole numbers > 0"):
        VariationalAutoencoder(sizes, latent_dim)
    with pytest.raises(ValueError, match=r"sizes: expected at least two, got \[400\]"):
        VariationalAutoencoder([400], 2)

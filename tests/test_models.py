"""The dense autoencoder, the U-Net and the variational autoencoder: shapes, layers, errors."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from helpers.models import Autoencoder, UNet, VariationalAutoencoder, normal_like

SIZES = [[35, 2, 35], [35, 17, 2, 17, 35], [35, 25, 12, 3, 12, 25, 35]]


@pytest.fixture
def images():
    return torch.rand(6, 1, 7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sizes", SIZES)
def test_shapes(sizes, images):
    model = Autoencoder(sizes)
    assert (model.shape, model.latent_dim) == ((7, 5), min(sizes))
    codes = model.encode(images)
    assert codes.shape == (6, min(sizes)) and model(images).shape == (6, 1, 7, 5)
    assert torch.equal(model.decode(codes), model(images))
    assert model(images[:1]).shape == (1, 1, 7, 5)
    stacked = torch.stack([images, images.flip(0)])  # what Stack hands on
    assert torch.allclose(model(stacked)[1], model(images.flip(0)), atol=1e-6)


def test_the_shape_of_the_images():
    assert Autoencoder([784, 9, 784]).shape == (28, 28)
    assert VariationalAutoencoder([400, 9], 2).shape == (20, 20)
    assert VariationalAutoencoder([35, 9], 2).shape == (7, 5)
    model = Autoencoder([35, 2, 35], shape=[5, 7])
    assert model.shape == (5, 7) and model(torch.rand(2, 1, 5, 7)).shape == (2, 1, 5, 7)
    for wrong in ((7, 6), (35,), (7, 5, 1)):
        for make in (
            lambda shape: Autoencoder([35, 2, 35], shape=shape),
            lambda shape: VariationalAutoencoder([35, 9], 2, shape=shape),
        ):
            with pytest.raises(ValueError, match="shape: expected height x width = 35"):
                make(wrong)
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
    values = images.flatten(1)
    for i, layer in enumerate(linear, start=1):
        values = values @ layer.weight.T + layer.bias
        if i == len(linear) // 2:
            values = code_activation()(values)
            assert torch.allclose(model.encode(images), values, atol=1e-5)
        elif i < len(linear):
            values = activation()(values)
    assert torch.allclose(model(images).flatten(1), values, atol=1e-5)


def test_logits_are_not_limited(images):
    model = Autoencoder([35, 2, 35])
    with torch.no_grad():
        model.decoder[-1].bias.fill_(7)
    assert (model(images) > 1).all()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([35, 17, 2, 18, 35], "expected such as"),
        ([35, 17, 2, 17, 36], "expected such as"),
        ([35, 2, 2, 35], "expected such as"),
        ([35, 35], "expected such as"),
        ([35], "expected such as"),
        ([], "expected such as"),
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


@pytest.mark.parametrize("shape", [(4, 1, 6, 6), (4, 35), (4, 1, 5, 7), (4, 3, 7, 5), (1, 7, 5)])
@pytest.mark.parametrize("model", [Autoencoder([35, 2, 35]), VariationalAutoencoder([35, 9], 2)])
def test_images_of_another_shape_are_refused(shape, model):
    for method in (model, model.encode):
        with pytest.raises(
            ValueError, match=r"images: expected shape \(N, 1, 7, 5\), got"
        ) as error:
            method(torch.zeros(shape))
        assert str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (2,)])
def test_codes_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"codes: expected shape \(N, 2\), got"):
        Autoencoder([35, 2, 35]).decode(torch.zeros(shape))


# --- batch normalisation ---


def test_batch_norm_stands_before_the_activation_of_hidden_layers_only():
    model = Autoencoder([35, 17, 8, 2, 8, 17, 35], activation=nn.ReLU, batch_norm=True)
    half = ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [type(layer).__name__ for layer in model.encoder] == [*half, "Sigmoid"]
    assert [type(layer).__name__ for layer in model.decoder] == half
    assert [
        layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)
    ] == [17, 8, 8, 17]
    assert not any(
        isinstance(layer, nn.BatchNorm1d) for layer in Autoencoder([35, 17, 2, 17, 35]).modules()
    )


def test_batch_norm_gives_hidden_numbers_mean_0_and_deviation_1_in_training(images):
    model = Autoencoder([35, 17, 2, 17, 35], batch_norm=True)
    hidden = model.encoder[:2](images.flatten(1))
    assert torch.allclose(hidden.mean(dim=0), torch.zeros(17), atol=1e-5)
    assert torch.allclose(hidden.std(dim=0, correction=0), torch.ones(17), atol=0.05)
    assert model(images).shape == images.shape
    model.eval()
    assert torch.allclose(
        model(images)[:1], model(images[:1]), atol=1e-6
    )  # the other images do not matter any more


# --- U-Net ---


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
    convolutions = (
        9 * (4 * half + half * quarter + quarter**2 + (quarter + half) * half + half * 4) + 4
    )
    normalised = 2 * (half + quarter + quarter + half)
    assert (
        sum(weights.numel() for weights in UNet((half, quarter)).parameters())
        == convolutions + normalised
    )


@pytest.mark.parametrize(
    "channels", [(), (32,), (32, 24, 16), (32, 0), (-1, 24), (32.0, 24), ("32", 24)]
)
def test_the_unet_refuses_other_channels(channels):
    with pytest.raises(ValueError, match=r"channels: expected (two|whole numbers)") as error:
        UNet(channels)
    assert str(list(channels)) in str(error.value)


@pytest.mark.parametrize(
    "shape", [(28, 28), (1, 28, 28), (2, 3, 28, 28), (2, 1, 28, 30), (2, 1, 7, 5), (2, 784)]
)
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


@pytest.mark.parametrize(("off", "reach"), [("middle", (2, 7)), ("down_1", (0, 0))])
def test_the_skip_hands_across_what_was_seen_at_half_of_the_resolution(off, reach):
    """Without the way through a quarter of the resolution it sees less far."""
    model = make_unet().eval()
    for layer in getattr(model, off):
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.weight)
    images = noise(1, 1, 64, 64)
    changed = images.clone()
    changed[0, 0, 32, 32] = 5
    distances = ((model(images) - model(changed))[0, 0].nonzero() - 32).abs().flatten().tolist()
    assert reach[0] <= max(distances, default=0) <= reach[1]


def test_the_logits_of_the_unet_are_not_limited():
    model = make_unet().eval()
    for value in (-7, 7):
        torch.nn.init.constant_(model.up[3].bias, value)
        assert (model(noise(1, 1, 8, 8)).sign() == value / 7).all()


def test_a_change_of_one_pixel_is_seen_nearby_only():
    model = make_unet().eval()
    images = noise(1, 1, 64, 64)
    changed = images.clone()
    changed[0, 0, 32, 32] = 5
    rows, columns = (model(images) - model(changed))[0, 0].nonzero().T
    for places in (rows, columns):
        assert (
            4 < places.max() - 32 < 20 and 4 < 32 - places.min() < 20
        )  # farther than one 3x3 convolution at half


def test_every_weight_of_the_unet_gets_a_gradient():
    model = make_unet()
    model(noise(4, 1, 28, 28)).square().sum().backward()
    assert all(weights.grad.abs().sum() > 0 for weights in model.parameters())


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
    names = ["Linear", "SiLU", "Linear", "SiLU", "Linear"]
    for half, widths in ((model.encoder, [400, 20, 10]), (model.decoder, [latent_dim, 10, 20])):
        assert [type(layer).__name__ for layer in half] == names
        assert [layer.in_features for layer in half[::2]] == widths


def test_in_evaluation_mode_a_vae_decodes_the_mean_and_draws_nothing():
    model, images = VariationalAutoencoder([400, 20], 3).eval(), torch.rand(2, 1, 20, 20)
    state = torch.get_rng_state()
    logits, mu, _ = model(images)
    assert torch.equal(logits, model.decode(mu))
    assert torch.equal(torch.get_rng_state(), state)


def test_in_training_a_vae_draws_the_code_from_its_generator():
    model, images = VariationalAutoencoder([400, 20], 3), torch.rand(2, 1, 20, 20)
    state = torch.get_rng_state()
    model.generator = torch.Generator().manual_seed(4)
    logits, mu, logvar = model(images)
    assert torch.equal(torch.get_rng_state(), state)
    epsilon = torch.randn(2, 3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(logits, model.decode(mu + (logvar / 2).exp() * epsilon))
    assert not torch.equal(model(images)[0], logits)  # the generator goes on
    model.generator = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        assert torch.equal(model(images)[0], logits)


def test_normal_like():
    for dtype in (torch.float32, torch.float64):
        drawn = normal_like(torch.zeros(2, 50_000, dtype=dtype), torch.Generator().manual_seed(0))
        assert drawn.shape == (2, 50_000) and drawn.dtype == dtype
        assert abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02


def test_reparameterize_gives_the_mean_and_the_variance_that_it_is_told():
    mu, logvar = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * math.log(3)]])
    codes = VariationalAutoencoder.reparameterize(mu, logvar, torch.tensor([[2.0, -0.5]]))
    assert torch.allclose(codes, torch.tensor([[3.0, -3.5]]))
    with pytest.raises(
        ValueError, match=r"expected one shape, got \[\(1, 2\), \(1, 2\), \(1, 1\)\]"
    ):
        VariationalAutoencoder.reparameterize(mu, logvar, torch.zeros(1, 1))


@pytest.mark.parametrize(
    ("sizes", "latent_dim"), [([400, 0], 2), ([400, 20], 0), ([400, 20.5], 2), ([400, 20], 2.0)]
)
def test_a_vae_refuses_sizes_that_are_none(sizes, latent_dim):
    with pytest.raises(ValueError, match="sizes and latent_dim: expected whole numbers > 0"):
        VariationalAutoencoder(sizes, latent_dim)
    with pytest.raises(ValueError, match=r"sizes: expected at least two, got \[400\]"):
        VariationalAutoencoder([400], 2)

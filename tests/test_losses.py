"""The losses: by hand, against PyTorch, and their gradients against autograd."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from helpers.inner.backpropagation import VALUES, gradients
from helpers.losses import bce, elbo, kl_divergence, l1, mean_over_images, mse, vae_loss


def numbers(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


LOGITS, IMAGES = 2 * numbers(3, 4, 1, 7, 5), torch.sigmoid(numbers(4, 1, 7, 5, seed=1))
MU, LOGVAR = numbers(3, 4, 2, seed=2), numbers(3, 4, 2, seed=3)


def by_hand(name, logit, pixel):
    p = 1 / (1 + math.exp(-logit))
    return {
        "bce": -pixel * math.log(p) - (1 - pixel) * math.log(1 - p),
        "mse": (p - pixel) ** 2,
        "l1": abs(p - pixel),
    }[name]


@pytest.mark.parametrize("loss", [bce, mse, l1])
def test_by_hand_alone_and_stacked(loss):
    logits, images = LOGITS[..., :2, :2], IMAGES[..., :2, :2]
    values = loss(logits, images)
    assert values.shape == (3, 4)
    for s in range(3):
        assert torch.allclose(loss(logits[s], images), values[s])
        for n in range(4):
            pairs = zip(logits[s, n].flatten().tolist(), images[n].flatten().tolist(), strict=True)
            expected = sum(by_hand(loss.__name__, a, t) for a, t in pairs) / 4
            assert values[s, n].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loss", [bce, mse, l1])
def test_far_logits_are_finite(loss):
    logits = torch.full((1, 1, 2, 2), 200.0)
    assert loss(logits, torch.ones(1, 1, 2, 2)).item() == 0
    assert loss(logits, torch.zeros(1, 1, 2, 2)).item() == (200 if loss is bce else 1)


def test_kl_divergence_is_that_of_torch_and_exact_near_0():
    q = torch.distributions.Normal(MU, torch.exp(0.5 * LOGVAR))
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_divergence(MU, LOGVAR), expected)
    tiny = torch.full((1,), 1e-4)
    assert kl_divergence(0 * tiny, tiny).item() == pytest.approx(0.25e-8, rel=1e-2)
    assert kl_divergence(torch.tensor(2.0), torch.tensor(0.0)).item() == 2


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0, torch.tensor([[0.5], [1.0], [3.0]])])
def test_elbo_and_vae_loss(beta):
    squares = 0.5 * (torch.sigmoid(LOGITS) - IMAGES).square().flatten(2).sum(dim=2)
    expected = -squares - beta * kl_divergence(MU, LOGVAR).sum(dim=-1)
    outputs = LOGITS, MU, LOGVAR
    assert torch.allclose(elbo(outputs, IMAGES, beta), expected)
    assert torch.equal(vae_loss(beta)(outputs, IMAGES), -elbo(outputs, IMAGES, beta))
    assert elbo(outputs, IMAGES, beta).shape == (3, 4)


def test_beta_is_1_unless_given_and_never_negative():
    outputs = LOGITS, MU, LOGVAR
    assert torch.equal(elbo(outputs, IMAGES), elbo(outputs, IMAGES, 1.0))
    assert torch.equal(vae_loss()(outputs, IMAGES), vae_loss(1)(outputs, IMAGES))
    for bad in (-0.1, math.nan, torch.tensor([[1.0], [-1.0], [1.0]])):
        with pytest.raises(ValueError, match="beta: expected numbers >= 0"):
            elbo(outputs, IMAGES, bad)


def test_mean_over_images_refuses_another_shape():
    assert mean_over_images(torch.tensor([[1.0, 2.0, 6.0]]), (1, 3)).tolist() == [3]
    for values in (torch.tensor(1.0), torch.ones(4), torch.ones(2, 3)):
        with pytest.raises(ValueError, match=r"one number for each image, shape \(3,\), got"):
            mean_over_images(values, (3,))


def half_squares(logits, images):
    return 0.5 * (torch.sigmoid(logits) - images).square().sum(dim=(-3, -2, -1))


BETAS = torch.tensor([[0.5], [1.0], [3.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    "loss", [bce, mse, l1, half_squares, vae_loss(0.3), vae_loss(BETAS), partial(elbo, beta=2)]
)
def test_gradients_are_those_of_autograd(loss):
    variational = isinstance(loss, partial)
    leaves = [
        x.clone().requires_grad_() for x in ((LOGITS, MU, LOGVAR) if variational else [LOGITS])
    ]
    value = loss(leaves if variational else leaves[0], IMAGES).mean(dim=-1).sum()
    expected = torch.autograd.grad(value, leaves)
    with torch.no_grad():
        found = gradients(loss, [leaf.detach() for leaf in leaves], IMAGES)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape and torch.allclose(a, b, rtol=1e-10, atol=1e-15)


def test_gradients_of_what_a_loss_does_not_use_are_0():
    found = gradients(lambda outputs, x: bce(outputs[0], x), [LOGITS, MU, LOGVAR], IMAGES)
    assert torch.allclose(found[0], gradients(bce, [LOGITS], IMAGES)[0])
    assert not found[1].any() and not found[2].any()
    with pytest.raises(ValueError, match="one number for each image"):
        gradients(nn.functional.mse_loss, [LOGITS], IMAGES.expand_as(LOGITS))


def test_values_without_gradients_are_the_losses_of_many_networks_and_of_large_images():
    generator = torch.Generator().manual_seed(0)
    for shape in ((70, 3, 1, 4, 3), (2, 3, 1, 50, 41)):  # 2^2050 would be inf
        logits = torch.randn(shape, generator=generator) / 10
        images = torch.rand(shape[1:], generator=generator).round()
        for known, value in VALUES.items():
            expected = known(logits.double(), images.double())
            for of_type in (images, images.double(), images.int()):
                found = value(logits, of_type).double()
                assert torch.allclose(found, expected, rtol=1e-5)


def test_values_without_gradients_are_the_losses_also_of_far_logits():
    far = torch.cat([LOGITS, 100 * LOGITS]).float()
    for known, value in VALUES.items():
        expected = known(far.double(), IMAGES)
        assert torch.allclose(value(far, IMAGES.float()).double(), expected, rtol=1e-5)

"""The losses: each takes logits and images, and gives one number for each image.

logits (..., N, 1, H, W), images (N, 1, H, W) with values in [0, 1] -> (..., N). Training minimises
the mean over the images; a stack of S networks has one dimension in front: (S, N).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from helpers.inner.expect import expect

PIXELS = (-3, -2, -1)  # the dimensions that make one image


def bce(logits: Tensor, images: Tensor) -> Tensor:
    """Binary cross entropy of each image, in nats, mean over its pixels."""
    return nn.functional.binary_cross_entropy_with_logits(
        logits, images.expand_as(logits), reduction="none"
    ).mean(dim=PIXELS)


def mse(logits: Tensor, images: Tensor) -> Tensor:
    """Squared error of the pixel values sigmoid(logits) of each image, mean over its pixels."""
    return (torch.sigmoid(logits) - images).square().mean(dim=PIXELS)


def l1(logits: Tensor, images: Tensor) -> Tensor:
    """Absolute error of the pixel values sigmoid(logits) of each image, mean over its pixels."""
    return (torch.sigmoid(logits) - images).abs().mean(dim=PIXELS)


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of the normal distribution (mu, exp(logvar)) from the standard normal one.

    In nats, of each number alone: same shape as mu and logvar, never negative. Sum over the last
    dimension for that of the whole code. (Kingma & Welling 2014, appendix B.)
    """
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar)


def elbo(
    outputs: tuple[Tensor, Tensor, Tensor], images: Tensor, beta: float | Tensor = 1.0
) -> Tensor:
    """Evidence lower bound of each image, in nats: log likelihood - beta * KL divergence.

    outputs: logits, mu, logvar, as a `VariationalAutoencoder` gives them. The likelihood is normal
    with standard deviation 1 around the pixel values sigmoid(logits), without its constant: minus
    half the sum of squared errors.
    beta: a weight of the KL divergence (Higgins et al., beta-VAE, 2017); only with 1 is it a bound.
    For a stack it may be a tensor (S, 1), one for each member.
    Raises ValueError for a negative beta.
    """
    expect((torch.as_tensor(beta) >= 0).all(), "beta: expected numbers >= 0", beta)
    logits, mu, logvar = outputs
    log_likelihood = -0.5 * (torch.sigmoid(logits) - images).square().sum(dim=PIXELS)
    return log_likelihood - beta * kl_divergence(mu, logvar).sum(dim=-1)


def vae_loss(beta: float | Tensor = 1.0) -> Callable[[tuple, Tensor], Tensor]:
    """A loss for `fit`: minus the `elbo` with this beta."""
    return partial(_vae_loss, beta=beta)


def _vae_loss(outputs, images, beta):
    return -elbo(outputs, images, beta)


def mean_over_images(values: Tensor, shape: Sequence[int]) -> Tensor:
    """The mean over the images of losses (..., N); ValueError unless they have this shape."""
    kind = "loss (of PyTorch: reduction='none'): expected one number for each image"
    expect(values.shape == shape, f"{kind}, shape {tuple(shape)}", f"shape {tuple(values.shape)}")
    return values.mean(dim=-1)

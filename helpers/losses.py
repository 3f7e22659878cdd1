"""The losses: each takes logits and images, and gives one number for each image.

logits (..., N, 1, H, W), images (N, 1, H, W) with values in [0, 1] -> (..., N). Training minimises
the mean over the images; a stack of S networks has one dimension in front: (S, N).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

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
    if not (torch.as_tensor(beta) >= 0).all():
        raise ValueError(f"beta: expected numbers >= 0, got {beta}")
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
    if tuple(values.shape) != tuple(shape):
        raise ValueError(
            f"loss: expected one number for each image, shape {tuple(shape)}, got shape "
            f"{tuple(values.shape)}; a loss of PyTorch may need reduction='none'"
        )
    return values.mean(dim=-1)


def gradients(loss: Callable, outputs: Sequence[Tensor], images: Tensor) -> Sequence[Tensor]:
    """The gradient of the mean loss of every member of a stack, for each of its outputs.

    outputs: logits (S, N, 1, H, W), for VAEs mu and logvar, too. bce, mse and vae_loss have their
    formulas, much cheaper than the loss itself; others go through autograd.
    """
    known, settings = getattr(loss, "func", loss), getattr(loss, "keywords", {})
    if known in FORMULAS:
        return FORMULAS[known](*outputs, images, **settings)
    with torch.enable_grad():
        leaves = [output.detach().requires_grad_() for output in outputs]
        values = loss(leaves[0] if len(leaves) == 1 else tuple(leaves), images)
        total = mean_over_images(values, outputs[0].shape[:2]).sum()
        return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)


def _bce_gradient(logits, images):
    return [torch.sigmoid(logits).sub_(images).div_(images.numel())]


def _mse_gradient(logits, images):
    return [_squares_gradient(logits, images, 2 / images.numel())]


def _vae_gradient(logits, mu, logvar, images, beta):
    share = (beta.unsqueeze(-1) if isinstance(beta, Tensor) else beta) / len(images)
    of_logits = _squares_gradient(logits, images, 1 / len(images))
    return [of_logits, share * mu, 0.5 * share * torch.expm1(logvar)]


def _squares_gradient(logits, images, factor):
    """factor * (pixels - images) times the slope of the sigmoid, pixels * (1 - pixels)."""
    pixels = torch.sigmoid(logits)
    g = (pixels - images).mul_(factor)
    return torch.ops.aten.sigmoid_backward.grad_input(g, pixels, grad_input=g)


FORMULAS: dict = {bce: _bce_gradient, mse: _mse_gradient, _vae_loss: _vae_gradient}

"""The checks of notebook 01."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers import checks, noise
from helpers.evaluation import predict, psnr
from helpers.losses import bce
from helpers.training import fit


@checks.exercise(1)
def check_psnr(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    """function(outputs, images), both (N, 1, H, W), gives the PSNR of each image, (N,)."""
    outputs, images = torch.rand(2, 5, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    right = psnr(outputs, images)
    answer = checks.call(function, outputs, images, shape=right.shape)
    if checks.close(answer, -right):
        return "hint: the sign. A smaller error must give a larger PSNR."
    if checks.close(answer, right * torch.log(torch.tensor(10.0)), atol=1e-2):
        return "hint: PSNR takes the logarithm to base 10 (torch.log10)."
    if not checks.close(answer, right):
        return "hint: first the mean squared error of each image, then -10 log10 of it."
    return "right."


@checks.exercise(2)
def check_denoiser(
    settings: dict, make_model: Callable[[], nn.Module], images: Tensor, left_out: Tensor
) -> str:
    """Settings of `fit` with which a network learns to denoise from 10,000 images in 3 epochs.

    They need a "batch_size". On `left_out`, the BCE at sigma = 0.5 must come below 0.15.
    """
    settings = checks.settings_of(settings)
    epochs = settings.setdefault("epochs", 3)
    if not isinstance(epochs, int) or epochs != 3:
        return f"hint: the number of epochs is fixed: 3; yours is {epochs!r}."
    if "batch_size" not in settings:
        return "hint: the settings need a 'batch_size'."
    with checks.caught("training with these settings"):
        torch.manual_seed(100)
        model, add_noise = make_model(), partial(noise.gaussian, std=0.5)
        fit(model, images[:10_000], noise=add_noise, seed=100, progress=False, **settings)
    noisy = noise.gaussian(left_out, 0.5, torch.Generator().manual_seed(100))
    loss = float(bce(predict(model, noisy), left_out).mean())
    if not loss < 0.15:
        steps = "How many steps does it take? How large are they?"
        return f"hint: the BCE on left-out images is {loss:.3f}. {steps}"
    return "the BCE on left-out images is below 0.15: right."


@checks.exercise(3)
def check_two_noises(function: Callable[[Tensor, torch.Generator], Tensor]) -> str:
    """function(images, generator): each image gets Gaussian noise or salt and pepper, by a coin.

    sigma = 0.5, p = 0.5.
    """
    images = torch.full((400, 1, 28, 28), 0.5)
    answer, again, other = checks.call_with_seeds(function, images, shape=images.shape)
    peppered, peppered_other = (
        ((x == 0) | (x == 0.5) | (x == 1)).flatten(1).all(dim=1) for x in (answer, other)
    )
    reference = noise.gaussian(images, 0.5, torch.Generator().manual_seed(0))
    each = "Toss a coin for each image: shape (len(images), 1, 1, 1)."
    if not checks.close(answer, again) or checks.close(answer, other):
        return "hint: draw the coins *and* the noise from the generator: one seed, one noise."
    if peppered.float().std() == 0:
        return f"hint: some images should get one kind of noise, some the other. {each}"
    if torch.equal(peppered, peppered_other):
        return f"hint: the same images get the same kind for every seed. {each}"
    if not 150 < peppered.sum() < 250:
        return f"hint: a fair coin gives each kind about half of the images. {each}"
    salt, kept = ((answer[peppered] == value).float().mean() for value in (1, 0.5))
    if not 0.48 < kept < 0.52 or not 0.23 < salt < 0.27:
        return "hint: salt and pepper should have p = 0.5, nothing else."
    gaussian = answer[~peppered]
    edges = [torch.stack([(x == v).float().mean() for v in (0, 1)]) for x in (gaussian, reference)]
    same_spread = abs(gaussian.std() / reference.std() - 1) < 0.02
    if not same_spread or not checks.close(edges[0], edges[1], atol=0.01):
        return "hint: the other images should have Gaussian noise with sigma = 0.5, nothing else."
    return "right."

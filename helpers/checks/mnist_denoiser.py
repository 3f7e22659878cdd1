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
def check_mixed_noise(function: Callable[[Tensor, torch.Generator], Tensor]) -> str:
    """function(images, generator) adds Gaussian noise, sigma of each image from U[0, 1]."""
    images = torch.full((400, 1, 28, 28), 0.5)
    answer, again, other = checks.call_with_seeds(function, images, shape=images.shape)
    added = (answer - 0.5).squeeze(1)
    spread, other_spread = (x.flatten(1).std(dim=1) for x in (answer, other))
    halves = added[:, :14], added[:, 14:], added[..., :14], added[..., 14:]
    uneven = max((h.flatten(1).std(dim=1) / spread).sub(1).abs().median() for h in halves)
    z = added / spread.clamp(min=1e-6).reshape(-1, 1, 1)
    shared = [z.mean(dim=dim).std() for dim in (0, 1, 2)]  # of own numbers 0.05, 0.19, 0.19
    least, most = (
        noise.gaussian(images[:1], std, torch.Generator().manual_seed(0)).std()
        for std in (0.02, 0.98)
    )
    if not checks.close(answer, again) or (checks.close(answer, other) and spread.max() > 1e-6):
        return "hint: draw the levels *and* the noise from the generator: one seed, one noise."
    if answer.min() < -1e-4 or answer.max() > 1 + 1e-4:
        return "hint: cut the result to [0, 1], as noise.gaussian does."
    each = "Draw one for each image: shape (len(images), 1, 1, 1)."
    if spread.std() < 0.02:
        return f"hint: sigma does not differ from image to image. {each}"
    if max(shared) > 0.5:
        return "hint: every pixel of every image needs a random number of its own: torch.randn."
    if uneven > 0.1:
        return f"hint: sigma changes inside an image. {each}"
    if checks.close(spread, other_spread, atol=0.1):
        return "hint: sigma should be random, different for every seed: torch.rand."
    if spread.min() > 2 * least or spread.max() < 0.9 * most or not 0.27 < spread.mean() < 0.33:
        return "hint: sigma should be anywhere in [0, 1], all values alike: torch.rand."
    if not checks.is_normal(z[(spread > 0.02) & (spread < 0.16)]):  # where hardly anything was cut
        return "hint: the noise should be normal: torch.randn."
    return "right."


@checks.exercise(3)
def check_denoiser(
    settings: dict, make_model: Callable[[], nn.Module], images: Tensor, test_images: Tensor
) -> str:
    """Settings of `fit` with which a network learns to denoise from 10,000 images in 3 epochs.

    They need a "batch_size". The BCE at sigma = 0.5 must come below 0.15.
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
    noisy = noise.gaussian(test_images, 0.5, torch.Generator().manual_seed(100))
    loss = float(bce(predict(model, noisy), test_images).mean())
    if not loss < 0.15:
        steps = "How many steps does it take? How large are they?"
        return f"hint: the BCE on test images is {loss:.3f}. {steps}"
    return "the BCE on test images is below 0.15: right."

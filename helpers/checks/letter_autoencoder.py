"""The checks of notebook 02."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers import checks
from helpers.evaluation import pixel_errors, predict
from helpers.stack import from_seeds
from helpers.training import fit


@checks.exercise(1)
def check_pixel_errors(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    """function(probabilities, images), both (N, 1, 7, 5), counts the wrong pixels, (N,)."""
    probabilities, images = torch.rand(2, 6, 1, 7, 5, generator=torch.Generator().manual_seed(0))
    images = images.round()
    right = pixel_errors(probabilities, images).float()
    answer = checks.call(function, probabilities, images, shape=right.shape)
    if checks.close(answer, 35 - right):
        return "hint: you count the pixels that are right."
    if not checks.close(answer, right):
        return "hint: threshold the probabilities at 0.5 first, then count the pixels that differ."
    return "right."


@checks.exercise(2)
def check_l1_derivative(function: Callable[[Tensor, Tensor], Tensor]) -> str:
    """function(logits, images), both (N, 1, 7, 5): the derivative of |sigmoid(logit) - pixel|."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(6, 1, 7, 5, generator=generator)
    images = torch.rand(6, 1, 7, 5, generator=generator).round()
    pixels = torch.sigmoid(logits)
    sign, slope = (pixels - images).sign(), pixels * (1 - pixels)
    answer = checks.call(function, logits, images, shape=logits.shape)
    if checks.close(answer, -sign * slope, 1e-5):
        return "hint: the sign. This is the pull, minus the derivative."
    if checks.close(answer, sign, 1e-5):
        return "hint: this is the derivative with respect to the pixel value. Use the chain rule."
    if checks.close(answer, slope, 1e-5):
        return "hint: for a pixel that should be 1 the loss falls when the logit grows."
    if checks.close(answer, 2 * (pixels - images) * slope, 1e-5):
        return "hint: this is the derivative of the MSE."
    if not checks.close(answer, sign * slope, 1e-5):
        return "hint: take that of |pixel value - image|, then multiply by that of the sigmoid."
    return "right."


@checks.exercise(3)
def check_recipe(settings: dict, make_model: Callable[[], nn.Module], images: Tensor) -> str:
    """Settings of `fit` with which 12 of 16 networks learn all images by heart.

    At most 2,000 epochs. Trains 16 networks as a stack, seeds 100 to 115.
    """
    settings = {"record_every": 1000, **checks.settings_of(settings)}
    epochs = settings.get("epochs")
    if not isinstance(epochs, int) or epochs > 2000:
        return f"hint: 'epochs' must be a whole number, at most 2000; yours is {epochs!r}."
    with checks.caught("training with these settings"):
        networks = from_seeds(make_model, range(100, 116))
        fit(networks, images, progress=False, **settings)
    pixels = torch.sigmoid(predict(networks, images))
    perfect = int((pixel_errors(pixels, images).sum(dim=1) == 0).sum())
    if perfect < 12:
        think = "Think of the loss, the rate and the schedule."
        return f"hint: only {perfect} of 16 networks have no wrong pixel. {think}"
    return "at least 12 of 16 networks have no wrong pixel: right."

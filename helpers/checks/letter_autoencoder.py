"""The checks of notebook 02."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from helpers import checks
from helpers.evaluation import outlier_score, pixel_errors, predict, roc
from helpers.stack import from_seeds
from helpers.training import Adam, fit, warmup_cosine


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
    return "right. L1, too, lets go of a pixel that is far off."


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


@checks.exercise(4)
def check_flip_one(
    function: Callable[[Tensor, torch.Generator], Tensor],
    make_model: Callable[[], nn.Module],
    images: Tensor,
    outliers: Tensor,
) -> str:
    """function(images, generator), both (N, 1, 7, 5), flips one random pixel of each image.

    Trains 8 networks as a stack with this noise, seeds 100 to 107, and gives their mean AUC.
    """
    many = images.repeat(20, 1, 1, 1)
    answer, again, other = checks.call_with_seeds(function, many, shape=many.shape)
    flips = (answer - many).abs().flatten(1)
    one = torch.ones(len(many))
    if not (checks.close(flips.amax(dim=1), one) and checks.close(flips.sum(dim=1), one)):
        return "hint: exactly one pixel of each image should change, from 0 to 1 or from 1 to 0."
    often = 35 * flips.mean(dim=0)  # 1 on average
    if often.max() > 10:
        return "hint: every image needs a random pixel of its own."
    if not checks.close(answer, again) or checks.close(answer, other):
        return "hint: draw the random numbers with generator=generator: one seed, one noise."
    if often.min() < 0.1 or often.max() > 2.5:
        return "hint: every one of the 35 pixels should be flipped equally often."
    networks = from_seeds(make_model, range(100, 108))
    train = partial(fit, networks, images, epochs=2000, lr=0.05, record_every=1000, progress=False)
    schedule, optimizer = warmup_cosine(2000, warmup=50), partial(Adam, betas=(0.9, 0.99))
    with checks.caught("training with your noise"):
        train(noise=function, scheduler=schedule, optimizer=optimizer)
    scores = (outlier_score(networks, patterns) for patterns in (answer, outliers))
    aucs = [roc(normal, strange)[2] for normal, strange in zip(*scores, strict=True)]
    return f"the networks reach an AUC of {sum(aucs) / len(aucs):.2f}: right."

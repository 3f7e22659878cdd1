"""The checks of notebook 02."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers import checks
from helpers.evaluation import pixel_errors, predict
from helpers.models import Autoencoder
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
        return "hint: cut the probabilities at 0.5 first, then count the pixels that differ."
    return "right."


@checks.exercise(2)
def check_halfway(
    function: Callable[[Autoencoder, Tensor, Tensor], Tensor], model: Autoencoder, images: Tensor
) -> str:
    """function(model, first, second) decodes the middle between the codes of two images.

    first, second: (1, 1, H, W). The answer holds pixel values in [0, 1], as many.
    """
    first, second = images[1:2], images[4:5]
    with torch.no_grad():
        logits = model.decode((model.encode(first) + model.encode(second)) / 2).flatten()
        middle = ((first + second) / 2).flatten()
        blend = torch.sigmoid(model((first + second) / 2)).flatten()
    answer = checks.call(function, model, first, second).flatten()
    if answer.shape != logits.shape:
        return f"hint: expected one image of {len(logits)} pixels; yours has {len(answer)} numbers."
    if checks.close(answer, logits, 1e-5):
        return "hint: these are logits. Which function turns them into values between 0 and 1?"
    if any(checks.close(answer, wrong, 1e-5) for wrong in (middle, blend)):
        return "hint: take the mean of the two codes, not of the two images."
    if not checks.close(answer, torch.sigmoid(logits), 1e-4):
        return "hint: encode both images, take the mean of the two codes, decode it, then sigmoid."
    return "right."


@checks.exercise(3)
def check_recipe(settings: dict, make_model: Callable[[], nn.Module], images: Tensor) -> str:
    """Settings of `fit` with which 14 of 16 networks learn all images by heart.

    At most 3,000 epochs. Trains 16 networks as a stack, seeds 100 to 115.
    """
    settings = {"record_every": 1000, **checks.settings_of(settings)}
    epochs = settings.get("epochs")
    if not isinstance(epochs, int) or epochs > 3000:
        return f"hint: 'epochs' must be a whole number, at most 3000; yours is {epochs!r}."
    with checks.caught("training with these settings"):
        networks = from_seeds(make_model, range(100, 116))
        fit(networks, images, progress=False, **settings)
    pixels = torch.sigmoid(predict(networks, images))
    perfect = int((pixel_errors(pixels, images).sum(dim=1) == 0).sum())
    if perfect < 14:
        think = "Think of the loss, the rate and the schedule."
        return f"hint: only {perfect} of 16 networks have no wrong pixel. {think}"
    return "at least 14 of 16 networks have no wrong pixel: right."

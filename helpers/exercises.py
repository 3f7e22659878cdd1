"""The checks behind the exercises. Each prints one line: not yet, a hint, or right. No answer stops the notebook."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.evaluation import pixel_errors
from helpers.training import fit_ensemble

NOT_YET = "not yet. Replace the ... by your own code and run the cell again."


def _say(number, text):
    print(f"Exercise {number}: {text}")


def _call(number, function, *args):
    """The student's answer as a tensor, or None after a line that says what is wrong."""
    try:
        answer = function(*args)
    except Exception as error:  # whatever the student's code does, Run All goes on
        _say(number, f"your function stopped with {type(error).__name__}: {error}")
        return None
    if answer is None or answer is ...:
        _say(number, NOT_YET)
        return None
    if not isinstance(answer, Tensor):
        _say(number, f"hint: return a tensor; yours returned {type(answer).__name__}.")
        return None
    return answer.detach().float()


def check_pixel_errors(function: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Notebook 02, exercise 1: function(probabilities, images), both (N, 1, 7, 5), counts the wrong pixels, (N,)."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(6, 1, 7, 5, generator=generator)
    images = (torch.rand(6, 1, 7, 5, generator=generator) > 0.5).float()
    right = ((probabilities > 0.5) != (images > 0.5)).flatten(1).sum(dim=1)
    answer = _call(1, function, probabilities, images)
    if answer is None:
        return
    if answer.shape != right.shape:
        _say(
            1, f"hint: expected one number for each image, shape {tuple(right.shape)}; yours has {tuple(answer.shape)}."
        )
    elif torch.equal(answer.long(), 35 - right):
        _say(1, "hint: you count the pixels that are right.")
    elif not torch.equal(answer, right.float()):
        _say(1, "hint: cut the probabilities at 0.5 first, then count the pixels that differ from the image.")
    else:
        _say(1, "right.")


def check_halfway(function: Callable[[nn.Module, Tensor, Tensor], Tensor], model: nn.Module, images: Tensor) -> None:
    """Notebook 02, exercise 2: function(model, first, second) decodes the middle between the codes of two images.

    first, second: (1, 1, H, W). The answer holds pixel values in [0, 1], shape (1, 1, H, W) or (1, pixels).
    """
    first, second = images[1:2], images[4:5]
    with torch.no_grad():
        logits = model.decode((model.encode(first) + model.encode(second)) / 2)
        blend = torch.sigmoid(model((first + second) / 2)).flatten()
    answer = _call(2, function, model, first, second)
    if answer is None:
        return
    answer = answer.flatten()
    if answer.shape != logits.flatten().shape:
        _say(2, f"hint: expected one image of {logits.numel()} pixels; yours has {answer.numel()} numbers.")
    elif torch.allclose(answer, logits.flatten(), atol=1e-5):
        _say(2, "hint: these are logits. Which function turns them into values between 0 and 1?")
    elif torch.allclose(answer, ((first + second) / 2).flatten(), atol=1e-5) or torch.allclose(
        answer, blend, atol=1e-5
    ):
        _say(2, "hint: take the mean of the two codes, not of the two images.")
    elif not torch.allclose(answer, torch.sigmoid(logits).flatten(), atol=1e-4):
        _say(2, "hint: encode both images, take the mean of the two codes, decode it, then the sigmoid.")
    else:
        _say(2, "right.")


def check_recipe(settings: dict, make_model: Callable[[], nn.Module], images: Tensor) -> None:
    """Notebook 02, exercise 3: settings for `fit_ensemble` with which 14 of 16 networks learn all images by heart.

    settings: keyword arguments of `fit_ensemble`; at most 3,000 epochs. Trains 16 networks, seeds 100 to 115.
    """
    if settings is not None and settings is not ... and not isinstance(settings, dict):
        _say(3, f"hint: give the settings as a dictionary, {{...}}; yours is a {type(settings).__name__}.")
        return
    if settings in (None, ...) or ... in settings.values():
        _say(3, NOT_YET)
        return
    if not isinstance(settings.get("epochs"), int) or settings["epochs"] > 3000:
        _say(3, f"hint: 'epochs' must be a whole number, at most 3000; yours is {settings.get('epochs')!r}.")
        return
    try:
        ensemble = fit_ensemble(make_model, range(100, 116), images, images, progress=False, **settings)
    except Exception as error:  # as above
        _say(3, f"training with these settings stopped with {type(error).__name__}: {error}")
        return
    perfect = int((pixel_errors(ensemble(images), images).sum(dim=1) == 0).sum())
    if perfect < 14:
        _say(
            3, f"hint: only {perfect} of 16 networks have no wrong pixel. Think of the loss, the rate and the schedule."
        )
    else:
        _say(3, "at least 14 of 16 networks have no wrong pixel: right.")

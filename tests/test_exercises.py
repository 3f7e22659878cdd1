"""The checks of the exercises: they say right, not yet or a hint, and never raise."""

from functools import partial

import pytest
import torch

from helpers import exercises, training
from helpers.data import load_letters
from helpers.models import Autoencoder

IMAGES = load_letters().images


def say(capsys, check, *args):
    check(*args)
    (line,) = capsys.readouterr().out.splitlines()
    return line


def wrong(*_):
    raise RuntimeError("a mistake")


def errors(p, x):
    return ((p > 0.5) != (x > 0.5)).flatten(1).sum(1)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda p, x: ..., "not yet"),
        (lambda p, x: None, "not yet"),
        (wrong, "stopped with RuntimeError: a mistake"),
        (lambda p, x: 3, "hint: return a tensor"),
        (lambda p, x: errors(p, x).sum(), "hint: expected one number for each image"),
        (lambda p, x: 35 - errors(p, x), "hint: you count the pixels that are right"),
        (lambda p, x: (p - x).abs().flatten(1).sum(1), "hint: cut the probabilities"),
        (errors, "right."),
        (lambda p, x: errors(p, x).float(), "right."),
    ],
)
def test_pixel_errors(capsys, answer, reply):
    assert reply in say(capsys, exercises.check_pixel_errors, answer)


def code_mean(model, a, b):
    return model.decode((model.encode(a) + model.encode(b)) / 2)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (lambda m, a, b: ..., "not yet"),
        (wrong, "stopped with RuntimeError"),
        (lambda m, a, b: code_mean(m, a, b) > 0, "hint: encode both images"),
        (lambda m, a, b: torch.zeros(3), "hint: expected one image of 35 pixels; yours has 3"),
        (code_mean, "hint: these are logits"),
        (lambda m, a, b: (a + b) / 2, "hint: take the mean of the two codes"),
        (lambda m, a, b: torch.sigmoid(m((a + b) / 2)), "hint: take the mean of the two codes"),
        (lambda m, a, b: torch.sigmoid(m(a)), "hint: encode both images"),
        (lambda m, a, b: torch.sigmoid(code_mean(m, a, b)), "right."),
        (lambda m, a, b: torch.sigmoid(code_mean(m, a, b)).reshape(1, 1, 7, 5), "right."),
    ],
)
def test_halfway(capsys, answer, reply):
    torch.manual_seed(0)
    model = Autoencoder([35, 17, 2, 17, 35])
    for linear in (model.encoder[0], model.decoder[0]):
        linear.weight.data *= 5  # an untrained network that still tells letters apart
    assert reply in say(capsys, exercises.check_halfway, answer, model, IMAGES)


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        (..., "not yet"),
        (None, "not yet"),
        ([3000, 0.1], "as a dictionary"),
        ({"lr": 0.1}, "yours is None"),
        ({"epochs": "3000"}, "yours is '3000'"),
        ({"epochs": 3000, "lr": ...}, "not yet"),
        ({"epochs": 5000}, "at most 3000; yours is 5000"),
        ({"epochs": 10, "speed": 3}, "stopped with TypeError"),
        ({"epochs": 10, "lr": 0.01}, "hint: only 0 of 16 networks have no wrong pixel"),
        (
            {
                "epochs": 3000,
                "lr": 0.05,
                "scheduler": training.warmup_cosine(3000, 100),
                "optimizer": partial(training.Adam, betas=(0.9, 0.99)),
            },
            "right.",
        ),
    ],
)
def test_recipe(capsys, settings, reply):
    assert reply in say(capsys, exercises.check_recipe, settings, lambda: Autoencoder([35, 17, 2, 17, 35]), IMAGES)

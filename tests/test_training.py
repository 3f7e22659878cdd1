"""Training: losses, schedules, `fit`, `fit_ensemble`, and weights on disk."""

import copy
import io
import itertools
import math
import os
import pickle
import threading
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from helpers import data, evaluation, noise, training
from helpers.models import Autoencoder, UNet, VariationalAutoencoder, sampling_noise
from helpers.training import (
    Adam,
    Batches,
    NoisyCopies,
    bce,
    evaluate,
    l1,
    load_weights,
    mse,
    save_weights,
    warmup_cosine,
)

fit, fit_ensemble = partial(training.fit, progress=False), partial(training.fit_ensemble, progress=False)

LETTERS = data.load_letters().images
PAIR = (LETTERS, LETTERS)
ONE_BY_ONE = [(letter, letter) for letter in LETTERS.split(1)]


def make_model():
    return Autoencoder([35, 8, 2, 8, 35])


def make_seeded(seed, make=make_model):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The networks here are small: on a busy computer more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model():
    return make_seeded(0)


def weights_of(model):
    return copy.deepcopy(model.state_dict())


def assert_same(weights, expected, tolerance=0.0):
    """Two sets of named weights are the same, or differ by no more than the tolerance."""
    assert list(weights) == list(expected)
    for name in expected:
        assert weights[name].shape == expected[name].shape, name
        assert (weights[name] - expected[name]).abs().max() <= tolerance, name


# --- losses ----------------------------------------------------------------------------------------------------------


def bce_by_hand(logits, targets):
    pixels = 1 / (1 + np.exp(-logits))
    return -(targets * np.log(pixels) + (1 - targets) * np.log(1 - pixels))


def mse_by_hand(logits, targets):
    return (1 / (1 + np.exp(-logits)) - targets) ** 2


def l1_by_hand(logits, targets):
    return abs(1 / (1 + np.exp(-logits)) - targets)


@pytest.mark.parametrize(("loss", "by_hand"), [(bce, bce_by_hand), (mse, mse_by_hand), (l1, l1_by_hand)])
@pytest.mark.parametrize("shape", [(4, 1, 3, 2), (4, 6), (1, 6)])
@pytest.mark.parametrize("members", [(), (1,), (5,)])
def test_losses_by_hand(loss, by_hand, shape, members):
    random = np.random.default_rng(0)
    logits, targets = 3 * random.standard_normal((*members, *shape)), random.random(shape)
    expected = by_hand(logits, targets).reshape(*members, shape[0], 6).mean(axis=-1)
    values = loss(torch.from_numpy(logits), torch.from_numpy(targets))
    assert values.shape == (*members, shape[0])
    assert np.allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("loss", "logit", "target", "expected"),
    [
        (bce, 0.0, 1.0, math.log(2)),
        (bce, 0.0, 0.5, math.log(2)),
        (bce, 1000.0, 0.0, 1000.0),  # no overflow
        (mse, 0.0, 1.0, 0.25),
        (mse, 1000.0, 0.0, 1.0),
        (l1, 0.0, 1.0, 0.5),
        (l1, 0.0, 0.25, 0.25),
        (l1, -1000.0, 1.0, 1.0),
    ],
)
def test_losses_of_one_pixel(loss, logit, target, expected):
    assert loss(torch.tensor([[logit]]), torch.tensor([[target]])).tolist() == pytest.approx([expected])


def test_evaluate_is_the_mean_loss_in_evaluation_mode(model):
    model.decoder.append(nn.Dropout(0.5))
    model.train()
    value = evaluate(model, PAIR)
    assert not model.training
    assert value == pytest.approx(bce_by_hand(model(LETTERS).detach().numpy(), LETTERS.numpy()).mean(), rel=1e-5)


# --- schedules -------------------------------------------------------------------------------------------------------


def test_warmup_cosine_takes_one_step_after_every_epoch(model):
    """32 updates an epoch, but the rate stays the same in all of them."""
    history = fit(model, ONE_BY_ONE, epochs=10, lr=2.0, optimizer=SGD, scheduler=warmup_cosine(10, 4))
    climb = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    cosine = [(1 + math.cos(math.pi * epoch / 10)) / 2 for epoch in range(10)]
    assert history.lr == pytest.approx([2 * a * b for a, b in zip(climb, cosine, strict=True)])
    assert history.lr[0] == pytest.approx(0.5) and history.lr[5] == pytest.approx(1) and 0 < history.lr[9] < 0.05


@pytest.mark.parametrize(("epochs", "warmup"), [(10, 0), (10, -1), (10, 11), (0, 0)])
def test_warmup_cosine_refuses_a_warmup_that_does_not_fit(epochs, warmup):
    with pytest.raises(ValueError, match=f"warmup={warmup}, epochs={epochs}"):
        warmup_cosine(epochs, warmup)


def test_reduce_on_plateau_sees_the_loss(model):
    """The rate is so small that the loss stays as it is: each epoch after the first one halves the rate."""
    scheduler = partial(ReduceLROnPlateau, factor=0.5, patience=0, eps=0)
    history = fit(model, PAIR, epochs=5, lr=1e-12, optimizer=SGD, scheduler=scheduler)
    assert history.lr == pytest.approx([1e-12, 1e-12, 5e-13, 2.5e-13, 1.25e-13], rel=1e-6, abs=0)


# --- fit -------------------------------------------------------------------------------------------------------------

BATCHES = {
    "a pair": PAIR,
    "a list": [(images, images) for images in LETTERS.split(10)],
    "one by one": ONE_BY_ONE,
    "a DataLoader": DataLoader(TensorDataset(LETTERS, LETTERS), batch_size=10),
}


@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("loss", [bce, mse])
def test_fit_lowers_the_loss(model, batches, loss):
    before = evaluate(model, PAIR, loss)
    history = fit(model, batches, epochs=40, lr=0.02, loss=loss)
    assert evaluate(model, PAIR, loss) < 0.9 * before
    assert len(history.loss) == 40 and history.loss[-1] < 0.9 * history.loss[0]
    assert history.lr == [0.02] * 40
    assert (history.validation, history.best_epoch, history.stopped) == ([], None, "finished")
    assert history.seconds > 0
    assert not model.training


@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
def test_the_loss_of_an_epoch_is_the_mean_over_all_examples(model, batches):
    """Also when the last batch is smaller. The rate is so small that the weights stay as they are."""
    history = fit(model, batches, epochs=1, lr=1e-12, optimizer=SGD)
    assert history.loss == pytest.approx([evaluate(model, PAIR)], rel=1e-6)


@pytest.mark.parametrize("batches", BATCHES.values(), ids=BATCHES)
def test_two_epochs_by_hand(model, batches):
    """One update for every batch."""
    expected = copy.deepcopy(model)
    for inputs, targets in 2 * [PAIR] if batches is PAIR else [*batches, *batches]:
        expected.zero_grad()
        bce(expected(inputs), targets).mean().backward()
        with torch.no_grad():
            for weights in expected.parameters():
                weights -= 0.3 * weights.grad
    fit(model, batches, epochs=2, lr=0.3, optimizer=SGD)
    assert_same(model.state_dict(), expected.state_dict(), tolerance=1e-6)


def test_validation_is_measured_after_every_epoch_in_evaluation_mode(model):
    model.decoder.append(nn.Dropout(0.5))
    validation, before = (1 - LETTERS, LETTERS), evaluate(model, PAIR)
    history = fit(model, PAIR, epochs=3, lr=0.02, validation=validation)
    assert history.loss[0] != pytest.approx(before, rel=1e-3)  # the dropout is at work in training
    assert len(history.validation) == len(history.loss) == 3
    assert history.validation[-1] == pytest.approx(evaluate(model, validation), rel=1e-6)  # and not here


@pytest.mark.parametrize("patience", [3, 1000])
@pytest.mark.parametrize(
    ("validation", "best_epoch"), [(None, 7), ((LETTERS.flip(0), LETTERS), 6)], ids=["training loss", "validation"]
)
def test_early_stopping_goes_back_to_the_best_weights(patience, validation, best_epoch):
    """The rate is good for 6 epochs, then far too high. The training loss is measured before the update of its epoch,
    the loss of `validation` after it.
    """

    def train(epochs, **options):
        model = make_seeded(0)
        scheduler = partial(LambdaLR, lr_lambda=lambda epoch: 1 if epoch < 6 else 100)
        history = fit(model, PAIR, epochs=epochs, lr=10.0, optimizer=SGD, scheduler=scheduler, **options)
        return model, history

    model, history = train(20, patience=patience, validation=validation)
    losses = history.validation if validation else history.loss
    assert losses[-1] > min(losses) + 0.1
    assert history.best_epoch == best_epoch == 1 + losses.index(min(losses))
    assert evaluate(model, validation or PAIR) == pytest.approx(min(losses), abs=1e-6)
    assert (history.stopped, len(losses)) == (("early stopping", best_epoch + 3) if patience == 3 else ("finished", 20))
    assert_same(model.state_dict(), train(6)[0].state_dict())


class Interrupted:
    """Batches that are interrupted in epoch 3, after the first batch."""

    def __init__(self):
        self.epoch = 0

    def __iter__(self):
        self.epoch += 1
        yield PAIR
        if self.epoch == 3:
            raise KeyboardInterrupt


def test_early_stopping_with_several_batches_keeps_what_the_best_epoch_has_learned():
    """The first epoch learns, then the rate is far too large."""
    first = make_seeded(0)
    fit(first, ONE_BY_ONE, epochs=1, lr=0.1, optimizer=SGD)
    wild = partial(LambdaLR, lr_lambda=lambda epoch: 1 if epoch == 0 else 1e4)
    model = make_seeded(0)
    history = fit(model, ONE_BY_ONE, epochs=9, lr=0.1, optimizer=SGD, scheduler=wild, patience=2)
    assert (history.best_epoch, history.stopped) == (1, "early stopping")
    assert_same(weights_of(model), weights_of(first))


@pytest.mark.parametrize("patience", [None, 5])
@pytest.mark.parametrize("lr", [0.02, 1000.0])
def test_an_interrupt_leaves_a_model_that_can_be_used(model, capsys, patience, lr):
    history = fit(model, Interrupted(), epochs=10, lr=lr, optimizer=SGD, patience=patience)
    assert "Interrupted after 2 of 10 epochs" in capsys.readouterr().out
    assert history.stopped == "interrupted"
    assert len(history.loss) == len(history.lr) == 2
    assert not model.training
    assert model(LETTERS).isfinite().all()
    if patience:
        assert evaluate(model, PAIR) == pytest.approx(min(history.loss), abs=1e-6)


@pytest.mark.parametrize("call", [3, 4])
def test_after_an_interrupt_the_history_holds_finished_epochs_only(model, call):
    """The loss is called twice in an epoch: in the training, then for `validation`."""
    calls = []

    def loss(logits, targets):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return bce(logits, targets)

    history = fit(model, PAIR, epochs=5, loss=loss, validation=PAIR)
    assert len(history.loss) == len(history.validation) == len(history.lr) == 1


def test_progress_is_shown_on_request(model, capsys):
    fit(model, PAIR, epochs=2)
    fit_ensemble(make_model, [0], *PAIR, epochs=2)
    assert capsys.readouterr() == ("", "")
    training.fit(model, PAIR, epochs=2)
    shown = capsys.readouterr()
    assert "2/2" in shown.out and "loss 0." in shown.out and shown.err == ""
    training.fit_ensemble(make_model, [0], *PAIR, epochs=2)
    shown = capsys.readouterr()
    assert "2/2" in shown.out and "loss of 1 networks 0." in shown.out and shown.err == ""


def test_batches_that_can_be_read_only_once_are_refused(model):
    with pytest.raises(ValueError, match="batches: nothing came in epoch 2"):
        fit(model, iter(ONE_BY_ONE), epochs=3)
    assert not model.training


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training(model, bad):
    inputs = LETTERS.clone()
    inputs[5, 0, 0, 0] = bad
    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit(model, (inputs, LETTERS), epochs=3, loss=lambda logits, targets: bce(logits, targets) * inputs.sum())
    assert not model.training


@pytest.mark.parametrize("patience", [None, 2])
def test_a_validation_loss_that_is_not_finite_stops_the_training(model, patience):
    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit(model, PAIR, epochs=3, validation=(LETTERS * math.nan, LETTERS), patience=patience)


BAD_ARGUMENTS = [
    *[("epochs", epochs) for epochs in (0, -1, 2.5, "3", None)],
    *[("lr", lr) for lr in (0, -0.1, math.nan, math.inf)],
]


@pytest.mark.parametrize(("name", "value"), [*BAD_ARGUMENTS, ("patience", 0), ("patience", -1)])
def test_fit_refuses_bad_arguments(model, name, value):
    before = weights_of(model)
    with pytest.raises(ValueError, match=f"{name}: expected .*{value}"):
        fit(model, PAIR, **{"epochs": 3, name: value})
    assert_same(model.state_dict(), before)


# --- fit: a step of the schedule after every batch -------------------------------------------------------------------


def test_a_schedule_may_take_a_step_after_every_batch(model):
    """4 batches an epoch: the history shows the rate at the start of every epoch, 4 steps after the one before."""
    used = []

    class NotingSGD(SGD):
        def step(self, closure=None):
            used.append(self.param_groups[0]["lr"])
            return super().step(closure)

    options = dict(lr=2.0, optimizer=NotingSGD, scheduler=warmup_cosine(20, 6), step_every_batch=True)
    history = fit(model, BATCHES["a list"], epochs=5, **options)
    expected = [2 * min(1, (i + 1) / 6) * (1 + math.cos(math.pi * i / 20)) / 2 for i in range(20)]
    assert used == pytest.approx(expected)
    assert history.lr == pytest.approx(expected[::4])


def test_without_step_every_batch_the_rate_of_an_epoch_stays(model):
    history = fit(model, BATCHES["a list"], epochs=3, scheduler=partial(LambdaLR, lr_lambda=lambda step: 0.5**step))
    assert history.lr == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_reduce_on_plateau_cannot_take_a_step_after_every_batch(model):
    before = weights_of(model)
    with pytest.raises(ValueError, match="step_every_batch: ReduceLROnPlateau"):
        fit(model, PAIR, epochs=3, scheduler=ReduceLROnPlateau, step_every_batch=True)
    assert_same(model.state_dict(), before)
    fit(model, PAIR, epochs=3, scheduler=ReduceLROnPlateau)


# --- fit: numbers of 16 bits -----------------------------------------------------------------------------------------


def make_unet():
    return UNet((8, 6))


def make_with_batch_norm():
    return Autoencoder([64, 20, 4, 20, 64], batch_norm=True)


@pytest.mark.parametrize("make", [make_unet, make_with_batch_norm])
def test_numbers_of_16_bits_give_nearly_the_same_training(make):
    images = nn.functional.pad(LETTERS, (1, 2, 1, 0))  # 8x8
    results = {}
    for bfloat16 in (False, True):
        model, seen = make_seeded(0, make), []
        last = [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv2d))][-1]
        last.register_forward_hook(lambda module, args, output, seen=seen: seen.append(output.dtype))
        history = fit(model, (images, images), epochs=30, lr=0.02, bfloat16=bfloat16)
        results[bfloat16] = history.loss
        assert set(seen) == {torch.bfloat16 if bfloat16 else torch.float32}
        assert all(weights.dtype == torch.float32 for weights in model.parameters())
        assert model(images).dtype == torch.float32
        assert evaluate(model, (images, images)) < 0.9 * history.loss[0]
    assert results[True] == pytest.approx(results[False], rel=0.03)
    assert results[True] != results[False]


def test_with_numbers_of_16_bits_the_loss_and_the_validation_see_32(model):
    kinds = set()

    def loss(logits, targets):
        kinds.add((logits.dtype, torch.is_autocast_enabled("cpu")))
        return bce(logits, targets)

    fit(model, PAIR, epochs=2, loss=loss, validation=PAIR, bfloat16=True)
    assert kinds == {(torch.float32, False)}


def test_numbers_of_64_bits_stay_as_they_are():
    model, images = make_model().double(), LETTERS.double()
    kinds = set()
    fit(model, (images, images), epochs=2, loss=lambda logits, x: kinds.add(logits.dtype) or bce(logits, x))
    assert kinds == {weights.dtype for weights in model.parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("known", "fast"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, False),
        ({"architecture": "aarch64"}, False),
        (None, False),  # a PyTorch that does not tell
    ],
)
def test_whether_numbers_of_16_bits_are_fast(monkeypatch, known, fast):
    if known is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert training.bfloat16_is_fast() is fast


def test_this_processor_is_asked_without_an_error():
    assert training.bfloat16_is_fast() in (True, False)


# --- fit: a call after every epoch -----------------------------------------------------------------------------------


def note(calls):
    return lambda history: calls.append((len(history.loss), len(history.validation), history.seconds))


@pytest.mark.parametrize("validation", [None, PAIR])
def test_on_epoch_is_called_after_every_epoch_and_at_the_end(model, validation):
    calls = []
    history = fit(model, PAIR, epochs=3, validation=validation, on_epoch=note(calls))
    measured = 1 if validation else 0
    assert calls == [*((i, i * measured, 0) for i in (1, 2, 3)), (3, 3 * measured, history.seconds)]
    assert history.seconds > 0


def test_on_epoch_is_called_at_the_end_of_a_training_that_stops_early(model, capsys):
    calls = []
    fit(model, PAIR, epochs=50, lr=1e-12, optimizer=SGD, patience=2, validation=PAIR, on_epoch=note(calls))
    assert [epoch for epoch, _, _ in calls] == [1, 2, 3, 3]
    assert [seconds > 0 for _, _, seconds in calls] == [False, False, False, True]
    calls.clear()
    fit(model, Interrupted(), epochs=10, on_epoch=note(calls))
    assert [epoch for epoch, _, _ in calls] == [1, 2, 2] and calls[-1][2] > 0
    assert "Interrupted after 2" in capsys.readouterr().out


def test_an_interrupt_while_on_epoch_draws_ends_the_training_too(model, capsys):
    def draw(history):
        if len(history.loss) == 2 and not history.seconds:
            raise KeyboardInterrupt

    history = fit(model, PAIR, epochs=10, on_epoch=draw)
    assert (history.stopped, len(history.loss), len(history.lr)) == ("interrupted", 2, 2)
    assert "Interrupted after 2" in capsys.readouterr().out


def test_on_epoch_at_the_end_finds_the_model_as_it_is_left(model):
    modes = []
    fit(model, PAIR, epochs=2, on_epoch=lambda history: modes.append(model.training))
    assert modes[-1] is False and len(modes) == 3


@pytest.mark.parametrize("look", [evaluate, lambda model, pair: evaluation.predict(model, pair[0])])
def test_on_epoch_may_use_the_model_and_changes_nothing(look):
    """Both leave the model in evaluation mode, where the batch norm would stop to learn its averages."""
    make, results = partial(make_seeded, 0, partial(Autoencoder, [35, 8, 2, 8, 35], batch_norm=True)), []
    for use in (lambda model: None, lambda model: look(model, PAIR)):
        model = make()
        history = fit(model, PAIR, epochs=5, lr=0.02, on_epoch=lambda history, model=model, use=use: use(model))
        results.append((history.loss, model.state_dict()))
    assert results[0][0] == results[1][0]
    assert_same(results[1][1], results[0][1])


# --- Batches ---------------------------------------------------------------------------------------------------------

NUMBERS = torch.arange(10.0).reshape(10, 1, 1, 1)  # images of one pixel that say which one they are


def numbers_of(batches):
    """Which images come in one pass, in their order."""
    return torch.cat([inputs.flatten() for inputs, _ in batches]).tolist()


@pytest.mark.parametrize(("batch_size", "count"), [(1, 10), (3, 3), (5, 2), (6, 1), (10, 1)])
def test_a_pass_gives_each_image_at_most_once(batch_size, count):
    batches = Batches(NUMBERS, batch_size=batch_size)
    assert len(batches) == count
    for _ in range(3):
        assert [len(inputs) for inputs, _ in batches] == [batch_size] * count
        passed = numbers_of(batches)
        assert len(passed) == len(set(passed)) == count * batch_size
        assert set(passed) <= set(range(10))


def test_images_left_over_in_one_pass_come_in_another():
    batches = Batches(NUMBERS, batch_size=7)
    missing = [set(range(10)) - set(numbers_of(batches)) for _ in range(20)]
    assert all(len(left) == 3 for left in missing)
    assert not set.intersection(*missing) and set.union(*missing) == set(range(10))


def test_every_pass_has_a_new_order_and_new_noise():
    batches = Batches(NUMBERS, batch_size=5)
    passes = [tuple(numbers_of(batches)) for _ in range(5)]
    assert len(set(passes)) == 5
    grey = torch.full((1, 1, 7, 5), 0.5)
    noisy = Batches(grey, batch_size=1, noise=partial(noise.gaussian, std=0.1))
    first, second = (next(iter(noisy))[0] for _ in range(2))
    assert not torch.equal(first, second)


def test_two_images_in_a_batch_get_different_noise():
    ((inputs, _),) = Batches(torch.full((2, 1, 7, 5), 0.5), batch_size=2, noise=partial(noise.gaussian, std=0.1))
    assert not torch.equal(inputs[0], inputs[1])


def test_the_same_seed_gives_the_same_batches_and_the_global_generator_is_left_alone():
    def two_passes(seed):
        batches = Batches(LETTERS, batch_size=10, noise=partial(noise.salt_and_pepper, p=0.3), seed=seed)
        return torch.stack([torch.stack(batch) for _ in range(2) for batch in batches])

    state = torch.get_rng_state()
    first = two_passes(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)  # whatever else happens in between
    assert torch.equal(two_passes(3), first)
    assert not torch.equal(two_passes(4), first)


def test_targets_are_the_inputs_without_noise_or_those_given():
    images = torch.rand(30, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    for inputs, targets in Batches(images, batch_size=7):
        assert torch.equal(inputs, targets)
    for inputs, targets in Batches(images, batch_size=7, noise=lambda x, generator: -x):
        assert torch.equal(inputs, -targets)
        assert all((images == target).flatten(1).all(1).any() for target in targets)
    for inputs, targets in Batches(images, images.flatten(1)[:, :2], batch_size=7):
        assert torch.equal(inputs.flatten(1)[:, :2], targets)  # input and target of the same image
    noisy = Batches(images, 1 - images, batch_size=30, noise=partial(noise.gaussian, std=0.01))
    for inputs, targets in noisy:
        assert 0 < (inputs - (1 - targets)).abs().max() < 0.1
    for inputs, targets in Batches(images, batch_size=7):
        inputs.zero_(), targets.zero_()  # whatever is done to a batch, the images stay
    assert torch.equal(images, before)


@pytest.mark.parametrize("batch_size", [0, -1, 33, 1000, 2.5, 8.0, "8", None])
def test_batches_refuse_a_size_that_does_not_fit(batch_size):
    with pytest.raises(ValueError, match=f"batch_size: expected 1 to 32, .* got {batch_size}$"):
        Batches(LETTERS, batch_size=batch_size)


@pytest.mark.parametrize("count", [0, 1, 31])
def test_batches_refuse_inputs_without_targets(count):
    with pytest.raises(ValueError, match=f"32 inputs and {count} targets"):
        Batches(LETTERS, LETTERS[:count], batch_size=1)


def test_batches_of_no_images_are_refused():
    with pytest.raises(ValueError, match="batch_size"):
        Batches(LETTERS[:0], batch_size=1)


def test_fit_takes_batches(model):
    def train():
        model = make_seeded(0)
        batches = Batches(LETTERS, batch_size=8, noise=partial(noise.salt_and_pepper, p=0.1), seed=1)
        return model, fit(model, batches, epochs=40, lr=0.02)

    before = evaluate(model, PAIR)
    (first, history), (second, _) = train(), train()
    assert evaluate(first, PAIR) < 0.9 * before and history.loss[-1] < 0.9 * history.loss[0]
    assert_same(second.state_dict(), first.state_dict())


# --- NoisyCopies -----------------------------------------------------------------------------------------------------

SALT_AND_PEPPER = partial(noise.salt_and_pepper, p=0.2)


def mixed_noise(images, generator):
    """One p for each noisy image."""
    p = 0.4 * torch.rand(*images.shape[:-3], 1, 1, 1, generator=generator, dtype=images.dtype)
    return noise.salt_and_pepper(images, p, generator)


def passes_of(source, count):
    """The noisy inputs of so many passes."""
    return torch.stack([inputs for _ in range(count) for inputs, _ in source])


@pytest.mark.parametrize("copies", [1, 2, 5])
@pytest.mark.parametrize("shape", [(10, 1, 1, 1), (10, 1)])
def test_a_pass_is_one_batch_and_the_targets_go_in_step_with_the_inputs(copies, shape):
    images = NUMBERS.reshape(shape)
    source = NoisyCopies(images, -images, lambda x, generator: x + 0.5, copies=copies)
    for _ in range(3):
        ((inputs, targets),) = source
        assert inputs.shape == targets.shape == (10 * copies, *shape[1:])
        assert (inputs - 0.5).flatten().tolist() == list(range(10)) * copies
        assert torch.equal(targets, 0.5 - inputs)


def test_every_pass_every_copy_and_every_image_has_noise_of_its_own():
    grey = torch.full((2, 1, 7, 5), 0.5)
    passes = passes_of(NoisyCopies(grey, grey, SALT_AND_PEPPER, copies=3), 70)  # more than are drawn at once
    assert passes.shape == (70, 6, 1, 7, 5)
    assert len(passes.flatten(0, 1).unique(dim=0)) == 70 * 6
    assert (passes != 0.5).float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_the_same_seed_gives_the_same_copies_and_the_global_generator_is_left_alone():
    def draw(seed):
        return passes_of(NoisyCopies(LETTERS, LETTERS, mixed_noise, copies=2, seed=seed), 40)

    before, state = LETTERS.clone(), torch.get_rng_state()
    first = draw(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)  # whatever else happens in between
    assert torch.equal(draw(3), first)
    assert not torch.equal(draw(4), first)
    assert torch.equal(LETTERS, before)


def test_one_p_for_each_noisy_image():
    white = torch.zeros(40, 1, 28, 28)
    shares = 2 * NoisyCopies(white, white, mixed_noise, copies=2).draw().flatten(2).mean(dim=2)
    assert shares.mean().item() == pytest.approx(0.2, abs=0.01)
    assert shares.std().item() == pytest.approx(0.4 / math.sqrt(12), abs=0.01)
    assert np.abs(np.corrcoef(shares[:, :40].flatten(), shares[:, 40:].flatten())[0, 1]) < 0.1  # the two copies


def test_the_noise_of_two_seeds_is_independent():
    grey = torch.full((100, 1, 7, 5), 0.5)
    first, second = (NoisyCopies(grey, grey, SALT_AND_PEPPER, seed=seed).draw() for seed in (1, 2))
    assert (first == second).float().mean().item() == pytest.approx(0.8**2 + 2 * 0.1**2, abs=0.01)


@pytest.mark.parametrize("copies", [0, -1, 2.5, "3", None])
def test_copies_that_make_no_sense_are_refused(copies):
    with pytest.raises(ValueError, match=f"copies: expected a whole number >= 1, got {copies!r}"):
        NoisyCopies(*PAIR, SALT_AND_PEPPER, copies=copies)
    with pytest.raises(ValueError, match=f"copies: expected a whole number >= 1, got {copies!r}"):
        fit_ensemble(make_model, [1], *PAIR, epochs=3, noise=SALT_AND_PEPPER, copies=copies)


# --- fit_ensemble: the same as training alone ------------------------------------------------------------------------


def make_plain():
    """A model that knows nothing about ensembles; takes rows."""
    return nn.Sequential(nn.Linear(35, 8), nn.Tanh(), nn.Linear(8, 35))


def in_double(make):
    return lambda: make().double()


@pytest.mark.parametrize("make", [make_model, make_plain])
@pytest.mark.parametrize("loss", [bce, mse])
@pytest.mark.parametrize(("double", "tolerance"), [(False, 1e-4), (True, 1e-9)], ids=["single", "double"])
def test_a_member_is_what_the_same_seed_gives_alone(make, loss, double, tolerance):
    make, images = (in_double(make), LETTERS.double()) if double else (make, LETTERS)
    images = images.flatten(1)
    options = {"epochs": 100, "lr": 0.01, "loss": loss, "scheduler": warmup_cosine(100, 10)}
    ensemble = fit_ensemble(make, [5, 0, 7], images, images, **options)
    for i, seed in enumerate([5, 0, 7]):
        alone = make_seeded(seed, make)
        history = fit(alone, (images, images), **options)
        assert history.loss[-1] < 0.9 * history.loss[0]  # a real training
        assert_same(ensemble.member(i).state_dict(), alone.state_dict(), tolerance)
        assert ensemble.loss[:, i].tolist() == pytest.approx(history.loss, abs=tolerance, rel=0)


@pytest.mark.parametrize("optimizer", [Adam, torch.optim.Adam, partial(SGD, momentum=0.9), torch.optim.AdamW])
def test_with_any_optimizer(optimizer):
    images, make = LETTERS.double(), in_double(make_model)
    options = {"epochs": 50, "lr": 0.01, "optimizer": optimizer}
    alone = make_seeded(3, make)
    fit(alone, (images, images), **options)
    ensemble = fit_ensemble(make, [2, 3], images, images, **options)
    assert_same(ensemble.member(1).state_dict(), alone.state_dict(), 1e-9)


class WithOneMoreLayer(Autoencoder):
    """An autoencoder that somebody changed."""

    def __init__(self):
        super().__init__([35, 8, 2, 8, 35])
        self.more = nn.Linear(35, 35)

    def decode(self, codes):
        return self.more(super().decode(codes))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: Autoencoder([35, 8, 2, 8, 35], activation=nn.ELU), id="ELU"),
        pytest.param(lambda: Autoencoder([35, 8, 2, 8, 35], activation=nn.PReLU), id="PReLU"),  # has a weight
        pytest.param(lambda: Autoencoder([35, 8, 2, 8, 35], activation=partial(nn.LayerNorm, 8)), id="LayerNorm"),
        pytest.param(lambda: Autoencoder([35, 3, 35], code_activation=partial(nn.Softmax, dim=1)), id="Softmax"),
        pytest.param(WithOneMoreLayer, id="subclass"),
    ],
)
def test_with_any_layers(make):
    images, make = LETTERS.double(), in_double(make)
    alone = make_seeded(3, make)
    fit(alone, (images, images), epochs=20, lr=0.01)
    ensemble = fit_ensemble(make, [2, 3], images, images, epochs=20, lr=0.01)
    assert_same(ensemble.member(1).state_dict(), alone.state_dict(), 1e-9)
    assert torch.allclose(ensemble(images)[1], alone(images), atol=1e-6)
    assert torch.allclose(ensemble.encode(images)[1], alone.encode(images), atol=1e-6)


@pytest.mark.parametrize("seeds", [[1], [3, 1], [1, 2, 3], [2, 9, 8, 1, 1]])
def test_a_member_does_not_depend_on_the_others(seeds):
    images, make = LETTERS.double(), in_double(make_model)
    expected = fit_ensemble(make, [1, 2], images, images, epochs=50, lr=0.01).member(0)
    member = fit_ensemble(make, seeds, images, images, epochs=50, lr=0.01).member(seeds.index(1))
    assert_same(member.state_dict(), expected.state_dict(), 1e-9)


def test_start_from_goes_on_where_the_other_ensemble_is():
    train = partial(fit_ensemble, make_model, [1, 2], *PAIR, lr=1.0, optimizer=SGD)
    first = train(epochs=20)
    before = copy.deepcopy(first.weights)
    both = train(epochs=15, start_from=first)
    whole = train(epochs=35)
    assert_same(both.weights, whole.weights, 1e-6)
    assert torch.allclose(torch.cat([first.loss, both.loss]), whole.loss, atol=1e-6)
    assert_same(first.weights, before)
    assert (both.weights["decoder.0.weight"] - before["decoder.0.weight"]).abs().max() > 1e-3  # it did learn


def make_plain_for_images():
    """A model that knows nothing about ensembles; takes images."""
    return nn.Sequential(nn.Flatten(-3), *make_plain(), nn.Unflatten(-1, (1, 7, 5)))


@pytest.mark.parametrize("make", [make_model, make_plain_for_images], ids=["stacked", "vmap"])
@pytest.mark.parametrize("add_noise", [SALT_AND_PEPPER, mixed_noise], ids=["one p", "mixed"])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize(("double", "tolerance"), [(False, 1e-4), (True, 1e-9)], ids=["single", "double"])
def test_with_noise_a_member_is_what_the_same_seed_gives_alone(make, add_noise, copies, double, tolerance):
    make, images = (in_double(make), LETTERS.double()) if double else (make, LETTERS)
    options = {"epochs": 70, "lr": 0.01, "scheduler": warmup_cosine(70, 10)}  # more epochs than are drawn at once
    noisy = {"noise": add_noise, "copies": copies}
    ensemble = fit_ensemble(make, [5, 0, 7], images, images, **noisy, **options)
    for i, seed in enumerate([5, 0, 7]):
        alone = make_seeded(seed, make)
        history = fit(alone, NoisyCopies(images, images, **noisy, seed=seed), **options)
        single = fit_ensemble(make, [seed], images, images, **noisy, **options)
        assert history.loss[-1] < 0.95 * history.loss[0]  # a real training
        for weights, losses in (
            (alone.state_dict(), history.loss),
            (single.member(0).state_dict(), single.loss[:, 0].tolist()),
        ):
            assert_same(ensemble.member(i).state_dict(), weights, tolerance)
            assert ensemble.loss[:, i].tolist() == pytest.approx(losses, abs=tolerance, rel=0)


@pytest.mark.parametrize("make", [make_model, make_plain_for_images], ids=["stacked", "vmap"])
def test_members_that_start_alike_see_the_noise_of_their_own_seed(make):
    ensemble = fit_ensemble(lambda: make_seeded(0, make), [1, 2, 1], *PAIR, epochs=40, noise=SALT_AND_PEPPER)
    first, second, same = ensemble.loss.T
    assert torch.allclose(first, same, atol=1e-6)
    assert (first - second).abs().min() > 0
    assert (ensemble(LETTERS)[0] - ensemble(LETTERS)[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("make", "add_noise", "loss"),
    [
        (make_model, SALT_AND_PEPPER, bce),
        (partial(VariationalAutoencoder, [35, 8], 2), sampling_noise(2), training.negative_elbo(1.0)),
    ],
    ids=["noisy images", "noise beside images"],
)
def test_noise_drawn_ahead_is_the_same_as_noise_drawn_when_it_is_needed(make, add_noise, loss):
    """With one thread a second one draws ahead; with two it does not."""
    train = partial(fit_ensemble, make, [1, 2], *PAIR, epochs=70, lr=0.01, noise=add_noise, loss=loss)
    ahead = train()
    torch.set_num_threads(2)
    try:
        assert_same(train().weights, ahead.weights, 1e-4)
    finally:
        torch.set_num_threads(1)
    assert [thread.name for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name] == []


@pytest.mark.parametrize(
    ("make", "loss"),
    [(make_model, bce), (partial(VariationalAutoencoder, [35, 8], 2), training.negative_elbo(1.0))],
    ids=["one output", "three outputs"],
)
def test_many_images_get_the_same_answers_as_few(make, loss):
    """They are answered in pieces."""
    ensemble = fit_ensemble(make, [1, 2], *PAIR, epochs=2, loss=loss)
    few, many = ensemble(LETTERS), ensemble(LETTERS.repeat(70, 1, 1, 1))
    pairs = zip(few, many, strict=True) if isinstance(few, tuple) else [(few, many)]
    for one, other in pairs:
        assert other.shape == (2, 70 * 32, *one.shape[2:])
        assert torch.allclose(other, one.repeat(1, 70, *[1] * (one.dim() - 2)), atol=1e-5)


def test_an_error_in_the_noise_is_raised_where_it_trains():
    calls = itertools.count(1)

    def breaks(images, generator):
        if next(calls) > 2:
            raise ZeroDivisionError("no more noise")
        return images.clone()

    with pytest.raises(ZeroDivisionError, match="no more noise"):
        fit_ensemble(make_model, [1], *PAIR, epochs=200, noise=breaks)


def test_a_device_may_be_named_and_one_that_is_not_there_is_refused():
    options = {"epochs": 40, "noise": SALT_AND_PEPPER, "copies": 2}
    named = fit_ensemble(make_model, [1, 2], *PAIR, device="cpu", **options)
    assert_same(named.to("cpu").weights, fit_ensemble(make_model, [1, 2], *PAIR, **options).weights)
    with pytest.raises(RuntimeError, match="xpected one of cpu, cuda"):
        fit_ensemble(make_model, [1], *PAIR, epochs=1, device="gpu")


def test_noise_after_a_start_without_noise():
    images, make = LETTERS.double(), in_double(make_model)
    first = fit_ensemble(make, [1, 2], images, images, epochs=50, lr=0.02)
    before = copy.deepcopy(first.weights)
    options = {"epochs": 40, "lr": 0.01}
    both = fit_ensemble(make, [1, 2], images, images, noise=mixed_noise, copies=2, start_from=first, **options)
    for i, seed in enumerate([1, 2]):
        alone = first.member(i)
        fit(alone, NoisyCopies(images, images, mixed_noise, copies=2, seed=seed), **options)
        assert_same(both.member(i).state_dict(), alone.state_dict(), 1e-9)
    assert_same(first.weights, before)
    assert (both.weights["decoder.0.weight"] - before["decoder.0.weight"]).abs().max() > 1e-3  # it did learn


def test_the_metric_is_measured_on_clean_inputs():
    options = {"lr": 0.02, "noise": SALT_AND_PEPPER, "copies": 2}
    train = partial(fit_ensemble, make_model, [4, 5], *PAIR, **options)
    ensemble = train(epochs=25, metric=mse, metric_every=10)
    assert ensemble.metric_epochs == [0, 10, 20, 25] and ensemble.metric.shape == (4, 2)
    after_10 = train(epochs=10)
    for i, seed in enumerate([4, 5]):
        networks = (make_seeded(seed), after_10.member(i), ensemble.member(i))
        expected = [evaluate(network, PAIR, mse) for network in networks]
        assert ensemble.metric[[0, 1, 3], i].tolist() == pytest.approx(expected, rel=1e-5)
    assert_same(train(epochs=25).weights, ensemble.weights)  # measuring changes nothing


def test_networks_trained_with_noise_learn_to_denoise():
    def make():
        return Autoencoder([35, 40, 8, 40, 35], code_activation=nn.Identity)

    add_noise = partial(noise.salt_and_pepper, p=0.1)
    options = {"epochs": 300, "lr": 0.01}
    clean = LETTERS.repeat(100, 1, 1, 1)
    noisy = add_noise(clean, generator=torch.Generator().manual_seed(99))  # other noise than in training
    nothing_done = evaluation.pixel_errors(noisy - 0.5, clean).float().mean()
    ensemble = fit_ensemble(make, [1, 2], *PAIR, noise=add_noise, copies=4, **options)
    alone = make_seeded(3, make)
    fit(alone, NoisyCopies(*PAIR, add_noise, copies=4, seed=3), **options)
    for network in (ensemble.member(0), ensemble.member(1), alone):
        assert evaluation.pixel_errors(network(noisy), clean).float().mean() < 0.5 * nothing_done


def test_the_global_generator_is_left_alone():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        state = torch.get_rng_state()
        fit_ensemble(make_model, [1, 2], *PAIR, epochs=3)
        fit_ensemble(make_model, [1, 2], *PAIR, epochs=3, noise=mixed_noise)
        assert torch.equal(torch.get_rng_state(), state)


# --- fit_ensemble: what comes out ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensemble():
    return fit_ensemble(make_model, [4, 5, 6], *PAIR, epochs=30, lr=0.02)


def test_a_member_is_an_ordinary_module_of_its_own(ensemble):
    before = copy.deepcopy(ensemble.weights)
    member, same, other = ensemble.member(1), ensemble.member(1), ensemble.member(0)
    assert type(member) is Autoencoder and not member.training
    assert all(weights.requires_grad for weights in member.parameters())
    fit(member, PAIR, epochs=3, lr=0.1)
    assert_same(ensemble.weights, before)
    assert (member(LETTERS) - same(LETTERS)).abs().max() > 1e-3
    assert (other(LETTERS) - same(LETTERS)).abs().max() > 1e-3


def test_an_ensemble_gives_what_its_members_give(ensemble):
    codes, logits = ensemble.encode(LETTERS), ensemble(LETTERS)
    grid = torch.rand(7, 2, generator=torch.Generator().manual_seed(0))
    decoded, decoded_grid = ensemble.decode(codes), ensemble.decode(grid)
    assert logits.shape == (3, 32, 1, 7, 5) and codes.shape == (3, 32, 2)
    assert decoded.shape == (3, 32, 35) and decoded_grid.shape == (3, 7, 35)
    for i in range(3):
        member = ensemble.member(i)
        assert torch.allclose(logits[i], member(LETTERS), atol=1e-5)
        assert torch.allclose(ensemble(LETTERS.flatten(1))[i], member(LETTERS.flatten(1)), atol=1e-5)
        assert torch.allclose(codes[i], member.encode(LETTERS), atol=1e-5)
        assert torch.allclose(decoded[i], member.decode(codes[i]), atol=1e-5)
        assert torch.allclose(decoded_grid[i], member.decode(grid), atol=1e-5)
    assert not any(result.requires_grad for result in (codes, logits, decoded))


def test_what_an_ensemble_remembers(ensemble):
    assert len(ensemble) == 3 and ensemble.seeds == (4, 5, 6)
    assert ensemble.loss.shape == (30, 3) and not ensemble.loss.requires_grad
    assert ensemble.loss[0].tolist() == pytest.approx([evaluate(make_seeded(seed), PAIR) for seed in (4, 5, 6)])
    assert (ensemble.loss[-1] < ensemble.loss[0]).all()
    assert len(ensemble.metric) == 0 and ensemble.metric_epochs == []
    assert ensemble.seconds > 0


def test_a_metric_is_measured_every_so_often_and_at_the_end():
    ensemble = fit_ensemble(make_model, [4, 5], *PAIR, epochs=25, lr=0.02, metric=mse, metric_every=10)
    assert ensemble.metric_epochs == [0, 10, 20, 25]
    assert ensemble.metric.shape == (4, 2)
    for i, seed in enumerate([4, 5]):
        first, last = evaluate(make_seeded(seed), PAIR, mse), evaluate(ensemble.member(i), PAIR, mse)
        assert ensemble.metric[[0, -1], i].tolist() == pytest.approx([first, last], rel=1e-5)


def test_an_interrupt_leaves_an_ensemble_that_can_be_used(capsys):
    calls = []

    def metric(logits, targets):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return mse(logits, targets)

    ensemble = fit_ensemble(make_model, [4, 5], *PAIR, epochs=25, metric=metric, metric_every=5)
    assert "Interrupted after 10 of 25 epochs" in capsys.readouterr().out
    assert ensemble.loss.shape == (10, 2)
    assert ensemble.metric_epochs == [0, 5, 10]
    assert ensemble.metric.shape == (3, 2)
    alone = make_seeded(5)
    fit(alone, PAIR, epochs=10)
    assert_same(ensemble.member(1).state_dict(), alone.state_dict(), 1e-5)
    assert not any(weights.requires_grad for weights in ensemble.weights.values())


def test_an_interrupt_right_after_a_measurement_counts_it_once(capsys):
    calls = itertools.count(1)

    def loss(logits, targets):
        if next(calls) == 11:
            raise KeyboardInterrupt
        return bce(logits, targets)

    ensemble = fit_ensemble(make_model, [4, 5], *PAIR, epochs=25, loss=loss, metric=mse, metric_every=5)
    assert "Interrupted after 10 of 25 epochs" in capsys.readouterr().out
    assert ensemble.metric_epochs == [0, 5, 10] and ensemble.metric.shape == (3, 2)
    assert ensemble.stopped == "interrupted"


def test_a_diverged_network_is_named_and_spoils_no_other():
    def make():
        model = make_model()
        if torch.initial_seed() == 7:
            nn.init.constant_(model.decoder[0].bias, math.nan)
        return model

    with pytest.warns(UserWarning, match=r"not finite: \[7\]"):
        ensemble = fit_ensemble(make, [6, 7, 8], *PAIR, epochs=20, lr=0.02)
    expected = fit_ensemble(make, [6, 8], *PAIR, epochs=20, lr=0.02)
    assert_same(ensemble.member(0).state_dict(), expected.member(0).state_dict(), 1e-5)
    assert_same(ensemble.member(2).state_dict(), expected.member(1).state_dict(), 1e-5)


def test_weights_that_the_last_update_spoils_are_named():
    """The losses, measured before the updates, are all fine; only the weights at the end are not."""
    scheduler = partial(LambdaLR, lr_lambda=lambda epoch: math.inf if epoch == 4 else 1)
    with pytest.warns(UserWarning, match=r"not finite: \[1, 2\]"):
        ensemble = fit_ensemble(make_model, [1, 2], *PAIR, epochs=5, optimizer=SGD, scheduler=scheduler)
    assert ensemble.loss.isfinite().all() and not ensemble(LETTERS).isfinite().any()


# --- fit_ensemble: errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), BAD_ARGUMENTS)
def test_fit_ensemble_refuses_bad_arguments(name, value):
    with pytest.raises(ValueError, match=f"{name}: expected .*{value}"):
        fit_ensemble(make_model, [1], *PAIR, **{"epochs": 3, name: value})


def test_fit_ensemble_refuses_no_seeds():
    with pytest.raises(ValueError, match="seeds: expected at least one"):
        fit_ensemble(make_model, [], *PAIR, epochs=3)


def test_fit_ensemble_refuses_inputs_without_targets():
    with pytest.raises(ValueError, match="32 inputs and 31 targets"):
        fit_ensemble(make_model, [1], LETTERS, LETTERS[1:], epochs=3)


def test_fit_ensemble_refuses_batch_norm():
    def make():
        return nn.Sequential(nn.Linear(35, 35), nn.BatchNorm1d(35))

    rows = LETTERS.flatten(1)
    for make_it in (make, partial(Autoencoder, [35, 8, 2, 8, 35], batch_norm=True)):
        with pytest.raises(ValueError, match=r"without buffers.*running_mean"):
            fit_ensemble(make_it, [1, 2], rows, rows, epochs=3)


@pytest.mark.parametrize(
    ("make", "seeds"),
    [
        pytest.param(lambda: Autoencoder([35, 9, 2, 9, 35]), [1, 2, 3], id="other widths"),
        pytest.param(lambda: Autoencoder([35, 2, 35]), [1, 2, 3], id="fewer layers"),
        pytest.param(make_model, [1, 2], id="fewer seeds"),
    ],
)
def test_start_from_must_fit(ensemble, make, seeds):
    with pytest.raises(ValueError, match="start_from: expected weights of shapes"):
        fit_ensemble(make, seeds, *PAIR, epochs=3, start_from=ensemble)


# --- weights on disk -------------------------------------------------------------------------------------------------


def saved(content):
    """What torch.save writes, as bytes."""
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


WEIGHTS = saved(make_seeded(1).state_dict())


def test_saved_weights_come_back(model, tmp_path):
    file = tmp_path / "new folder" / "weights.pt"
    other = make_seeded(1)
    save_weights(model, file)
    load_weights(other, file)
    assert_same(other.state_dict(), model.state_dict())
    assert [entry.name for entry in file.parent.iterdir()] == ["weights.pt"]


BAD_FILES = {
    "another architecture": saved(Autoencoder([35, 9, 2, 9, 35]).state_dict()),
    "fewer layers": saved(Autoencoder([35, 2, 35]).state_dict()),
    "a part is missing": saved(dict(list(make_model().state_dict().items())[:-1])),
    "cut short": WEIGHTS[: len(WEIGHTS) // 2],
    "the last byte is missing": WEIGHTS[:-1],
    "one byte": WEIGHTS[:1],
    "empty": b"",
    "text": b"these are no weights\n",
    "a list": saved(list(make_model().state_dict().values())),
    "a tensor": saved(torch.zeros(3)),
    "numbers": saved({"encoder.0.weight": 1.0}),
    "a whole model": saved(make_model()),
    "an old format, cut short": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
}


def assert_refused(model, file):
    before = weights_of(model)
    with pytest.raises(ValueError) as error:
        load_weights(model, file)
    assert str(file) in str(error.value)
    assert_same(model.state_dict(), before)


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_does_not_fit_is_refused(model, tmp_path, content):
    file = tmp_path / "weights.pt"
    file.write_bytes(content)
    assert_refused(model, file)


class MakesFolder:
    """Pickled, then read without care, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("write", [partial(pickle.dumps, protocol=2), saved], ids=["pickle", "torch.save"])
def test_code_in_a_file_does_not_run(model, tmp_path, write):
    file, folder = tmp_path / "weights.pt", tmp_path / "trap"
    file.write_bytes(write({**model.state_dict(), "trap": MakesFolder(folder)}))
    assert_refused(model, file)
    assert not folder.exists()
    torch.load(file, weights_only=False) if write is saved else pickle.loads(file.read_bytes())
    assert folder.exists()  # the trap works


def test_a_missing_file_of_weights(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"weights\.pt"):
        load_weights(model, tmp_path / "weights.pt")


def test_if_saving_fails_the_old_file_stays(model, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("no space left")

    file = tmp_path / "weights.pt"
    save_weights(model, file)
    expected = file.read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        save_weights(make_seeded(1), file)
    assert file.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [file]


# ---- the variational autoencoder: KL divergence, ELBO, many seeds ----------------------------------------------------


def normal_kl(mu, logvar):
    return torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
    )


@given(mu=st.floats(-5, 5), logvar=st.floats(-10, 5))
def test_kl_divergence_is_that_of_two_normal_distributions(mu, logvar):
    mu, logvar = torch.tensor([[mu]], dtype=torch.float64), torch.tensor([[logvar]], dtype=torch.float64)
    assert torch.allclose(training.kl_divergence(mu, logvar), normal_kl(mu, logvar))


def test_kl_divergence_agrees_with_monte_carlo():
    mu, logvar = torch.tensor([0.7, -1.5]), torch.tensor([-1.0, 0.5])
    code, prior = torch.distributions.Normal(mu, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        z = code.sample((200_000,))
    estimate = (code.log_prob(z) - prior.log_prob(z)).mean(dim=0)
    assert torch.allclose(training.kl_divergence(mu, logvar), estimate, atol=0.02)


def test_kl_divergence_is_zero_for_the_standard_normal_distribution():
    assert training.kl_divergence(torch.zeros(1), torch.zeros(1)) == 0


def test_elbo_is_the_log_likelihood_minus_beta_times_the_divergence():
    images, logits = torch.rand(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    mu, logvar = torch.randn(3, 2), torch.randn(3, 2)
    likelihood = torch.distributions.Normal(torch.sigmoid(logits), 1.0).log_prob(images).sum(dim=(1, 2, 3))
    constant = -0.5 * 16 * math.log(2 * math.pi)
    for beta in (0.0, 0.5, 1.0):
        expected = likelihood - constant - beta * normal_kl(mu, logvar).sum(dim=1)
        assert torch.allclose(training.elbo((logits, mu, logvar), images, beta), expected, atol=1e-4)
        assert torch.allclose(training.negative_elbo(beta)((logits, mu, logvar), images), -expected, atol=1e-4)


def test_elbo_is_below_the_evidence():
    """A decoder with one code number and two pixels: the evidence by numerical integration over the code."""
    decode = torch.tensor([[1.5, -2.0]])
    image = torch.tensor([[0.9, 0.3]])
    z = torch.linspace(-8, 8, 4001).unsqueeze(1)
    log_joint = -0.5 * (torch.sigmoid(z @ decode) - image).square().sum(dim=1) - 0.5 * z.square().squeeze(1)
    evidence = torch.trapezoid(log_joint.exp() / math.sqrt(2 * math.pi), z.squeeze(1)).log()
    for mu, logvar in ((0.0, 0.0), (0.4, -0.5), (-1.0, 0.3)):
        mu, logvar = torch.full((1, 1), mu), torch.full((1, 1), logvar)
        epsilon = torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0))
        codes = mu + (0.5 * logvar).exp() * epsilon
        many = codes @ decode, mu.expand_as(codes), logvar.expand_as(codes)
        assert training.elbo(many, image.expand(len(codes), 2)).mean() < evidence


@pytest.mark.parametrize("beta", [-0.1, math.nan, torch.tensor([[1.0], [-1.0]])])
def test_elbo_refuses_a_negative_beta(beta):
    outputs = torch.zeros(2, 1, 2, 2), torch.zeros(2, 1), torch.zeros(2, 1)
    with pytest.raises(ValueError, match="beta: expected numbers >= 0"):
        training.elbo(outputs, torch.zeros(2, 1, 2, 2), beta)


@given(beta=st.floats(0, 10), latent_dim=st.integers(1, 32), logvar=st.floats(-30, 30), seed=st.integers(0, 100))
def test_elbo_and_its_gradient_stay_finite(beta, latent_dim, logvar, seed):
    generator = torch.Generator().manual_seed(seed)
    model = VariationalAutoencoder([16, 8], latent_dim)
    with torch.no_grad():
        model.encoder[-1].bias[latent_dim:] = logvar
    images = torch.rand(3, 1, 4, 4, generator=generator)
    outputs = model(images, torch.randn(3, latent_dim, generator=generator))
    loss = training.negative_elbo(beta)(outputs, images).mean()
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


VAE = partial(VariationalAutoencoder, [35, 12, 6], 2)


class ThroughVmap(VariationalAutoencoder):
    """Any class of its own goes through vmap."""


@pytest.mark.parametrize("make_model", [VAE, partial(ThroughVmap, [35, 12, 6], 2)])
def test_a_member_of_a_vae_ensemble_equals_the_same_seed_alone_sampling_noise_included(make_model):
    settings = dict(epochs=40, lr=0.01, loss=training.negative_elbo(0.5), progress=False)
    together = training.fit_ensemble(make_model, [3, 4, 5], LETTERS, LETTERS, noise=sampling_noise(2), **settings)
    torch.manual_seed(4)
    alone = make_model()
    batches = training.NoisyCopies(LETTERS, LETTERS, sampling_noise(2), seed=4)
    history = training.fit(alone, batches, **settings)
    assert torch.allclose(together.loss[:, 1], torch.tensor(history.loss), atol=1e-4)
    for one, other in zip(together.member(1)(LETTERS), alone(LETTERS), strict=True):
        assert torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(together.loss[:, 0], together.loss[:, 1], atol=1e-3)


def test_a_vae_ensemble_encodes_decodes_and_takes_a_beta_for_each_member():
    beta = torch.tensor([[0.0], [1.0], [50.0]])
    ensemble = training.fit_ensemble(
        VAE,
        [1, 1, 1],
        LETTERS,
        LETTERS,
        epochs=300,
        lr=0.02,
        noise=sampling_noise(2),
        loss=training.negative_elbo(beta),
        progress=False,
    )
    mu, logvar = ensemble.encode(LETTERS)
    assert mu.shape == logvar.shape == (3, 32, 2)
    assert ensemble.decode(mu).shape == (3, 32, 35)
    divergence = training.kl_divergence(mu, logvar).sum(dim=-1).mean(dim=1)
    assert divergence[0] > divergence[1] > divergence[2]
    assert divergence[2] < 0.05


def test_fit_trains_a_vae_from_batches():
    torch.manual_seed(0)
    model = VAE()
    batches = training.Batches(LETTERS, batch_size=8, noise=sampling_noise(2))
    history = training.fit(model, batches, epochs=40, lr=0.01, loss=training.negative_elbo(0.1), progress=False)
    assert history.loss[-1] < 0.8 * history.loss[0]
    same = training.fit(VAE(), batches, epochs=1, loss=training.negative_elbo(), bfloat16=True, progress=False)
    assert math.isfinite(same.loss[0])


def test_a_metric_may_give_several_numbers_for_each_image():
    def both(outputs, images):
        logits, mu, logvar = outputs
        squares = (torch.sigmoid(logits) - images).square().mean(dim=(-3, -2, -1))
        return torch.stack([squares, training.kl_divergence(mu, logvar).sum(dim=-1)], dim=-1)

    settings = dict(epochs=20, loss=training.negative_elbo(0.1), progress=False, metric=both, metric_every=10)
    ensemble = training.fit_ensemble(VAE, [1, 2], LETTERS, LETTERS, noise=sampling_noise(2), **settings)
    assert ensemble.metric.shape == (3, 2, 2)
    with torch.no_grad():
        logits, mu, logvar = ensemble.member(1)(LETTERS)
    assert ensemble.metric[-1, 1, 0].item() == pytest.approx(
        float((torch.sigmoid(logits) - LETTERS).square().mean()), abs=1e-5
    )
    assert ensemble.metric[-1, 1, 1].item() == pytest.approx(
        float(training.kl_divergence(mu, logvar).sum(dim=1).mean()), abs=1e-5
    )

"""`fit`: one loop, for a network and for a stack, against loops written here."""

import math
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from helpers import training
from helpers.losses import bce, l1, mse, vae_loss
from helpers.models import Autoencoder, UNet, VariationalAutoencoder
from helpers.noise import salt_and_pepper
from helpers.stack import from_seeds, stack
from helpers.training import Adam, History, bfloat16_is_fast, warmup_cosine

IMAGES = (torch.rand(8, 1, 3, 4, generator=torch.Generator().manual_seed(0)) > 0.5).float()
SGD = torch.optim.SGD


def dense(**settings):
    return Autoencoder([12, 6, 2, 6, 12], shape=(3, 4), **settings)


def vae():
    return VariationalAutoencoder([12, 6], 2, shape=(3, 4))


def new(make=dense, seed=1):
    return from_seeds(make, [seed]).member(0)


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


fit = partial(training.fit, progress=False)


def loop(model, epochs, lr=0.01, loss=bce, optimizer=Adam, images=IMAGES, targets=IMAGES):
    """The loop of every tutorial, full batch; the losses."""
    optimizer, values = optimizer(model.parameters(), lr=lr), []
    for _ in range(epochs):
        optimizer.zero_grad()
        value = loss(model(images), targets).mean()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return values


# --- the loop itself ---


@pytest.mark.parametrize("loss", [bce, mse, l1])
@pytest.mark.parametrize("optimizer", [Adam, SGD, torch.optim.RMSprop])
def test_it_is_the_loop_of_every_tutorial(loss, optimizer):
    model, expected = new(), new()
    history = fit(model, IMAGES, epochs=7, lr=0.01, loss=loss, optimizer=optimizer)
    values = loop(expected, 7, loss=loss, optimizer=optimizer)
    assert history.loss == pytest.approx(values, rel=1e-5)
    assert torch.allclose(weights(model), weights(expected), atol=1e-6)
    assert not model.training and all(p.grad is None for p in model.parameters())
    assert history.epochs == [1, 2, 3, 4, 5, 6, 7] and history.lr == [0.01] * 7
    assert history.stopped == "finished" and history.best_epoch is None and history.seconds > 0
    assert model.history is history and history.validation == history.measured == []


def test_the_defaults():
    model, expected = new(), new()
    fit(model, IMAGES, epochs=3)
    loop(expected, 3, lr=1e-3)
    assert torch.allclose(weights(model), weights(expected), atol=1e-7)


def test_targets_of_their_own_and_calling_again():
    model, expected = new(), new()
    targets = IMAGES.flip(0)
    fit(model, IMAGES, targets, epochs=4, lr=0.1, optimizer=SGD)
    second = fit(model, IMAGES, targets, epochs=3, lr=0.1, optimizer=SGD)
    loop(expected, 7, 0.1, optimizer=SGD, targets=targets)
    assert torch.allclose(weights(model), weights(expected), atol=1e-6)
    assert model.history is second and second.epochs == [1, 2, 3]


def test_classes_are_learned_with_a_loss_of_pytorch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    loss = partial(nn.functional.cross_entropy, reduction="none")
    history = fit(model, IMAGES, torch.arange(8), epochs=60, lr=0.1, loss=loss)
    assert history.loss[0] > 1 and history.loss[-1] < 0.1
    with pytest.raises(
        ValueError, match=r"one number for each image, shape \(8,\), got shape \(\)"
    ):
        fit(model, IMAGES, torch.arange(8), epochs=1, loss=nn.functional.cross_entropy)


@pytest.mark.parametrize("make", [dense, vae])
@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_members_of_a_stack_end_where_they_end_alone(make, optimizer):
    networks = from_seeds(make, range(4))
    loss = vae_loss(0) if make is vae else bce
    scheduler = warmup_cosine(20, 5)
    if make is vae:  # all without randomness: the code is mu
        networks.network.encoder[-1].weight.data[:, :, 2:] = 0
        networks.network.encoder[-1].bias.data[:, :, 2:] = -100
    alone = [networks.member(i) for i in range(4)]
    settings = {"epochs": 20, "lr": 0.02, "loss": loss, "optimizer": optimizer}
    history = fit(networks, IMAGES, scheduler=scheduler, **settings)
    for i, model in enumerate(alone):
        expected = fit(model, IMAGES, scheduler=scheduler, **settings)
        assert torch.allclose(
            torch.stack(history.loss)[:, i], torch.tensor(expected.loss), rtol=1e-4
        )
        assert torch.allclose(weights(networks.member(i)), weights(model), atol=1e-4)
        assert expected.lr == history.lr
    assert not networks.training
    assert all(p.grad is None for p in networks.parameters())


# --- batches, order, noise ---


class Seen(nn.Module):
    """Keeps what it was given; has one weight."""

    def __init__(self):
        super().__init__()
        self.weight, self.inputs = nn.Parameter(torch.ones(1)), []

    def forward(self, images):
        if self.training:
            self.inputs.append(images.clone())
        return images * self.weight


NUMBERED = torch.arange(10.0).reshape(10, 1, 1, 1)


def test_batches_see_every_image_once_an_epoch_in_a_new_order():
    model, targets = Seen(), []

    def loss(outputs, wanted):
        targets.append(wanted)
        return mse(outputs, wanted)

    state = torch.get_rng_state()
    history = fit(model, NUMBERED, 2 * NUMBERED, epochs=3, batch_size=4, seed=5, loss=loss)
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(batch) for batch in model.inputs] == [4] * 6  # the two left over are dropped
    assert all(torch.equal(2 * x, y) for x, y in zip(model.inputs, targets, strict=True))
    epochs = [torch.cat(model.inputs[i : i + 2]).flatten().tolist() for i in (0, 2, 4)]
    assert all(len({*epoch}) == 8 for epoch in epochs) and epochs[0] != epochs[1]
    again, other = Seen(), Seen()
    fit(again, NUMBERED, epochs=3, batch_size=4, seed=5)
    fit(other, NUMBERED, epochs=3, batch_size=4, seed=6)
    assert torch.equal(torch.cat(again.inputs), torch.cat(model.inputs))
    assert not torch.equal(torch.cat(other.inputs), torch.cat(model.inputs))
    assert history.epochs == [1, 2, 3] and len(history.loss) == 3


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches():
    values = []

    def loss(outputs, targets):
        values.append(mse(outputs, targets).mean().item())
        return mse(outputs, targets)

    history = fit(Seen(), NUMBERED / 10, epochs=2, batch_size=3, loss=loss)
    expected = [sum(values[:3]) / 3, sum(values[3:]) / 3]
    assert history.loss == pytest.approx(expected) and len(values) == 6
    networks = from_seeds(dense, range(2))
    history = fit(networks, IMAGES, epochs=1, batch_size=4, lr=1e-9)
    assert torch.allclose(history.loss[0], bce(networks(IMAGES), IMAGES).mean(dim=1), rtol=1e-4)


def test_noise_is_new_in_every_update_and_the_targets_stay_clean():
    model, wanted = Seen(), []

    def loss(outputs, targets):
        wanted.append(targets)
        return mse(outputs, targets)

    noise = partial(salt_and_pepper, p=0.5)
    fit(model, IMAGES, epochs=2, noise=noise, copies=3, seed=4, loss=loss)
    first, second = model.inputs
    assert first.shape == (24, 1, 3, 4) and not torch.equal(first, second)
    assert all(torch.equal(targets, IMAGES.repeat(3, 1, 1, 1)) for targets in wanted)
    assert not torch.equal(first[:8], first[8:16])
    generator = torch.Generator().manual_seed(4)
    assert torch.equal(first, noise(IMAGES.repeat(3, 1, 1, 1), generator=generator))
    assert torch.equal(second, noise(IMAGES.repeat(3, 1, 1, 1), generator=generator))


def test_noise_in_batches_is_of_the_batch():
    model = Seen()
    fit(model, NUMBERED, epochs=2, batch_size=5, copies=2, noise=lambda x, generator: x + 100)
    assert [len(x) for x in model.inputs] == [10] * 4
    for x in model.inputs:
        assert torch.equal(x[:5], x[5:]) and x.min() >= 100
    first = torch.cat([x[:5] for x in model.inputs[:2]]).flatten().sort().values
    assert torch.equal(first, NUMBERED.flatten() + 100)


def test_each_member_gets_noise_of_its_own_and_a_level_for_each_image():
    """The same network twice: they part only if their noise differs. One level for each copy."""
    shapes = []

    def noise(images, generator):
        shapes.append(images.shape)
        assert torch.equal(images, IMAGES.repeat(6, 1, 1, 1))
        return salt_and_pepper(
            images, torch.rand(len(images), 1, 1, 1, generator=generator), generator
        )

    networks = stack([new()] * 2)
    history = fit(networks, IMAGES, epochs=3, noise=noise, copies=3, lr=0.01)
    assert shapes == [(48, 1, 3, 4)] * 3
    assert not torch.equal(weights(networks.member(0)), weights(networks.member(1)))
    again = stack([new()] * 2)
    assert torch.equal(
        fit(again, IMAGES, epochs=3, noise=noise, copies=3, lr=0.01).loss[2], history.loss[2]
    )


def test_a_stack_with_noise_is_trained_on_it_member_by_member():
    drawn = []

    def noise(images, generator):
        drawn.append(salt_and_pepper(images, 0.3, generator))
        return drawn[-1]

    networks = from_seeds(dense, range(3))
    alone = [networks.member(i) for i in range(3)]
    fit(networks, IMAGES, epochs=4, noise=noise, copies=2, lr=0.1, optimizer=SGD)
    for i, model in enumerate(alone):
        for inputs in drawn:
            mine = inputs.unflatten(0, (3, 16))[i]
            loop(model, 1, 0.1, optimizer=SGD, images=mine, targets=IMAGES.repeat(2, 1, 1, 1))
        assert torch.allclose(weights(model), weights(networks.member(i)), atol=1e-5)


def test_a_noise_of_another_shape_is_refused():
    with pytest.raises(
        ValueError, match=r"noise: expected shape \(8, 1, 3, 4\), got \(7, 1, 3, 4\)"
    ):
        fit(new(), IMAGES, epochs=1, noise=lambda images, generator: images[1:])


@pytest.mark.parametrize("stacked", [False, True])
def test_codes_of_a_vae_are_drawn_from_the_seed(stacked):
    def train(seed):
        model = from_seeds(vae, range(2))
        model = model if stacked else model.member(0)
        fit(model, IMAGES, epochs=3, lr=0.1, loss=vae_loss(0.1), seed=seed)
        return weights(model)

    state = torch.get_rng_state()
    assert torch.equal(train(1), train(1)) and not torch.allclose(train(1), train(2))
    assert torch.equal(torch.get_rng_state(), state)


# --- schedules and early stopping ---


def test_a_schedule_steps_with_every_update():
    history = fit(
        Seen(),
        NUMBERED,
        epochs=3,
        lr=1.0,
        batch_size=5,
        scheduler=partial(StepLR, step_size=2, gamma=0.5),
    )
    assert history.lr == [1, 0.5, 0.25]
    history = fit(
        Seen(), NUMBERED, epochs=3, lr=1.0, scheduler=partial(StepLR, step_size=2, gamma=0.5)
    )
    assert history.lr == [1, 1, 0.5]


def test_warmup_cosine_by_hand():
    history = fit(Seen(), NUMBERED, epochs=8, lr=2.0, scheduler=warmup_cosine(8, 3))
    expected = [min(1, (n + 1) / 3) * (1 + math.cos(math.pi * n / 8)) for n in range(8)]
    assert history.lr == pytest.approx(expected)
    assert warmup_cosine(3, 3)
    for steps, warmup in ((3, 4), (3, 0), (0, 0)):
        with pytest.raises(
            ValueError, match=f"warmup <= steps, got warmup={warmup}, steps={steps}"
        ):
            warmup_cosine(steps, warmup)


class Told(nn.Module):
    """A network whose loss, with `told`, is what it is told, one number for each call."""

    def __init__(self):
        super().__init__()
        self.weight, self.values = nn.Parameter(torch.zeros(1)), []

    def forward(self, images):
        return (
            images * 0 + self.weight * 0 + self.values.pop(0) + self.weight - self.weight.detach()
        )


def told(outputs, targets):
    return outputs.mean(dim=(1, 2, 3))


def taught(values, **settings):
    """Each update lowers the weight by 1: it tells how many there were."""
    model = Told()
    model.values = list(values)
    settings = {"epochs": len(values), "lr": 1.0, "loss": told, "optimizer": SGD} | settings
    return model, fit(model, IMAGES, **settings)


def test_reduce_on_plateau_follows_the_loss_of_the_epoch():
    plateau = partial(ReduceLROnPlateau, factor=0.5, patience=1)
    _, history = taught([5, 4, 4, 4, 4, 3], scheduler=plateau)
    assert history.lr == [1, 1, 1, 1, 0.5, 0.5] and history.loss == [5, 4, 4, 4, 4, 3]
    _, history = taught(
        [9, 1, 8, 1, 7, 1, 6, 1], epochs=4, scheduler=plateau, validation=(IMAGES, IMAGES)
    )
    assert history.lr == [1, 1, 1, 0.5] and history.validation == [1] * 4


def test_early_stopping_goes_back_to_the_weights_of_the_best_loss():
    model, history = taught([5, 3, 4, 3, 6, 1], patience=3)
    assert history.loss == [5, 3, 4, 3, 6] and history.stopped == "early stopping"
    assert history.best_epoch == 2 and model.weight.item() == -1  # before the second update
    model, history = taught([5, 3, 4, 2, 6, 7], patience=3)
    assert history.stopped == "finished" and history.best_epoch == 4 and model.weight.item() == -3


def test_early_stopping_with_validation_keeps_the_weights_after_the_epoch():
    values = [9, 5, 8, 3, 7, 4, 6, 3.5, 6, 1]
    model, history = taught(values, epochs=5, patience=2, validation=(IMAGES, IMAGES))
    assert history.validation == [5, 3, 4, 3.5] and history.loss == [9, 8, 7, 6]
    assert history.best_epoch == 2 and model.weight.item() == -2 and history.epochs == [1, 2, 3, 4]
    model, history = taught(
        [9, 9, 5, 9, 9, 6], epochs=2, patience=1, validation=(IMAGES, IMAGES), batch_size=4
    )
    assert history.best_epoch == 1 and model.weight.item() == -2 and history.validation == [5, 6]


def test_validation_is_in_evaluation_mode():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.9), dense())
    pair = IMAGES[:4], IMAGES[4:]
    history = fit(model, IMAGES, epochs=2, lr=0.1, validation=pair)
    assert history.validation[-1] == pytest.approx(bce(model(pair[0]), pair[1]).mean().item())
    networks = from_seeds(dense, range(2))
    history = fit(networks, IMAGES, epochs=2, validation=pair)
    assert torch.allclose(history.validation[-1], bce(networks(pair[0]), pair[1]).mean(dim=1))


# --- what is recorded ---


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize(
    ("epochs", "every", "expected"), [(7, 3, [3, 6, 7]), (6, 3, [3, 6]), (2, 9, [2])]
)
def test_record_every(stacked, epochs, every, expected):
    models = [from_seeds(dense, range(2)) for _ in range(2)]
    if not stacked:
        models = [model.member(0) for model in models]
    settings = {"epochs": epochs, "lr": 0.02, "scheduler": warmup_cosine(epochs, 2)}
    calls = []
    history = fit(
        models[0],
        IMAGES,
        record_every=every,
        on_epoch=lambda h: calls.append(h.epochs[-1]),
        **settings,
    )
    full = fit(models[1], IMAGES, **settings)
    assert history.epochs == expected and calls == [*expected, expected[-1]]
    assert torch.equal(weights(models[0]), weights(models[1]))
    for kept, epoch in enumerate(expected):
        assert torch.equal(
            torch.as_tensor(history.loss[kept]), torch.as_tensor(full.loss[epoch - 1])
        )
        assert history.lr[kept] == full.lr[epoch - 1]
    assert isinstance(history.loss[0], torch.Tensor if stacked else float)
    assert torch.as_tensor(history.loss[0]).shape == ((2,) if stacked else ())


def test_a_stack_computes_its_loss_only_where_it_is_recorded():
    calls = []

    def counted(logits, images):
        calls.append(logits.requires_grad)
        return bce(logits, images)

    fit(from_seeds(dense, range(2)), IMAGES, epochs=6, loss=counted, record_every=3)
    assert (
        calls.count(False) == 2 and calls.count(True) == 6
    )  # the gradient of an own loss needs it


def test_on_epoch_is_called_at_the_end_with_the_seconds():
    seconds = []
    fit(new(), IMAGES, epochs=2, on_epoch=lambda history: seconds.append(history.seconds))
    assert seconds[:2] == [0, 0] and seconds[2] > 0 and len(seconds) == 3


@pytest.mark.parametrize("stacked", [False, True])
def test_measure(stacked):
    model = from_seeds(dense, range(2)) if stacked else new()
    modes = []

    def measure(given):
        modes.append((given is model, given.training, torch.is_grad_enabled()))
        return weights(given)

    start = weights(model)
    history = fit(model, IMAGES, epochs=5, lr=0.1, measure=measure, measure_every=2)
    assert history.measured_epochs == [0, 2, 4, 5] and {*modes} == {(True, False, False)}
    assert torch.equal(history.measured[0], start) and torch.equal(
        history.measured[3], weights(model)
    )
    assert not torch.equal(history.measured[1], history.measured[2])
    assert fit(model, IMAGES, epochs=4, measure=measure, measure_every=2).measured_epochs == [
        0,
        2,
        4,
    ]
    assert fit(model, IMAGES, epochs=1, measure=measure).measured_epochs == [0, 1]
    assert fit(model, IMAGES, epochs=101, measure=measure).measured_epochs == [0, 100, 101]


def test_measure_when_stopped_early():
    measure = lambda model: model.weight.clone()  # noqa: E731
    _, history = taught([1, 2, 2, 2, 2], patience=2, measure=measure, measure_every=2)
    assert history.measured_epochs == [0, 2, 3] and [m.item() for m in history.measured] == [
        0,
        -2,
        -3,
    ]


def test_the_progress_shows_the_loss(capsys):
    history = training.fit(new(), IMAGES, epochs=3)
    assert f"loss {history.loss[-1]:.4f}" in capsys.readouterr().out
    networks = from_seeds(dense, range(3))
    history = training.fit(networks, IMAGES, epochs=3)
    assert f"loss {history.loss[-1].mean():.4f}" in capsys.readouterr().out
    fit(new(), IMAGES, epochs=3)
    assert capsys.readouterr().out == ""


# --- when it ends badly ---


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("where", ["on_epoch", "validation", "measure", "first measure", "last"])
def test_an_interrupt_is_raised_and_leaves_model_and_history(stacked, where, capsys):
    model, state = from_seeds(dense, range(2)) if stacked else new(), {"calls": 0}

    def interrupt(after, value=None):
        state["calls"] += 1
        if state["calls"] == after:
            raise KeyboardInterrupt
        return value

    settings = {
        "on_epoch": {"on_epoch": lambda history: interrupt(3)},
        "last": {"on_epoch": lambda history: interrupt(5)},
        "validation": {
            "validation": (IMAGES, IMAGES),
            "loss": lambda a, b: interrupt(6 + 3 * stacked, bce(a, b)),
        },
        "measure": {"measure": lambda model: interrupt(4, torch.ones(1)), "measure_every": 1},
        "first measure": {"measure": lambda model: interrupt(1)},
    }[where]  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        fit(model, IMAGES, epochs=5, **settings)
    history = model.history
    done = {"on_epoch": 3, "validation": 2, "measure": 3, "first measure": 0, "last": 5}[where]
    assert history.epochs == list(range(1, done + 1)) and history.stopped == "interrupted"
    assert len(history.loss) == len(history.lr) == done and history.seconds > 0
    assert len(history.validation) == (done if where == "validation" else 0)
    assert len(history.measured) == len(history.measured_epochs) == (3 if where == "measure" else 0)
    assert not model.training and model(IMAGES).isfinite().all()
    message = f"Interrupted in epoch {done + (where == 'validation')}: model and model.history"
    assert message in capsys.readouterr().out


def test_an_interrupt_with_patience_goes_back_to_the_best_weights():
    model = Told()
    model.values = [5.0, 3.0, 4.0, 4.0]

    def stop(history):
        if len(history.loss) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, IMAGES, epochs=9, lr=1.0, loss=told, optimizer=SGD, patience=5, on_epoch=stop)
    assert model.weight.item() == -1 and model.history.best_epoch == 2


def test_a_loss_that_is_not_finite():
    with pytest.raises(FloatingPointError, match=r"nan.* in epoch 3: try a smaller lr"):
        taught([1, 2, math.nan, 1])
    with pytest.raises(FloatingPointError, match="inf"):
        taught([1, math.inf], epochs=1, validation=(IMAGES, IMAGES))
    networks = from_seeds(dense, range(4))
    for broken in (1, 3):
        networks.network.encoder[0].bias.data[broken] = math.nan
    with pytest.warns(
        UserWarning, match=r"members \[1, 3\] not finite: try a smaller lr"
    ) as caught:
        history = fit(networks, IMAGES, epochs=2)
    assert history.loss[-1].isfinite().tolist() == [True, False, True, False]
    assert caught[0].filename == training.__file__ or caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(from_seeds(dense, range(2)), IMAGES, epochs=2)


@pytest.mark.parametrize("stacked", [False, True])
def test_frozen_weights_stay(stacked):
    model = new()
    model.encoder.requires_grad_(False)
    model = stack([model, model]) if stacked else model
    inner = model.network if stacked else model
    frozen, free = weights(inner.encoder), weights(inner.decoder)
    fit(model, IMAGES, epochs=3, lr=0.1, optimizer=partial(torch.optim.AdamW, weight_decay=0.5))
    assert torch.equal(weights(inner.encoder), frozen)
    assert not torch.isclose(weights(inner.decoder), free).any()
    assert not any(weight.requires_grad for weight in inner.encoder.parameters())
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="all parameters are frozen"):
        fit(model, IMAGES, epochs=1)


WRONG = {
    "epochs: expected a whole number >= 1": [{"epochs": 0}, {"epochs": 2.0}, {"epochs": True}],
    "copies: expected a whole number >= 1, got 0": [{"copies": 0}],
    "copies: expected 1 without noise, got 2": [{"copies": 2}],
    "batch_size: expected a whole number": [{"batch_size": 0}, {"batch_size": 2.0}],
    "at most that, got 8 images, 8 targets, batch_size=9": [{"batch_size": 9}],
    "got 8 images, 7 targets": [{"targets": IMAGES[1:]}],
    "record_every: expected a whole number": [{"record_every": 0}],
    "measure_every: expected a whole number": [{"measure_every": 0}],
    "patience: expected a whole number >= 1, got 0": [{"patience": 0}],
    "lr: expected a finite number > 0": [{"lr": lr} for lr in (0, -1, math.nan, math.inf)],
    "patience: expected record_every=1; for batches a validation": [
        {"patience": 1, "batch_size": 2},
        {"patience": 1, "record_every": 2},
    ],
    "ReduceLROnPlateau: expected one network": [
        {"scheduler": ReduceLROnPlateau, "record_every": 2}
    ],
}


@pytest.mark.parametrize(
    ("message", "settings"), [(m, s) for m, each in WRONG.items() for s in each]
)
def test_wrong_arguments_are_refused_before_anything_happens(message, settings):
    model = new()
    before, model.history = weights(model), "that of another training"
    with pytest.raises(ValueError, match=message):
        fit(model, IMAGES, **({"epochs": 1} | settings))
    assert torch.equal(weights(model), before) and model.history == "that of another training"


def test_the_largest_batch_is_all_images():
    fit(new(), IMAGES, epochs=1, batch_size=8)


@pytest.mark.parametrize(
    "settings", [{"patience": 1}, {"bfloat16": True}, {"scheduler": ReduceLROnPlateau}]
)
def test_what_a_stack_does_not_have(settings):
    with pytest.raises(ValueError, match=r"stack|one network"):
        fit(from_seeds(dense, range(2)), IMAGES, epochs=1, **settings)


# --- 16 bits ---


@pytest.mark.parametrize("make", [dense, vae])
def test_bfloat16_computes_with_16_bits_and_keeps_32(make):
    model, types = new(make), []
    layer = model.decoder[0]
    layer.register_forward_hook(lambda layer, inputs, output: types.append(output.dtype))

    def loss(outputs, images):
        parts = outputs if make is vae else (outputs,)
        assert all(part.dtype == torch.float32 for part in parts)
        return bce(parts[0], images)

    history = fit(model, IMAGES, epochs=20, lr=0.05, loss=loss, bfloat16=True)
    assert {*types} == {torch.bfloat16} and layer.weight.dtype == torch.float32
    assert history.loss[-1] < history.loss[0]


def test_whether_bfloat16_is_fast(monkeypatch):
    for known, expected in (({}, False), ({"amx_bf16": True}, True), ({"avx512_bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known, raising=False)
        assert bfloat16_is_fast() is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert bfloat16_is_fast() is False


def test_a_unet_is_trained_in_batches():
    torch.manual_seed(0)
    images = (torch.rand(12, 1, 8, 8) > 0.5).float()
    history = fit(UNet((4, 3)), images, epochs=15, lr=0.05, batch_size=4)
    assert history.loss[-1] < history.loss[0] and isinstance(history, History)

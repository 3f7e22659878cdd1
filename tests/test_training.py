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


def either(stacked):
    """A stack of two, or a network."""
    return from_seeds(dense, range(2)) if stacked else new()


BOTH = pytest.mark.parametrize("stacked", [False, True])


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
    assert history.best_epoch is None and history.seconds > 0
    assert model.history is history and history.measured == []


def test_the_defaults_targets_of_their_own_and_calling_again():
    model, expected = new(), new()
    fit(model, IMAGES, epochs=3)
    loop(expected, 3, lr=1e-3)
    assert torch.allclose(weights(model), weights(expected), atol=1e-7)
    settings = {"lr": 0.1, "optimizer": SGD}
    fit(model, IMAGES, IMAGES.flip(0), epochs=4, **settings)
    second = fit(model, IMAGES, IMAGES.flip(0), epochs=3, **settings)
    loop(expected, 7, targets=IMAGES.flip(0), **settings)
    assert torch.allclose(weights(model), weights(expected), atol=1e-6)
    assert model.history is second and second.epochs == [1, 2, 3]


def test_classes_are_learned_with_a_loss_of_pytorch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
    loss = partial(nn.functional.cross_entropy, reduction="none")
    history = fit(model, IMAGES, torch.arange(8), epochs=60, lr=0.1, loss=loss)
    assert history.loss[0] > 1 and history.loss[-1] < 0.1
    with pytest.raises(ValueError, match=r"number for each image, shape \(8,\), got shape \(\)"):
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
        losses = torch.stack(history.loss)[:, i].tolist()
        assert losses == pytest.approx(expected.loss, rel=1e-4)
        assert torch.allclose(weights(networks.member(i)), weights(model), atol=1e-4)
        assert expected.lr == history.lr
    assert not networks.training and all(p.grad is None for p in networks.parameters())


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
    assert history.loss == pytest.approx([sum(values[:3]) / 3, sum(values[3:]) / 3])
    networks = either(True)
    history = fit(networks, IMAGES, epochs=1, batch_size=4, lr=1e-9)
    assert torch.allclose(history.loss[0], bce(networks(IMAGES), IMAGES).mean(dim=1), rtol=1e-4)


def test_noise_is_new_in_every_update_and_the_targets_stay_clean():
    model, wanted = Seen(), []

    def loss(outputs, targets):
        wanted.append(targets)
        return mse(outputs, targets)

    noise, copies = partial(salt_and_pepper, p=0.5), IMAGES.repeat(3, 1, 1, 1)
    fit(model, IMAGES, epochs=2, noise=noise, copies=3, seed=4, loss=loss)
    generator = torch.Generator().manual_seed(4)
    assert all(torch.equal(targets, copies) for targets in wanted) and len(wanted) == 2
    for inputs in model.inputs:
        assert torch.equal(inputs, noise(copies, generator=generator))
        assert not torch.equal(inputs[:8], inputs[8:16])


def test_noise_in_batches_is_of_the_batch():
    model = Seen()
    fit(model, NUMBERED, epochs=2, batch_size=5, copies=2, noise=lambda x, generator: x + 100)
    assert [len(x) for x in model.inputs] == [10] * 4
    assert all(torch.equal(x[:5], x[5:]) for x in model.inputs)
    first = torch.cat([x[:5] for x in model.inputs[:2]]).flatten().sort().values
    assert torch.equal(first, NUMBERED.flatten() + 100)


def test_each_member_gets_noise_of_its_own_and_a_level_for_each_image():
    """The same network twice: they part only if their noise differs."""
    shapes = []

    def noise(images, generator):
        shapes.append(images.shape)
        assert torch.equal(images, IMAGES.repeat(6, 1, 1, 1))
        levels = torch.rand(len(images), 1, 1, 1, generator=generator)
        return salt_and_pepper(images, levels, generator)

    networks, again = stack([new()] * 2), stack([new()] * 2)
    settings = {"epochs": 3, "noise": noise, "copies": 3, "lr": 0.01}
    history = fit(networks, IMAGES, **settings)
    assert shapes == [(48, 1, 3, 4)] * 3
    assert not torch.equal(weights(networks.member(0)), weights(networks.member(1)))
    assert torch.equal(fit(again, IMAGES, **settings).loss[2], history.loss[2])


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
    with pytest.raises(ValueError, match=r"noise: expected shape \(8, 1, 3, 4\), got \(7, 1, 3, 4"):
        fit(new(), IMAGES, epochs=1, noise=lambda images, generator: images[1:])


@BOTH
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
    for batch_size, expected in ((5, [1, 0.5, 0.25]), (None, [1, 1, 0.5])):
        settings = {"lr": 1.0, "scheduler": partial(StepLR, step_size=2, gamma=0.5)}
        assert fit(Seen(), NUMBERED, epochs=3, batch_size=batch_size, **settings).lr == expected


def test_warmup_cosine_by_hand():
    history = fit(Seen(), NUMBERED, epochs=8, lr=2.0, scheduler=warmup_cosine(8, 3))
    expected = [min(1, (n + 1) / 3) * (1 + math.cos(math.pi * n / 8)) for n in range(8)]
    assert history.lr == pytest.approx(expected)
    assert warmup_cosine(3, 3)
    for steps, warmup in ((3, 4), (3, 0), (0, 0)):
        with pytest.raises(ValueError, match=f"<= steps, got warmup={warmup}, steps={steps}"):
            warmup_cosine(steps, warmup)


class Told(nn.Module):
    """A network whose loss, with `told`, is what it is told, one number for each call; its weight
    has the gradient 1."""

    def __init__(self, values):
        super().__init__()
        self.weight, self.values = nn.Parameter(torch.zeros(1)), list(values)

    def forward(self, images):
        return images * 0 + self.values.pop(0) + self.weight - self.weight.detach()


def told(outputs, targets):
    return outputs.mean(dim=(1, 2, 3))


def taught(values, **settings):
    """Each update lowers the weight by 1: it tells how many there were."""
    settings = {"epochs": len(values), "lr": 1.0, "loss": told, "optimizer": SGD} | settings
    model = Told(values)
    return model, fit(model, IMAGES, **settings)


def test_reduce_on_plateau_follows_the_loss_of_the_epoch():
    plateau = {"scheduler": partial(ReduceLROnPlateau, factor=0.5, patience=1)}
    _, history = taught([5, 4, 4, 4, 4, 3], **plateau)
    assert history.lr == [1, 1, 1, 1, 0.5, 0.5] and history.loss == [5, 4, 4, 4, 4, 3]


def test_early_stopping_goes_back_to_the_weights_of_the_best_loss():
    model, history = taught([5, 3, 4, 3, 6, 1], patience=3)
    assert history.loss == [5, 3, 4, 3, 6]
    assert history.best_epoch == 2 and model.weight.item() == -1  # before the second update
    model, history = taught([5, 3, 4, 2, 6, 7], patience=3)
    assert history.best_epoch == 4 and model.weight.item() == -3


# --- what is recorded ---


@BOTH
@pytest.mark.parametrize(
    ("epochs", "every", "expected"), [(7, 3, [3, 6, 7]), (6, 3, [3, 6]), (2, 9, [2])]
)
def test_record_every(stacked, epochs, every, expected):
    model, other, calls = either(stacked), either(stacked), []
    settings = {"epochs": epochs, "lr": 0.02, "scheduler": warmup_cosine(epochs, 2)}
    full = fit(other, IMAGES, **settings)
    settings |= {"record_every": every, "on_epoch": lambda h: calls.append(h.epochs[-1])}
    history = fit(model, IMAGES, **settings)
    assert history.epochs == expected and calls == [*expected, expected[-1]]
    assert torch.equal(weights(model), weights(other))
    assert history.lr == [full.lr[epoch - 1] for epoch in expected]
    for value, epoch in zip(history.loss, expected, strict=True):
        assert isinstance(value, torch.Tensor if stacked else float)
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(full.loss[epoch - 1]))
        assert torch.as_tensor(value).shape == ((2,) if stacked else ())


def test_a_stack_computes_its_loss_only_where_it_is_recorded():
    calls = []

    def counted(logits, images):
        calls.append(logits.requires_grad)  # of an own loss for its gradient, too
        return bce(logits, images)

    fit(either(True), IMAGES, epochs=6, loss=counted, record_every=3)
    assert calls.count(False) == 2 and calls.count(True) == 6


def test_on_epoch_is_called_at_the_end_with_the_seconds():
    seconds = []
    fit(new(), IMAGES, epochs=2, on_epoch=lambda history: seconds.append(history.seconds))
    assert seconds[:2] == [0, 0] and seconds[2] > 0 and len(seconds) == 3


@BOTH
def test_measure(stacked):
    model, modes = either(stacked), []

    def measure(given):
        modes.append((given is model, given.training, torch.is_grad_enabled()))
        return weights(given)

    start = weights(model)
    history = fit(model, IMAGES, epochs=5, lr=0.1, measure=measure, measure_every=2)
    assert history.measured_epochs == [0, 2, 4, 5] and {*modes} == {(True, False, False)}
    for found, expected in ((history.measured[0], start), (history.measured[3], weights(model))):
        assert torch.equal(found, expected)
    assert not torch.equal(history.measured[1], history.measured[2])
    for epochs, settings in ((4, {"measure_every": 2}), (1, {}), (101, {})):
        history = fit(model, IMAGES, epochs=epochs, measure=measure, **settings)
        assert history.measured_epochs == {4: [0, 2, 4], 1: [0, 1], 101: [0, 100, 101]}[epochs]


def test_measure_when_stopped_early():
    settings = {"measure": lambda model: model.weight.item(), "measure_every": 2}
    _, history = taught([1, 2, 2, 2, 2], patience=2, **settings)
    assert history.measured_epochs == [0, 2, 3] and history.measured == [0, -2, -3]


def test_the_progress_shows_the_loss(capsys):
    for stacked in (False, True):
        history = training.fit(either(stacked), IMAGES, epochs=3)
        value = float(torch.as_tensor(history.loss[-1]).mean())
        assert f"loss {value:.4f}" in capsys.readouterr().out
    fit(new(), IMAGES, epochs=3)
    assert capsys.readouterr().out == ""


# --- when it ends badly ---


@BOTH
@pytest.mark.parametrize("where", ["on_epoch", "loss", "measure", "first measure", "last"])
def test_an_interrupt_is_raised_and_leaves_model_and_history(stacked, where, capsys):
    model, left = either(stacked), {"calls": 0}

    def interrupt(after, value=None):
        left["calls"] += 1
        if left["calls"] == after:
            raise KeyboardInterrupt
        return value

    done, settings = {
        "on_epoch": (3, {"on_epoch": lambda history: interrupt(3)}),
        "last": (5, {"on_epoch": lambda history: interrupt(5)}),
        "loss": (2, {"loss": lambda a, b: interrupt(3 + 3 * stacked, bce(a, b))}),
        "measure": (3, {"measure": lambda m: interrupt(4, torch.ones(1)), "measure_every": 1}),
        "first measure": (0, {"measure": lambda m: interrupt(1)}),
    }[where]
    with pytest.raises(KeyboardInterrupt):
        fit(model, IMAGES, epochs=5, **settings)
    history = model.history
    assert history.epochs == list(range(1, done + 1))
    assert len(history.loss) == len(history.lr) == done and history.seconds > 0
    assert len(history.measured) == len(history.measured_epochs) == (3 if where == "measure" else 0)
    assert not model.training and model(IMAGES).isfinite().all()
    message = f"Interrupted in epoch {done + (where == 'loss')}: model and model.history"
    assert message in capsys.readouterr().out


def test_an_interrupt_with_patience_goes_back_to_the_best_weights():
    def stop(history):
        if len(history.loss) == 4:
            raise KeyboardInterrupt

    model, settings = Told([5.0, 3.0, 4.0, 4.0]), {"lr": 1.0, "loss": told, "optimizer": SGD}
    with pytest.raises(KeyboardInterrupt):
        fit(model, IMAGES, epochs=9, patience=5, on_epoch=stop, **settings)
    assert model.weight.item() == -1 and model.history.best_epoch == 2


def test_a_loss_that_is_not_finite():
    with pytest.raises(FloatingPointError, match=r"nan.* in epoch 3: try a smaller lr"):
        taught([1, 2, math.nan, 1])
    with pytest.raises(FloatingPointError, match="inf"):
        taught([1, math.inf])
    networks = from_seeds(dense, range(4))
    networks.network.encoder[0].bias.data[1::2] = math.nan
    with pytest.warns(UserWarning, match=r"members \[1, 3\] not finite: try a smaller lr"):
        history = fit(networks, IMAGES, epochs=2)
    assert history.loss[-1].isfinite().tolist() == [True, False, True, False]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(either(True), IMAGES, epochs=2)


@BOTH
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
    with pytest.raises(ValueError, match="parameters to train, got none, or all of them frozen"):
        fit(model, IMAGES, epochs=1)


WRONG = {
    "epochs: expected whole numbers > 0": [{"epochs": 0}, {"epochs": 2.0}, {"epochs": True}],
    "copies: expected whole numbers > 0, got 0": [{"copies": 0}],
    "copies: expected 1 without noise, got 2": [{"copies": 2}],
    "batch_size: expected whole numbers": [{"batch_size": 0}, {"batch_size": 2.0}],
    "at most that, got 8 images, 8 targets, batch_size=9": [{"batch_size": 9}],
    "got 8 images, 7 targets": [{"targets": IMAGES[1:]}],
    "record_every: expected whole numbers": [{"record_every": 0}],
    "measure_every: expected whole numbers": [{"measure_every": 0}],
    "patience: expected whole numbers > 0, got 0": [{"patience": 0}],
    "lr: expected a finite number > 0": [{"lr": lr} for lr in (0, -1, math.nan, math.inf)],
    "patience: expected record_every=1, batch_size=None": [
        {"patience": 1, "batch_size": 2},
        {"patience": 1, "record_every": 2},
    ],
    "Plateau: expected one network": [{"scheduler": ReduceLROnPlateau, "record_every": 2}],
}


@pytest.mark.parametrize(
    ("message", "settings"), [(m, s) for m, each in WRONG.items() for s in each]
)
def test_wrong_arguments_are_refused_before_anything_happens(message, settings):
    model = new()
    before, model.history = weights(model), "that of another training"
    with pytest.raises(ValueError, match=message):
        fit(model, IMAGES, **({"epochs": 1} | settings))
    with pytest.raises(ValueError, match="got 0 images, 0 targets"):
        fit(model, IMAGES[:0], epochs=1)
    assert torch.equal(weights(model), before) and model.history == "that of another training"


@pytest.mark.parametrize(
    "settings", [{"patience": 1}, {"bfloat16": True}, {"scheduler": ReduceLROnPlateau}]
)
def test_what_a_stack_does_not_have(settings):
    with pytest.raises(ValueError, match=r"stack|one network"):
        fit(either(True), IMAGES, epochs=1, **settings)


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


def test_a_unet_is_trained_in_batches_of_at_most_all_images():
    torch.manual_seed(0)
    images, model = (torch.rand(12, 1, 8, 8) > 0.5).float(), UNet()
    history = fit(model, images, epochs=15, lr=0.05, batch_size=4)
    assert history.loss[-1] < history.loss[0] and isinstance(history, History)
    fit(model, images, epochs=1, batch_size=12)

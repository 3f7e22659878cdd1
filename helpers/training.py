"""Training: `fit`, for a network or a stack. Pretraining and a warm start: call it again."""

import copy
import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset
from tqdm import tqdm

from helpers.inner.backpropagation import Backpropagation
from helpers.inner.expect import expect, expect_whole_numbers
from helpers.losses import bce, mean_over_images
from helpers.models import VariationalAutoencoder
from helpers.stack import Stack

Adam = partial(torch.optim.Adam, fused=True)  # one kernel for all weights; the same, to rounding


@dataclass
class History:
    """What happened in `fit`: a number for each of the `epochs`, from 1; of a stack a tensor (S,).

    loss: a mean over the epoch, before each update. measured: what `measure` gave, at
    measured_epochs. best_epoch: with patience, of these weights.
    """

    epochs: list[int] = field(default_factory=list)
    loss: list = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    measured_epochs: list[int] = field(default_factory=list)
    measured: list[Tensor] = field(default_factory=list)
    best_epoch: int | None = None
    seconds: float = 0.0


def fit(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | None = None,
    *,
    epochs: int,
    lr: float = 1e-3,
    loss: Callable[..., Tensor] = bce,
    noise: Callable[..., Tensor] | None = None,
    copies: int = 1,
    batch_size: int | None = None,
    seed: int = 0,
    optimizer: Callable[..., Optimizer] = Adam,
    scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    patience: int | None = None,
    record_every: int = 1,
    measure: Callable[[nn.Module], Tensor] | None = None,
    measure_every: int = 100,
    bfloat16: bool = False,
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train a network, or a `Stack`, in place; leave it in evaluation mode; tell what happened.

    images: (N, 1, H, W). targets: what the outputs are compared with, (N, ...); else the images.
    loss: takes (model(inputs), targets), gives one number for each image: see `helpers.losses`. The
        losses of the members of a stack are added up: none depends on the weights of another.
    noise: makes new inputs of the images for every update, of `copies` copies of each; it is called
        with (images, generator=...). Each member of a stack gets noise of its own.
    batch_size: images in an update, in a new order in every epoch; those left over are dropped.
    seed: of the order, of the noise, and of the codes that a VAE draws.
    optimizer: called with (parameters, lr=lr); for a stack one that treats each number for itself.
    scheduler: called with the optimizer; steps after every update (ReduceLROnPlateau: epoch).
    patience: stop after so many epochs with no better loss, all images at once; go back there.
    record_every: epochs from one entry of the history to the next; a stack computes its loss then.
    measure: called with the model in evaluation mode, first, after every `measure_every` epochs,
        and last. bfloat16: compute the outputs with 16 bits.
    on_epoch: called with the history when it is longer, and at the end, when `seconds` is known.

    The history is `model.history`, too; after an interrupt from the keyboard, which is raised
    again, both can be used. Raises ValueError for bad arguments, FloatingPointError if the loss is
    not finite; for members of a stack it is a warning.
    """
    targets = images if targets is None else targets
    members = len(model) if isinstance(model, Stack) else None
    optional = {"batch_size": batch_size, "patience": patience}
    given = {name: value for name, value in optional.items() if value is not None}
    expect_whole_numbers(epochs=epochs, copies=copies, **given)
    expect_whole_numbers(record_every=record_every, measure_every=measure_every)
    counts = f"{len(images)} images, {len(targets)} targets, batch_size={batch_size}"
    fitting = len(images) == len(targets) >= (batch_size or 1)
    expect(fitting, "expected as many targets as images, batch_size at most that", counts)
    expect(0 < lr < math.inf, "lr: expected a finite number > 0", lr)
    expect(copies == 1 or noise, "copies: expected 1 without noise", copies)
    followed = not patience or (record_every == 1 and not batch_size)
    expect(followed, "patience: expected record_every=1, batch_size=None", "others")
    unknown = members and (patience or bfloat16)
    expect(not unknown, "stack: expected no patience, no bfloat16", "one of them")
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    expect(weights, "model: expected parameters to train", "none, or all of them frozen")
    update: Callable = partial(_backward, model, loss, bfloat16)
    if isinstance(model, Stack):
        update = Backpropagation(model, loss)
        weights = [update.flat]
    optimizer = optimizer(weights, lr=lr)
    scheduler = scheduler(optimizer) if scheduler else None
    on_plateau = isinstance(scheduler, ReduceLROnPlateau)
    followed = not on_plateau or (not members and record_every == 1)
    expect(followed, "ReduceLROnPlateau: expected one network, record_every=1", "another")

    batches = [(images, targets)]
    if batch_size:
        order = torch.Generator().manual_seed(seed)
        chosen = BatchSampler(RandomSampler(images, generator=order), batch_size, drop_last=True)
        batches = DataLoader(TensorDataset(images, targets), None, sampler=chosen, generator=order)
    generator = torch.Generator(images.device).manual_seed(seed)
    draw = partial(_add_noise, noise, copies, members, generator)
    for module in model.modules():
        if isinstance(module, VariationalAutoencoder):
            module.generator = generator
    history = model.history = History()  # type: ignore[assignment]
    epoch, best, best_weights, start = 0, math.inf, None, time.perf_counter()
    bar = tqdm(total=epochs, file=sys.stdout, mininterval=0.5, unit="epoch", disable=not progress)
    try:
        if measure:
            _measure(model, measure, history, epoch)
        for epoch in range(1, epochs + 1):
            if not model.training:
                model.train()
            before = copy.deepcopy(model.state_dict()) if patience else None
            record = epoch % record_every == 0 or epoch == epochs
            rate, total = optimizer.param_groups[0]["lr"], 0.0
            for inputs, wanted in batches:
                if noise:
                    inputs, wanted = draw(inputs, wanted)
                value = update(inputs, wanted, record)
                optimizer.step()
                if scheduler and not on_plateau:
                    scheduler.step()
                if record:
                    total = total + value
            if record:
                value = _record(history, epoch, rate, total / len(batches))
                bar.set_postfix_str(f"loss {value:.4f}", refresh=False)
            bar.update()
            if patience and value < best:
                best, best_weights, history.best_epoch = value, before, epoch
            if on_plateau:
                scheduler.step(value)
            stop = patience and epoch - history.best_epoch >= patience
            if measure and (epoch % measure_every == 0 or epoch == epochs or stop):
                _measure(model, measure, history, epoch)
            if on_epoch and record:
                on_epoch(history)
            if stop:
                break
    except KeyboardInterrupt:
        print(f"Interrupted in epoch {epoch}: model and model.history can be used as they are.")
        raise
    finally:
        bar.close()
        if best_weights is not None:
            model.load_state_dict(best_weights)
        model.eval().zero_grad()
        history.seconds = time.perf_counter() - start
    if on_epoch:
        on_epoch(history)
    diverged = [i for i in range(members or 0) if not history.loss[-1][i].isfinite()]
    if diverged:
        warnings.warn(f"loss of members {diverged} not finite: try a smaller lr", stacklevel=2)
    return history


def _backward(model, loss, bfloat16, inputs, targets, record):
    """The gradient of the mean loss of one network, by autograd; the loss."""
    model.zero_grad()
    with torch.autocast(targets.device.type, torch.bfloat16, enabled=bfloat16):
        outputs = model(inputs)
    if bfloat16:
        outputs = outputs.float() if isinstance(outputs, Tensor) else [*map(Tensor.float, outputs)]
    value = mean_over_images(loss(outputs, targets), targets.shape[:1])
    value.backward()
    return value.detach()


def _record(history, epoch, rate, value):
    """Write down the numbers of an epoch; the loss to follow."""
    if value.dim() == 0:  # one network
        value = value.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss is {value} in epoch {epoch}: try a smaller lr")
    history.loss.append(value)
    history.lr.append(rate)
    history.epochs.append(epoch)
    return float(torch.as_tensor(value).mean())


def _measure(model, measure, history, epoch):
    with torch.no_grad():
        history.measured.append(measure(model.eval()))
    history.measured_epochs.append(epoch)


def _add_noise(noise, copies, members, generator, images, targets):
    """Inputs (copies * N, ...), for a stack one set for each member, and as many targets."""
    clean = images.repeat((members or 1) * copies, 1, 1, 1)
    noisy = noise(clean, generator=generator)
    expected = f"noise: expected shape {tuple(clean.shape)}"
    expect(noisy.shape == clean.shape, expected, tuple(noisy.shape))
    return noisy.unflatten(0, (members, -1)) if members else noisy, torch.cat([targets] * copies)


def warmup_cosine(steps: int, warmup: int) -> Callable[[Optimizer], LRScheduler]:
    """A schedule for `fit`: a cosine from lr to 0 over all steps, times a ramp of `warmup` steps.

    A step is an update: an epoch has one, or len(images) // batch_size. (Loshchilov & Hutter, SGDR,
    2017, equation 5, without restarts.) ValueError unless 0 < warmup <= steps.
    """
    expect(0 < warmup <= steps, "expected 0 < warmup <= steps", f"{warmup=}, {steps=}")
    return partial(LambdaLR, lr_lambda=partial(_warmup_cosine, steps, warmup))


def _warmup_cosine(steps, warmup, step):
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies numbers of 16 bits (bfloat16) in hardware."""
    known: dict = getattr(torch.cpu, "get_capabilities", dict)()  # an older PyTorch does not tell
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))

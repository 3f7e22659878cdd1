"""Training: `fit` for one network, `fit_ensemble` for many seeds at once, and weights on disk.

`fit` and `fit_ensemble` know no data set. Denoising is a choice of data (noisy inputs, clean targets); pretraining is
training twice.
"""

import copy
import io
import itertools
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau
from tqdm import tqdm

from helpers.files import write_atomically
from helpers.models import Linear

Adam = partial(torch.optim.Adam, fused=True)  # fused: one kernel for all weights; the same numbers, to rounding


# A loss takes logits (..., N, C, H, W), or rows (..., N, D), and targets (N, ...), and gives one number for each image,
# shape (..., N). Training minimises the mean over the images.


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy of each image, in nats, mean over its pixels. Targets in [0, 1]."""
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")
    return losses.mean(dim=_pixel_dims(targets))


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Squared error of the pixel values sigmoid(logits) of each image, mean over its pixels. Targets in [0, 1]."""
    return (torch.sigmoid(logits) - targets).square().mean(dim=_pixel_dims(targets))


def l1(logits: Tensor, targets: Tensor) -> Tensor:
    """Absolute error of the pixel values sigmoid(logits) of each image, mean over its pixels. Targets in [0, 1]."""
    return (torch.sigmoid(logits) - targets).abs().mean(dim=_pixel_dims(targets))


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of the normal distribution (mu, exp(logvar)) from the standard normal one, each number alone, nats.

    Same shape as mu and logvar; never negative. Sum over the last dimension for that of the whole code.
    (Kingma & Welling 2014, appendix B.)
    """
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar)


def elbo(outputs: tuple[Tensor, Tensor, Tensor], images: Tensor, beta: float | Tensor = 1.0) -> Tensor:
    """Evidence lower bound of each image, in nats: log likelihood - beta * KL divergence, shape (..., N).

    outputs: logits, mu, logvar, as a `VariationalAutoencoder` gives them. The likelihood is normal with standard
    deviation 1 around the pixel values sigmoid(logits), without its constant: minus half the sum of squared errors.
    beta: a weight of the KL divergence (Higgins et al., beta-VAE, 2017); only with 1 is it a bound. For an ensemble it
    may be a tensor (members, 1), one for each member. Raises ValueError for a negative beta.
    """
    if not (torch.as_tensor(beta) >= 0).all():
        raise ValueError(f"beta: expected numbers >= 0, got {beta}")
    logits, mu, logvar = outputs
    log_likelihood = -0.5 * (torch.sigmoid(logits) - images).square().sum(dim=_pixel_dims(images))
    return log_likelihood - beta * kl_divergence(mu, logvar).sum(dim=-1)


def negative_elbo(beta: float | Tensor = 1.0) -> Callable[[tuple[Tensor, Tensor, Tensor], Tensor], Tensor]:
    """A loss for `fit` and `fit_ensemble`."""
    return partial(_negative_elbo, beta=beta)


def _negative_elbo(outputs, images, beta):
    return -elbo(outputs, images, beta)


def _pixel_dims(images):
    """All dimensions but the first, counted from the end."""
    return tuple(range(1 - images.dim(), 0))


def warmup_cosine(epochs: int, warmup: int) -> Callable[[Optimizer], LRScheduler]:
    """A schedule for `fit` and `fit_ensemble`: a cosine from lr to 0 over all epochs, times a ramp of `warmup` epochs.

    As the cosine falls from the start, the highest rate is a little below lr. With `fit(step_every_batch=True)` count
    batches in place of epochs.
    The cosine is that of Loshchilov & Hutter, SGDR (2017), eq. 5, without restarts.
    """
    if not 0 < warmup <= epochs:
        raise ValueError(f"expected 0 < warmup <= epochs, got warmup={warmup}, epochs={epochs}")
    return partial(LambdaLR, lr_lambda=partial(_warmup_cosine, epochs, warmup))


def _warmup_cosine(epochs, warmup, epoch):
    return min(1.0, (epoch + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


class Batches:
    """Batches from memory: in every pass a new random order and new noise. Much faster than a DataLoader.

    inputs, targets: (N, ...); by default the targets are the inputs. noise: makes the network's inputs from `inputs`;
    it is called with a batch and `generator=...`, for example ``partial(noise.gaussian, std=0.5)``. If it gives a
        tuple, these are the model's several inputs.
    The N % batch_size images that are left over at the end of a pass wait for the next one.
    seed: of the order and of the noise. Raises ValueError if there are fewer images than batch_size.
    """

    def __init__(self, inputs: Tensor, targets: Tensor | None = None, *, batch_size: int, noise=None, seed: int = 0):
        targets = inputs if targets is None else targets
        if len(inputs) != len(targets):
            raise ValueError(f"expected as many targets as inputs, got {len(inputs)} inputs and {len(targets)} targets")
        if not isinstance(batch_size, int) or not 1 <= batch_size <= len(inputs):
            raise ValueError(f"batch_size: expected 1 to {len(inputs)}, a whole number, got {batch_size}")
        self.inputs, self.targets, self.batch_size, self.noise = inputs, targets, batch_size, noise
        self.generator = torch.Generator(inputs.device).manual_seed(seed)

    def __len__(self):
        """The number of batches in one pass."""
        return len(self.inputs) // self.batch_size

    def __iter__(self):
        order = torch.randperm(len(self.inputs), generator=self.generator, device=self.inputs.device)
        for chosen in order[: len(self) * self.batch_size].split(self.batch_size):
            inputs, targets = self.inputs[chosen], self.targets[chosen]
            yield (self.noise(inputs, generator=self.generator) if self.noise else inputs), targets


class NoisyCopies:
    """The full batch, `copies` times, with new noise in every pass: for `fit`, the same noise as in `fit_ensemble`.

    inputs, targets: (N, ...). noise: is called with the inputs of many passes at once, (passes, copies, N, ...), and
    `generator=...`; many at once because drawing is slow for few numbers. A pass gives one batch: noisy inputs and
    targets, (copies * N, ...). Raises ValueError for copies < 1.
    """

    PASSES = 32  # drawn at once

    def __init__(self, inputs: Tensor, targets: Tensor, noise, *, copies: int = 1, seed: int = 0):
        if type(copies) is not int or copies < 1:
            raise ValueError(f"copies: expected a whole number >= 1, got {copies!r}")
        if len(inputs) != len(targets):
            raise ValueError(f"expected as many targets as inputs, got {len(inputs)} inputs and {len(targets)} targets")
        self.inputs, self.noise, self.copies = inputs, noise, copies
        self.targets = targets.repeat(copies, *[1] * (targets.dim() - 1))
        self.generator, self._waiting = torch.Generator(inputs.device).manual_seed(seed), iter(())

    def draw(self) -> Tensor:
        """The noisy inputs of the next PASSES passes: (PASSES, copies * N, ...), or several such tensors."""
        clean = self.inputs.expand(self.PASSES, self.copies, *self.inputs.shape)
        return _each(lambda drawn: drawn.flatten(1, 2), self.noise(clean, generator=self.generator))

    def __iter__(self):
        inputs = next(self._waiting, None)
        if inputs is None:
            self._waiting = _one_by_one(self.draw())
            inputs = next(self._waiting)
        yield inputs, self.targets


def _each(function, value):
    """function(value), or for a tuple the tuple of function(part): a model may have several inputs."""
    return tuple(map(function, value)) if isinstance(value, tuple) else function(value)


def _one_by_one(value):
    """The entries of a tensor along its first dimension, or for a tuple of tensors the tuples of their entries."""
    return zip(*value, strict=True) if isinstance(value, tuple) else iter(value)


def _call(model, inputs):
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def bfloat16_is_fast() -> bool:
    """Whether this processor multiplies numbers of 16 bits (bfloat16) in hardware."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # an older PyTorch does not tell
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@dataclass
class History:
    """What happened in `fit`. loss, validation, lr: one number for each finished epoch."""

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    best_epoch: int | None = None  # with early stopping: the epoch whose weights the model has now, from 1
    seconds: float = 0.0
    stopped: str = "finished"  # or "early stopping", "interrupted"


def fit(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]] | tuple[Tensor, Tensor],
    *,
    epochs: int,
    lr: float = 1e-3,
    loss: Callable[[Tensor, Tensor], Tensor] = bce,
    optimizer: Callable[..., Optimizer] = Adam,
    scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    patience: int | None = None,
    step_every_batch: bool = False,
    bfloat16: bool = False,
    on_epoch: Callable[[History], None] | None = None,
    progress: bool = True,
) -> History:
    """Train `model` in place and return what happened. The model is left in evaluation mode.

    batches: a DataLoader, `Batches`, a list of (inputs, targets), or one pair (inputs, targets): the full batch.
    loss: takes (model(inputs), targets), gives one number for each image: `bce`, `mse` or your own.
    optimizer: is called with (parameters, lr=lr).
    scheduler: is called with the optimizer; takes a step after every epoch (ReduceLROnPlateau sees the loss).
    validation: a pair (inputs, targets) whose loss is measured after every epoch.
    patience: early stopping. Stop after so many epochs with no better loss (of `validation` if there is one), and go
        back to the weights that gave the best one. Without `validation`, and with several batches in an epoch, the
        loss is a mean over the epoch, and the weights are those at its end.
    step_every_batch: the scheduler takes a step after every batch, not after every epoch.
    bfloat16: compute the outputs with numbers of 16 bits (autocast); the weights stay at 32. Faster where
        `bfloat16_is_fast`.
    on_epoch: is called with the history after every epoch, and once more at the end, when `seconds` is known; for
        example a `helpers.widgets.LiveCurve`.

    An interrupt from the keyboard ends the training, not the program: the model can be used, the history tells.
    Raises ValueError for bad arguments, FloatingPointError if the loss is not finite.
    """
    _check_epochs_and_lr(epochs, lr)
    if patience is not None and patience < 1:
        raise ValueError(f"patience: expected a number of epochs >= 1, or None, got {patience}")
    if isinstance(batches, tuple):
        batches = [batches]
    optimizer = optimizer(model.parameters(), lr=lr)
    scheduler = scheduler(optimizer) if scheduler else None
    if step_every_batch and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError("step_every_batch: ReduceLROnPlateau follows the loss of an epoch; take another schedule")
    history, best, best_weights = History(), math.inf, None
    start = time.perf_counter()
    try:
        with tqdm(total=epochs, file=sys.stdout, mininterval=0.5, unit="epoch", disable=not progress) as bar:
            for epoch in range(1, epochs + 1):
                before = copy.deepcopy(model.state_dict()) if patience and validation is None else None
                model.train()
                history.lr.append(optimizer.param_groups[0]["lr"])
                trained, updates = _train_epoch(
                    model, batches, loss, optimizer, epoch, scheduler if step_every_batch else None, bfloat16
                )
                value = trained
                if validation is not None:
                    value = evaluate(model, validation, loss)
                    _check_finite(value, epoch)
                    history.validation.append(value)
                history.loss.append(trained)
                if patience and value < best:  # `before`: the weights that gave this loss, if there was one step
                    best, history.best_epoch = value, epoch
                    best_weights = before if before and updates == 1 else copy.deepcopy(model.state_dict())
                if scheduler and not step_every_batch:
                    scheduler.step(*([value] if isinstance(scheduler, ReduceLROnPlateau) else []))
                bar.set_postfix_str(f"loss {value:.4f}", refresh=False)
                bar.update()
                if on_epoch:
                    on_epoch(history)
                if patience and epoch - history.best_epoch >= patience:
                    history.stopped = "early stopping"
                    break
    except KeyboardInterrupt:
        history.stopped = "interrupted"
        print(f"Interrupted after {len(history.loss)} of {epochs} epochs. The model can be used as it is now.")
    finally:
        del history.lr[len(history.loss) :]
        if best_weights is not None:
            model.load_state_dict(best_weights)
        model.eval()
        history.seconds = time.perf_counter() - start
    if on_epoch:
        on_epoch(history)
    return history


def _train_epoch(model, batches, loss, optimizer, epoch, scheduler=None, bfloat16=False):
    """One pass over the batches; gives the mean loss of an example, and the number of updates."""
    total, count, updates = 0.0, 0, 0
    for inputs, targets in batches:
        optimizer.zero_grad()
        with torch.autocast(targets.device.type, torch.bfloat16, enabled=bfloat16):
            outputs = _call(model, inputs)
        value = loss(_each(Tensor.float, outputs) if bfloat16 else outputs, targets).mean()
        value.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        total, count, updates = total + value.detach() * len(targets), count + len(targets), updates + 1
    if count == 0:
        raise ValueError(
            f"batches: nothing came in epoch {epoch}; expected a list or a DataLoader, which can be read again"
        )
    mean = float(total) / count
    _check_finite(mean, epoch)
    return mean, updates


def _check_finite(loss, epoch):
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} in epoch {epoch}: try a smaller lr")


@torch.no_grad()
def evaluate(model: nn.Module, batch: tuple[Tensor, Tensor], loss: Callable[[Tensor, Tensor], Tensor] = bce) -> float:
    """The mean loss of a model, in evaluation mode, on one batch (inputs, targets)."""
    model.eval()
    inputs, targets = batch
    return float(loss(model(inputs), targets).mean())


class Ensemble:
    """Many networks of one architecture, trained from different seeds, kept as one batched model.

    Calling it, `encode` and `decode` do what the network does, for all members at once: the result has one more
    dimension in front, of size ``len(ensemble)``. `member(i)` is the i-th network as an ordinary module.

    loss: (epochs, members), the loss of every member at every epoch, before that epoch's update.
    metric: (measurements, members), at the epochs listed in `metric_epochs`; empty if no metric was given. It has one
        dimension more if the metric gives several numbers for each image.
    stopped: "finished", or "interrupted" from the keyboard. seconds: of the training.
    """

    def __init__(self, template: nn.Module, weights: dict[str, Tensor], seeds: Sequence[int]):
        self.template, self.weights, self.seeds = template, weights, tuple(seeds)
        self.loss, self.metric, self.metric_epochs = torch.empty(0, len(seeds)), torch.empty(0, len(seeds)), []
        self.seconds, self.stopped = 0.0, "finished"

    def __len__(self):
        return len(self.seeds)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """images (N, ...) -> logits (members, N, ...). In pieces, so that memory stays small."""
        pieces = [call_stacked(self.template, "forward", self.weights, piece) for piece in images.split(1000)]
        if isinstance(pieces[0], tuple):
            return tuple(torch.cat(parts, dim=1) for parts in zip(*pieces, strict=True))
        return torch.cat(pieces, dim=1)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """images (N, ...) -> codes (members, N, latent_dim)."""
        return call_stacked(self.template, "encode", self.weights, images)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """codes (N, latent_dim) for all members, or (members, N, latent_dim) -> logits (members, N, pixels)."""
        return call_stacked(self.template, "decode", self.weights, codes, one_each=codes.dim() == 3)

    def member(self, i: int) -> nn.Module:
        """The i-th network (i counts from 0; its seed is ``seeds[i]``), a copy, in evaluation mode."""
        model = copy.deepcopy(self.template)
        model.load_state_dict({name: weights[i] for name, weights in self.weights.items()})
        return model.eval()

    def to(self, device: str | torch.device) -> "Ensemble":
        """Move the networks to a device, in place."""
        self.template.to(device)
        self.weights = {name: value.to(device) for name, value in self.weights.items()}
        return self

    @classmethod
    def join(cls, parts: "Sequence[Ensemble]") -> "Ensemble":
        """One ensemble of the members of several, which were trained alike from other seeds.

        `seconds` is the sum. Raises ValueError if the parts were not trained for as many epochs, or not measured at the
        same ones.
        """
        if len({(len(part.loss), tuple(part.metric_epochs)) for part in parts}) != 1:
            raise ValueError(f"expected parts of as many epochs, got {[len(part.loss) for part in parts]}")
        weights = {name: torch.cat([part.weights[name] for part in parts]) for name in parts[0].weights}
        joined = cls(parts[0].template, weights, [seed for part in parts for seed in part.seeds])
        joined.loss, joined.metric = (
            torch.cat([getattr(p, name) for p in parts], dim=1) for name in ("loss", "metric")
        )
        joined.metric_epochs, joined.seconds = parts[0].metric_epochs, sum(part.seconds for part in parts)
        return joined


def call_stacked(model: nn.Module, method: str, weights: dict[str, Tensor], inputs: Tensor, one_each=False) -> Tensor:
    """Call a method of `model` for many networks at once, with their stacked weights in place of its own.

    inputs: the same for all networks, or with `one_each` one for each network, in the first dimension.
    Models that say ``takes_stacked_weights`` (see `helpers.models`) do it as they are; ``torch.func.vmap`` does it,
    slower, for any other.
    """
    direct = getattr(model, "takes_stacked_weights", False)
    if method != "forward":
        model, weights = _Method(model, method), {f"model.{name}": value for name, value in weights.items()}
    if direct:
        members = len(next(iter(weights.values())))
        return functional_call(model, weights, (inputs if one_each else inputs.expand(members, *inputs.shape),))
    batched = vmap(partial(functional_call, model), in_dims=(0, 0 if one_each else None))
    return batched(weights, inputs)


class _Method(nn.Module):
    """Makes a method of a module callable through `functional_call`, which only knows `forward`."""

    def __init__(self, model, name):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, inputs):
        return getattr(self.model, self.name)(inputs)


def fit_ensemble(
    make_model: Callable[[], nn.Module],
    seeds: Sequence[int],
    inputs: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    lr: float = 1e-3,
    loss: Callable[[Tensor, Tensor], Tensor] = bce,
    optimizer: Callable[..., Optimizer] = Adam,
    scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    noise: Callable[..., Tensor] | None = None,
    copies: int = 1,
    start_from: Ensemble | None = None,
    metric: Callable[[Tensor, Tensor], Tensor] | None = None,
    metric_every: int = 100,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> Ensemble:
    """Train one network for every seed, all at once, on the full batch (inputs, targets).

    The weights of all networks are stacked, so a layer of all of them is one batched matrix product. The losses are
    added up: no weight of one network appears in the loss of another, so each gets its own gradient, and Adam treats
    every number for itself (an optimizer that looks at a whole tensor would mix the networks). A member therefore ends
    where the same seed ends alone, to rounding:
    ``torch.manual_seed(seed); model = make_model(); fit(model, (inputs, targets), ...)``.

    noise, copies: as in `NoisyCopies`, with a generator of its own for each seed. (Where PyTorch computes with one
        thread, a second one draws the next passes meanwhile.) Alone, with the same noise:
        ``fit(model, NoisyCopies(inputs, targets, noise, copies=copies, seed=seed), ...)``.
    start_from: begin with the weights of this ensemble (with as many seeds) in place of new ones.
    metric: takes (logits, targets) like a loss, and gives a number, or several, for each image; the mean over the
        images is measured every `metric_every` epochs and after the last; without noise, if there is noise in training.
    device: where to train, for example "cuda" or "mps"; by default where the inputs are. Random numbers are drawn where
        the inputs are: on any device the results are the same, to rounding. The ensemble stays there (see `to`).
    The other arguments are those of `fit`; the rate is the same for all networks. An interrupt from the keyboard
    leaves the ensemble as it is by then.

    Raises ValueError for bad arguments, and for models with buffers (BatchNorm): those can't be stacked.
    Warns if the loss of a member is not finite at the end.
    """
    _check_epochs_and_lr(epochs, lr)
    seeds = list(seeds)
    if not seeds:
        raise ValueError("seeds: expected at least one")
    if len(inputs) != len(targets):
        raise ValueError(f"expected as many targets as inputs, got {len(inputs)} inputs and {len(targets)} targets")
    if noise is None and copies != 1:
        raise ValueError(f"copies: without noise all copies would be the same; expected 1, got {copies!r}")
    device = torch.device(device or inputs.device)
    models = _make_models(make_model, seeds, device)
    template, (weights, buffers) = models[0], stack_module_state(models)
    if buffers:
        raise ValueError(
            f"expected a model without buffers, got {sorted(buffers)}: train it with fit, one seed at a time"
        )
    if start_from is not None:
        shapes = {name: tuple(value.shape) for name, value in weights.items()}
        given = {name: tuple(value.shape) for name, value in start_from.weights.items()}
        if shapes != given:
            raise ValueError(f"start_from: expected weights of shapes {shapes}, got {given}")
        weights = {name: value.clone().to(device).requires_grad_() for name, value in start_from.weights.items()}

    forward, parameters = _stacked_forward(template, weights)
    batches = _stacked_batches(inputs, targets, noise, copies, seeds, device)
    inputs, targets = inputs.to(device), targets.to(device)
    optimizer = optimizer(parameters, lr=lr)
    scheduler = scheduler(optimizer) if scheduler else None
    if isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError(
            "scheduler: ReduceLROnPlateau follows one loss, an ensemble has many; take another schedule, or fit"
        )
    ensemble = Ensemble(template, weights, seeds)
    losses = torch.empty(
        epochs, len(seeds), dtype=inputs.dtype, device=device
    )  # made once: a list of small tensors would scatter the memory
    done, metrics, start = 0, [], time.perf_counter()

    def measure(epoch):
        metrics.append(metric(ensemble(inputs), targets).float().mean(dim=1))
        ensemble.metric_epochs.append(epoch)

    try:
        with tqdm(total=epochs, file=sys.stdout, mininterval=0.5, unit="epoch", disable=not progress) as bar:
            for epoch in range(epochs):
                if metric and epoch % metric_every == 0:
                    measure(epoch)
                optimizer.zero_grad()
                noisy, clean = next(batches)
                values = loss(_call(forward, noisy), clean).mean(dim=1)  # from logits (members, N, ...)
                values.sum().backward()
                optimizer.step()
                if scheduler:
                    scheduler.step()
                losses[epoch] = values.detach()
                done = epoch + 1
                if epoch % 100 == 0:
                    bar.set_postfix_str(
                        f"mean loss of {len(seeds)} networks {float(losses[epoch].mean()):.4f}", refresh=False
                    )
                bar.update()
    except KeyboardInterrupt:
        ensemble.stopped = "interrupted"
        print(f"Interrupted after {done} of {epochs} epochs. The networks can be used as they are now.")
    ensemble.weights = {name: value.detach() for name, value in weights.items()}
    if metric:
        if ensemble.metric_epochs[-1:] != [done]:
            measure(done)
        ensemble.metric = torch.stack(metrics)
    if done:
        ensemble.loss = losses[:done]
        last = loss(ensemble(inputs), targets).mean(dim=1)
        diverged = [seed for seed, value in zip(seeds, last, strict=True) if not value.isfinite()]
        if diverged:
            warnings.warn(f"the loss of these seeds is not finite: {diverged}; try a smaller lr", stacklevel=2)
    ensemble.seconds = time.perf_counter() - start
    return ensemble


def sweep(
    train: Callable[..., Ensemble],
    configurations: Iterable[dict],
    seeds: Sequence[int],
    *,
    executor: Executor | None = None,
    at_once: int = 64,
) -> list[Ensemble]:
    """Train every configuration from every seed; one `Ensemble` for each configuration, in their order.

    train: is called with ``seeds=[...], **configuration`` and gives an `Ensemble`, as `fit_ensemble` does.
    at_once: the seeds of a configuration are trained in groups of at most so many.
    executor: where the groups are trained. None: one after the other in this process. A ``ProcessPoolExecutor`` (take
        ``mp_context=multiprocessing.get_context("spawn")``: a forked PyTorch may hang), or Dask's
        ``Client.get_executor()``, which also reaches other computers; a group whose worker dies there is trained again.
        What a group needs and gives travels by pickle. Each worker computes with as many threads as this process
        (``torch.set_num_threads(1)`` is best where there are as many workers as cores).

    Neither the executor nor the size of the groups changes a member, but for rounding. If a group raises an error, the
    groups that have not begun are dropped and the error is raised here. An interrupt from the keyboard ends the sweep.
    Raises ValueError for no seeds, at_once < 1, and for a `train` that other processes can't find.
    """
    seeds, configurations = list(seeds), list(configurations)
    if not seeds or type(at_once) is not int or at_once < 1:
        raise ValueError(
            f"expected seeds, and at_once a whole number >= 1, got {len(seeds)} seeds, at_once={at_once!r}"
        )
    if isinstance(executor, ProcessPoolExecutor) and _is_of_a_notebook(train):
        raise ValueError(
            f"{train}: other processes can't see what a notebook defines; put the function into a .py file"
        )
    groups = [seeds[i : i + at_once] for i in range(0, len(seeds), at_once)]
    threads = torch.get_num_threads()
    submit = executor.submit if executor else _now
    futures = [[submit(_train_group, train, each, group, threads) for group in groups] for each in configurations]
    try:
        return [Ensemble.join([future.result() for future in row]) for row in futures]
    finally:
        for future in itertools.chain(*futures):
            future.cancel()  # no effect on what has ended


def _now(function, *arguments):
    future = Future()
    future.set_result(function(*arguments))
    return future


def _train_group(train, configuration, seeds, threads):
    torch.set_num_threads(threads)
    ensemble = train(seeds=seeds, **configuration)
    if ensemble.stopped == "interrupted":
        raise KeyboardInterrupt
    return ensemble


def _is_of_a_notebook(function):
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__module__", None) == "__main__" and not hasattr(sys.modules["__main__"], "__file__")


def _stacked_forward(template, weights):
    """The forward of all networks at once, from inputs (members, N, ...) to logits, and the parameters to optimize.

    `weights` then holds tensors that share their memory with these parameters.
    """
    if not getattr(template, "takes_stacked_weights", False):
        batched = vmap(partial(functional_call, template))
        return lambda *inputs: batched(weights, inputs), list(weights.values())
    stacked = copy.deepcopy(template)
    for name, layer in template.named_modules():
        if isinstance(layer, Linear):
            new = _StackedLinear(weights[f"{name}.weight"], weights[f"{name}.bias"])
            stacked.set_submodule(name, new)
            weights[f"{name}.weight"], weights[f"{name}.bias"] = new.weight.detach().mT, new.bias.detach().squeeze(1)
    return stacked, list(stacked.parameters())


class _StackedLinear(nn.Module):
    """`Linear` with stacked weights, kept as the product takes them and their gradients come: no views, no copies."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().mT.contiguous())  # (members, in, out)
        self.bias = nn.Parameter(bias.detach().unsqueeze(1))  # (members, 1, out)

    def forward(self, inputs):
        return torch.baddbmm(self.bias, inputs, self.weight)


def _stacked_batches(inputs, targets, noise, copies, seeds, device):
    """For every epoch the inputs (members, N, ...) and the targets (N, ...), on the device."""
    if noise is None:
        batch = inputs.to(device).repeat(len(seeds), *[1] * inputs.dim()), targets.to(device)
        while True:
            yield batch
    sources = [NoisyCopies(inputs, targets, noise, copies=copies, seed=seed) for seed in seeds]
    repeated = sources[0].targets.to(device)

    def draw():  # (PASSES, members, copies * N, ...)
        drawn = [source.draw() for source in sources]
        if isinstance(drawn[0], tuple):
            return tuple(_stack(parts) for parts in zip(*drawn, strict=True))
        return _stack(drawn)

    for stacked in _drawn_ahead(draw) if torch.get_num_threads() == 1 else iter(draw, None):
        for noisy in _one_by_one(stacked):
            yield _each(lambda part: part.to(device), noisy), repeated


def _drawn_ahead(draw):
    """draw(), again and again, the next one in a second thread meanwhile. (Two that share their threads are slower.)"""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(draw)
        while True:
            drawn, waiting = waiting.result(), thread.submit(draw)
            yield drawn


def _stack(parts):
    """torch.stack(parts, dim=1), but what is the same in all passes (images without noise) is copied only once."""
    if all(part.stride(0) == 0 for part in parts):
        return torch.stack([part[0] for part in parts]).expand(len(parts[0]), *[-1] * parts[0].dim())
    return torch.stack(parts, dim=1)


_SEEDING = threading.Lock()  # all threads have one global generator


def _make_models(make_model, seeds, device):
    """One new model for each seed; the global random generator is left as it was."""
    models = []
    with _SEEDING, torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            models.append(make_model().to(device))
    return models


def _check_epochs_and_lr(epochs, lr):
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs: expected a whole number >= 1, got {epochs!r}")
    if not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"lr: expected a finite number > 0, got {lr!r}")


def save_weights(model: nn.Module, file: str | Path) -> None:
    """Write the weights of a model to `file`, whole or not at all. Raises OSError if that is not possible."""
    content = io.BytesIO()
    torch.save(model.state_dict(), content)
    write_atomically(file, content.getvalue())


def load_weights(model: nn.Module, file: str | Path) -> None:
    """Read weights written by `save_weights` into `model`, which must have the same architecture.

    Raises ValueError for a file that is cut short, holds anything but weights, or belongs to another architecture;
    the model then stays as it was. Reading never runs code from the file (``weights_only=True``).
    """
    content = io.BytesIO(Path(file).read_bytes())
    try:
        weights = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise a dozen kinds for files that are cut short or no weights
        raise ValueError(
            f"{file}: expected weights written by save_weights, got a file that is cut short or not one"
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f"{file}: expected named weights, got {type(weights).__name__}")
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        raise ValueError(f"{file}: weights of another architecture: expected {expected}, got {found}")
    model.load_state_dict(weights)

"""Many letter autoencoders at once, beside their peers: cost of a network and update, memory,
success.

    python tools/benchmarks/letters.py        (two minutes; prints the results)

The network is that of notebook 02, [35, 17, 2, 17, 35] with tanh, a sigmoid after the code, binary
cross entropy and Adam, one thread. An update sees all 32 letters, but for the NumPy loop, which is
that of a textbook: it makes one update for each letter, and its cost is that of 32 updates. JAX,
where it is installed, keeps its loss after every update, or never; its time to compile does not
count. Besides: how the cost of 16 networks grows with the number of images and of pixels;
denoisers with 8 noisy copies; emoji VAEs on two threads.
"""

import gc
import json
import os
import statistics
import threading
import time
from functools import partial
from itertools import pairwise

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import numpy as np
import psutil
import torch
from torch import nn

from helpers import data, evaluation, losses, noise, training
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.stack import from_seeds

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

SIZES, COUNTS, LR = [35, 17, 2, 17, 35], [1, 16, 64, 256], 0.01
IMAGES, SHAPES = [32, 256, 1024, 4096], [(7, 5), (14, 10), (28, 20)]
UPDATES, NUMPY_EPOCHS = 200, 10  # NumPy is slow
RECORD_EVERY = 10  # updates from one loss that we keep to the next
ROUNDS = 7  # all peers in turn, so that a busy moment meets all; the median counts
RECIPE = {  # of notebook 02
    "epochs": 5000,
    "lr": 0.05,
    "optimizer": partial(training.Adam, betas=(0.9, 0.99)),
    "scheduler": training.warmup_cosine(5000, 50),
}


def networks(count):
    return from_seeds(partial(Autoencoder, SIZES), range(count))


def ours(stack, images, **settings):
    """Seconds of an update."""
    settings = {"lr": LR, "record_every": RECORD_EVERY, "progress": False} | settings
    return training.fit(stack, images, epochs=UPDATES, **settings).seconds / UPDATES


def plain_loop(letters):
    """Seconds of an update of one network, in the loop of most tutorials."""
    first, last = (nn.Linear(35, 17), nn.Tanh(), nn.Linear(17, 2)), (nn.Tanh(), nn.Linear(17, 35))
    model = nn.Sequential(*first, nn.Sigmoid(), nn.Linear(2, 17), *last)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    rows, criterion = letters.flatten(1), nn.BCEWithLogitsLoss()
    start = time.perf_counter()
    for _ in range(UPDATES):
        optimizer.zero_grad()
        loss = criterion(model(rows), rows)
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - start) / UPDATES


def numpy_loop(letters):
    """Seconds of an epoch of one network by hand: backpropagation, a step of Adam for each
    letter."""
    random = np.random.default_rng(0)
    rows = letters.flatten(1).numpy().astype(np.float64)
    weights = [random.uniform(-1, 1, (n, m)) / n**0.5 for n, m in pairwise(SIZES)]
    biases = [np.zeros(m) for m in SIZES[1:]]
    first, second = ([np.zeros_like(each) for each in weights + biases] for _ in range(2))
    start = time.perf_counter()
    for n, row in enumerate([*rows] * NUMPY_EPOCHS, start=1):
        values = [row]
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            total = values[-1] @ weight + bias
            values.append(np.tanh(total) if i in (0, 2) else 1 / (1 + np.exp(-total)))
        delta = (values[-1] - row) / 35  # derivative of the cross entropy after a sigmoid
        of_weights, of_biases = [None] * len(weights), [None] * len(weights)
        for i in reversed(range(len(weights))):
            y = values[i]
            of_weights[i], of_biases[i] = np.outer(y, delta), delta
            delta = (weights[i] @ delta) * ((1 - y**2) if i in (1, 3) else y * (1 - y))
        gradients = of_weights + of_biases
        for each, g, m, v in zip(weights + biases, gradients, first, second, strict=True):
            m += (1 - 0.9) * (g - m)
            v += (1 - 0.999) * (g**2 - v)
            each -= LR * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
    assert all(np.isfinite(weight).all() for weight in weights)
    return (time.perf_counter() - start) / NUMPY_EPOCHS


def of_jax(letters, count, keep):
    """A function that gives the seconds of an update of jit(vmap(scan)). keep: all losses."""
    rows = jnp.array(letters.flatten(1).numpy())

    def initial(key):
        shapes = list(pairwise(SIZES))
        keys = jax.random.split(key, len(shapes))
        return [
            (jax.random.uniform(k, (n, m), minval=-(n**-0.5), maxval=n**-0.5), jnp.zeros(m))
            for k, (n, m) in zip(keys, shapes, strict=True)
        ]

    def loss(weights):
        x, activations = rows, (jnp.tanh, jax.nn.sigmoid, jnp.tanh, lambda x: x)
        for (weight, bias), activation in zip(weights, activations, strict=True):
            x = activation(x @ weight + bias)
        return jnp.mean(jnp.maximum(x, 0) - x * rows + jnp.log1p(jnp.exp(-jnp.abs(x))))

    def step(state, n):
        weights, first, second = state
        value, gradients = jax.value_and_grad(loss)(weights)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        correct, root = 1 / (1 - 0.9**n), 1 / (1 - 0.999**n)

        def moved(w, m, v):
            return w - LR * m * correct / (jnp.sqrt(v * root) + 1e-8)

        weights = jax.tree.map(moved, weights, first, second)
        return (weights, first, second), (value if keep else None)

    @jax.jit
    @jax.vmap
    def train(weights):
        zeros = jax.tree.map(jnp.zeros_like, weights)
        numbers = jnp.arange(1, UPDATES + 1, dtype=jnp.float32)
        return jax.lax.scan(step, (weights, zeros, zeros), numbers)

    start = jax.vmap(initial)(jax.random.split(jax.random.key(0), count))
    jax.block_until_ready(train(start))  # compiles

    def run():
        begin = time.perf_counter()
        jax.block_until_ready(train(start))
        return (time.perf_counter() - begin) / UPDATES

    return run


def medians(runs):
    """The median of what each function gives, name -> number; all in turn."""
    values = [{name: run() for name, run in runs.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(value[name] for value in values) for name in runs}


def added_memory(letters, count):
    """Megabytes that a process has more while it trains `count` networks, at its peak. (Look at it
    now and then: the peak that the system keeps is that of the imports.)"""
    process, most, done = psutil.Process(), [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            most[0] = max(most[0], process.memory_info().rss)

    gc.collect()
    before, watcher = process.memory_info().rss, threading.Thread(target=watch)
    watcher.start()
    ours(networks(count), letters)
    done.set()
    watcher.join()
    return round((most[0] - before) / 2**20, 1)


def measure() -> dict:
    torch.set_num_threads(1)  # as in the notebook
    letters, emoji = data.load_letters().images, data.load_emoji().images
    ours(networks(1), letters)  # the first steps are slower
    # in rising order, before larger ones have widened the heap
    memory = [added_memory(letters, n) for n in COUNTS]
    runs = {"plain": partial(plain_loop, letters), "numpy": partial(numpy_loop, letters)}
    for n in COUNTS:
        runs["some", n] = partial(ours, networks(n), letters)
        runs["all", n] = partial(ours, networks(n), letters, record_every=1)
        if jax:
            runs |= {(f"jax {k}", n): of_jax(letters, n, k == "all") for k in ("all", "none")}
    generator = torch.Generator().manual_seed(0)
    for n in IMAGES:  # random patterns: what is learned does not matter here
        patterns = torch.rand(n, 1, 7, 5, generator=generator).round()
        runs["images", n] = partial(ours, networks(16), patterns)
    for height, width in SHAPES:
        patterns = torch.rand(32, 1, height, width, generator=generator).round()
        sizes, shape = [height * width, 17, 2, 17, height * width], (height, width)
        wide = from_seeds(partial(Autoencoder, sizes, shape=shape), range(16))
        runs["pixels", height * width] = partial(ours, wide, patterns)
    salt = partial(noise.salt_and_pepper, p=0.1)
    runs["denoisers"] = partial(ours, networks(16), letters, noise=salt, copies=8)
    seconds = medians(runs)
    cost = {
        kind: [round(1e6 * seconds[kind, n] / n, 1) for n in COUNTS]
        for kind in ("some", "all", *(["jax all", "jax none"] if jax else []))
    }
    pairs = [(name, time) for name, time in seconds.items() if isinstance(name, tuple)]
    stack = networks(64)
    history = training.fit(stack, letters, record_every=100, progress=False, **RECIPE)
    pixels = torch.sigmoid(evaluation.predict(stack, letters))
    wrong = evaluation.pixel_errors(pixels, letters).sum(dim=1)
    torch.set_num_threads(2)
    faces = from_seeds(partial(VariationalAutoencoder, [400, 300, 200, 100], 2), range(4))
    vaes = medians({"vaes": partial(ours, faces, emoji, loss=losses.vae_loss(0.5), lr=0.001)})
    return {
        "networks": COUNTS,
        "record_every": RECORD_EVERY,
        "cost": cost,
        "plain": round(1e6 * seconds["plain"], 1),
        "numpy": round(1e6 * seconds["numpy"], 1),
        "milliseconds": {
            "denoisers": round(1e3 * seconds["denoisers"], 2),
            "vaes": round(1e3 * vaes["vaes"], 2),
        },
        "growth": {
            kind: {n: round(1e6 * time / 16, 1) for (k, n), time in pairs if k == kind}
            for kind in ("images", "pixels")
        },
        "added_memory": memory,
        "perfect": round(float((wrong == 0).float().mean()), 3),
        "seconds_for_64": round(history.seconds, 1),
    }


if __name__ == "__main__":
    print(json.dumps({"letters": measure()}))

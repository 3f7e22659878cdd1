"""Many letter autoencoders at once, side by side with their peers: cost of a network and epoch, memory, success.

    python tools/benchmarks/letters.py        (two minutes; prints the results)

The network is that of notebook 02, [35, 17, 2, 17, 35] with tanh, a sigmoid after the code, binary cross entropy and
Adam with a warm-up and a cosine. An epoch sees the 32 letters once: in one update, but for the NumPy loop, which is
that of a textbook and makes one update for each letter.
"""

import gc
import importlib.util
import json
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import pairwise

import numpy as np
import psutil
import torch
from torch import nn

from helpers import data, evaluation, training
from helpers.models import Autoencoder

SIZES, SEEDS, EPOCHS, LR, WARMUP = [35, 17, 2, 17, 35], [1, 16, 64, 256], 300, 0.05, 50
NUMPY_EPOCHS = 20  # it is slow
ROUNDS = 5  # all peers in turn; of each the fastest round counts
RECIPE_EPOCHS = 5_000  # of notebook 02


def ensemble(letters, count, epochs=EPOCHS):
    return training.fit_ensemble(
        partial(Autoencoder, SIZES),
        range(count),
        letters,
        letters,
        epochs=epochs,
        lr=LR,
        scheduler=training.warmup_cosine(epochs, min(WARMUP, epochs)),
        optimizer=partial(training.Adam, betas=(0.9, 0.99)),
        progress=False,
    )


def plain_loop(letters, epochs=EPOCHS):
    """Seconds of one network, in the loop of most tutorials."""
    torch.manual_seed(0)
    tanh, sigmoid = nn.Tanh, nn.Sigmoid
    model = nn.Sequential(
        *(nn.Linear(35, 17), tanh(), nn.Linear(17, 2), sigmoid(), nn.Linear(2, 17), tanh(), nn.Linear(17, 35))
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, betas=(0.9, 0.99))
    scheduler = training.warmup_cosine(epochs, min(WARMUP, epochs))(optimizer)
    rows, criterion = letters.flatten(1), nn.BCEWithLogitsLoss()
    start = time.perf_counter()
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = criterion(model(rows), rows)
        loss.backward()
        optimizer.step()
        scheduler.step()
    return time.perf_counter() - start


def numpy_loop(letters, epochs=NUMPY_EPOCHS, lr=0.005):
    """Seconds of one network by hand: backpropagation, and one step of Adam for each letter."""
    random = np.random.default_rng(0)
    rows = letters.flatten(1).numpy().astype(np.float64)
    weights = [random.uniform(-1, 1, (n, m)) / n**0.5 for n, m in pairwise(SIZES)]
    biases = [np.zeros(m) for m in SIZES[1:]]
    first, second = ([np.zeros_like(each) for each in weights + biases] for _ in range(2))
    n, start = 0, time.perf_counter()
    for _ in range(epochs):
        for row in rows:
            values = [row]
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                total = values[-1] @ weight + bias
                values.append(np.tanh(total) if i in (0, 2) else 1 / (1 + np.exp(-total)))
            delta = (values[-1] - row) / 35  # derivative of the cross entropy after a sigmoid
            of_weights, of_biases = [None] * len(weights), [None] * len(weights)
            for i in reversed(range(len(weights))):
                of_weights[i], of_biases[i] = np.outer(values[i], delta), delta
                if i:
                    value = values[i]
                    delta = (weights[i] @ delta) * ((1 - value**2) if i in (1, 3) else value * (1 - value))
            n += 1
            for each, gradient, m, v in zip(weights + biases, of_weights + of_biases, first, second, strict=True):
                m += (1 - 0.9) * (gradient - m)
                v += (1 - 0.99) * (gradient**2 - v)
                each -= lr * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.99**n)) + 1e-8)
    assert all(np.isfinite(weight).all() for weight in weights)
    return time.perf_counter() - start


JAX = """
import json, sys, time
import jax, jax.numpy as jnp, numpy as np
sizes, count, epochs, lr, warmup, rows = json.loads(sys.stdin.read())
rows = jnp.array(rows, jnp.float32)

def initial(key):
    keys = jax.random.split(key, len(sizes) - 1)
    bound = lambda n: 1 / np.sqrt(n)
    return [(jax.random.uniform(k, (n, m), minval=-bound(n), maxval=bound(n)), jnp.zeros(m))
            for k, n, m in zip(keys, sizes, sizes[1:])]

def loss(weights):
    x = rows
    for i, (weight, bias) in enumerate(weights):
        x = x @ weight + bias
        x = (jnp.tanh, jax.nn.sigmoid, jnp.tanh, lambda x: x)[i](x)
    return jnp.mean(jnp.maximum(x, 0) - x * rows + jnp.log1p(jnp.exp(-jnp.abs(x))))

def step(state, epoch):
    weights, first, second = state
    value, gradients = jax.value_and_grad(loss)(weights)
    rate = lr * jnp.minimum(1, (epoch + 1) / warmup) * 0.5 * (1 + jnp.cos(jnp.pi * epoch / epochs))
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradients)
    n = epoch + 1.0
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / (1 - 0.9**n)) / (jnp.sqrt(v / (1 - 0.99**n)) + 1e-8), weights, first, second)
    return (weights, first, second), value

@jax.jit
def train(keys):
    def one(key):
        weights = initial(key)
        zeros = jax.tree.map(jnp.zeros_like, weights)
        return jax.lax.scan(step, (weights, zeros, zeros), jnp.arange(epochs, dtype=jnp.float32))
    return jax.vmap(one)(keys)

keys = jax.random.split(jax.random.key(0), count)
_, losses = jax.block_until_ready(train(keys))  # compiles
assert float(losses[:, -1].mean()) < float(losses[:, 0].mean())
start = time.perf_counter()
jax.block_until_ready(train(keys))
print(time.perf_counter() - start)
"""


def jax_scan(letters, count):
    """Seconds of `count` networks as one jit(vmap(scan)), without the time to compile; in a process of its own."""
    job = json.dumps([SIZES, count, EPOCHS, LR, WARMUP, letters.flatten(1).tolist()])
    run = subprocess.run([sys.executable, "-c", JAX], input=job, capture_output=True, text=True, check=True)
    return float(run.stdout)


def added_memory(letters, count):
    """Megabytes that a process has more while it trains `count` networks, at its peak. (Look at it now and then: the
    peak that the system keeps is that of the imports.)"""
    process, most, done = psutil.Process(), [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            most[0] = max(most[0], process.memory_info().rss)

    gc.collect()
    before, watcher = process.memory_info().rss, threading.Thread(target=watch)
    watcher.start()
    ensemble(letters, count, 50)
    done.set()
    watcher.join()
    return round((most[0] - before) / 2**20, 1)


def measure() -> dict:
    torch.set_num_threads(1)  # as in the notebook
    letters = data.load_letters().images
    has_jax = importlib.util.find_spec("jax") is not None
    ensemble(letters, 1, 50), plain_loop(letters, 50)  # the first steps are slower
    memory = [added_memory(letters, n) for n in SEEDS]  # in rising order, before larger ones have widened the heap
    rounds = {"plain": [], "numpy": []} | {(kind, n): [] for kind in ("batched", "jax") for n in SEEDS}
    for _ in range(ROUNDS):
        rounds["plain"].append(plain_loop(letters) / EPOCHS)
        rounds["numpy"].append(numpy_loop(letters) / NUMPY_EPOCHS)
        for n in SEEDS:
            rounds["batched", n].append(ensemble(letters, n).seconds / EPOCHS / n)
            if has_jax:
                rounds["jax", n].append(jax_scan(letters, n) / EPOCHS / n)
    cost = {key: round(1e6 * min(values), 1) for key, values in rounds.items() if values}
    trained = ensemble(letters, 64, RECIPE_EPOCHS)
    wrong = evaluation.pixel_errors(trained(letters), letters).sum(dim=1)
    return {
        "seeds": SEEDS,
        "batched": [cost["batched", n] for n in SEEDS],
        "plain": cost["plain"],
        "numpy": cost["numpy"],
        "jax": [cost["jax", n] for n in SEEDS] if has_jax else None,
        "added_memory": memory,
        "perfect": round(float((wrong == 0).float().mean()), 3),
        "seconds_for_64": round(trained.seconds, 1),
    }


if __name__ == "__main__":
    print(json.dumps({"letters": measure()}))

"""Microseconds of one network and update: stacks of letter autoencoders beside JAX's compiled loop.

    OMP_NUM_THREADS=1 python tools/benchmarks/stack.py        (a minute; prints a table)

The network is that of notebook 02, [35, 17, 2, 17, 35] with tanh, a sigmoid after the code, binary
cross entropy, Adam, the 32 letters in every update. JAX, where it is installed, runs in the same
process and in turn with ours, its loss kept after every update or never; without the time that it
needs to compile. Two lines more: denoisers with 8 noisy copies, and emoji VAEs on two threads.
"""

import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from helpers import data, losses, noise, training
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.stack import from_seeds

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

SIZES, COUNTS, UPDATES, ROUNDS, LR = [35, 17, 2, 17, 35], [1, 16, 64, 256], 200, 7, 0.01


def ours(images, networks, updates=UPDATES, **settings):
    """Seconds of an update of a stack, as a function without arguments."""
    settings = {"lr": LR, "record_every": 10, "progress": False} | settings
    return lambda: training.fit(networks, images, epochs=updates, **settings).seconds / updates


def of_jax(images, count, keep, updates=UPDATES):
    """The same for jit(vmap(scan)); keep: whether the loss of every update is kept."""
    rows = jnp.array(images.flatten(1).numpy())

    def initial(key):
        widths = list(zip(SIZES, SIZES[1:], strict=False))
        keys = jax.random.split(key, len(widths))
        return [
            (jax.random.uniform(k, (n, m), minval=-(n**-0.5), maxval=n**-0.5), jnp.zeros(m))
            for k, (n, m) in zip(keys, widths, strict=True)
        ]

    def loss(weights):
        x = rows
        for (weight, bias), activation in zip(
            weights, (jnp.tanh, jax.nn.sigmoid, jnp.tanh, lambda x: x), strict=True
        ):
            x = activation(x @ weight + bias)
        return jnp.mean(jnp.maximum(x, 0) - x * rows + jnp.log1p(jnp.exp(-jnp.abs(x))))

    def step(state, n):
        weights, first, second = state
        value, gradients = jax.value_and_grad(loss)(weights)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        correct, root = 1 / (1 - 0.9**n), 1 / (1 - 0.999**n)
        weights = jax.tree.map(
            lambda w, m, v: w - LR * m * correct / (jnp.sqrt(v * root) + 1e-8),
            weights, first, second,
        )  # fmt: skip
        return (weights, first, second), (value if keep else None)

    @jax.jit
    @jax.vmap
    def train(weights):
        zeros = jax.tree.map(jnp.zeros_like, weights)
        numbers = jnp.arange(1, updates + 1, dtype=jnp.float32)
        return jax.lax.scan(step, (weights, zeros, zeros), numbers)

    start = jax.vmap(initial)(jax.random.split(jax.random.key(0), count))
    jax.block_until_ready(train(start))  # compiles

    def run():
        begin = time.perf_counter()
        jax.block_until_ready(train(start))
        return (time.perf_counter() - begin) / updates

    return run


def medians(runs):
    """Median seconds of each function; all in turn, so that a busy moment meets all."""
    seconds = [[run() for run in runs] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def main():
    torch.set_num_threads(1)
    letters, emoji = data.load_letters().images, data.load_emoji().images
    new = partial(Autoencoder, SIZES)
    print("networks   ours, loss every 10th   every   JAX, loss every   never   ours / JAX never")
    for count in COUNTS:
        runs = [ours(letters, from_seeds(new, range(count)), record_every=n) for n in (10, 1)]
        if jax:
            runs += [of_jax(letters, count, keep) for keep in (True, False)]
        times = [1e6 * seconds / count for seconds in medians(runs)] + [float("nan")] * 2
        tenth, every, kept, never = times[:4]
        print(f"{count:8}{tenth:24.1f}{every:8.1f}{kept:18.1f}{never:8.1f}{tenth / never:19.2f}")
    noisy = partial(noise.salt_and_pepper, p=0.1)
    denoisers = ours(letters, from_seeds(new, range(16)), noise=noisy, copies=8)
    print(f"16 denoisers, 8 noisy copies: {1e3 * medians([denoisers])[0]:.2f} ms an update")
    torch.set_num_threads(2)
    faces = from_seeds(partial(VariationalAutoencoder, [400, 300, 200, 100], 2), range(4))
    vaes = ours(emoji, faces, loss=losses.vae_loss(0.5), lr=0.001)
    print(f"4 emoji VAEs, two threads: {1e3 * medians([vaes])[0]:.2f} ms an update")


if __name__ == "__main__":
    main()

"""A sweep gives the same networks in this process, in several, and on a Dask cluster that loses a worker."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import distributed
import pytest
import torch

from helpers import noise, training
from helpers.data import load_letters
from helpers.models import Autoencoder, VariationalAutoencoder, sampling_noise
from helpers.training import Ensemble, sweep

LETTERS = load_letters().images
SEEDS, CONFIGURATIONS = range(5), [{"lr": 0.01}, {"lr": 0.05, "p": 0.2}]


def train(seeds, lr, p=0.1, epochs=30):
    return training.fit_ensemble(
        partial(Autoencoder, [35, 8, 2, 8, 35]),
        seeds,
        LETTERS,
        LETTERS,
        epochs=epochs,
        lr=lr,
        noise=partial(noise.salt_and_pepper, p=p),
        scheduler=training.warmup_cosine(epochs, 5),
        metric=training.mse,
        metric_every=10,
        progress=False,
    )


def train_vae(seeds, beta):
    return training.fit_ensemble(
        partial(VariationalAutoencoder, [35, 8], 2),
        seeds,
        LETTERS,
        LETTERS,
        epochs=5,
        noise=sampling_noise(2),
        loss=training.negative_elbo(beta),
        progress=False,
    )


def fail(seeds, wait=0.0):
    time.sleep(wait)
    raise ArithmeticError(f"seeds {seeds}")


def check_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.seeds == other.seeds
        assert one.metric_epochs == other.metric_epochs
        assert one.weights.keys() == other.weights.keys()
        for a, b in [
            (one.loss, other.loss),
            (one.metric, other.metric),
            *((one.weights[k], other.weights[k]) for k in one.weights),
        ]:
            assert a.shape == b.shape
            assert torch.allclose(a, b, atol=1e-4)


@pytest.fixture(scope="module")
def expected():
    return [train(SEEDS, **configuration) for configuration in CONFIGURATIONS]


@pytest.fixture(scope="module")
def process():
    """One other process: it takes seconds to start."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.mark.parametrize("at_once", [1, 2, 64])
def test_groups_of_any_size_give_the_same(expected, at_once):
    check_same(sweep(train, CONFIGURATIONS, SEEDS, at_once=at_once), expected)


def test_another_process_gives_the_same(process, expected):
    check_same(sweep(train, CONFIGURATIONS, SEEDS, executor=process, at_once=2), expected)
    check_same(sweep(train_vae, [{"beta": 0.5}], [3, 4], executor=process, at_once=1), [train_vae([3, 4], 0.5)])


def test_configurations_differ(expected):
    assert not torch.allclose(expected[0].loss, expected[1].loss)


@pytest.mark.parametrize("kind", ["none", "thread", "process"])
def test_an_error_in_a_group_is_raised_here(process, kind):
    with ThreadPoolExecutor(1) as thread:
        executor = {"none": None, "thread": thread, "process": process}[kind]
        with pytest.raises(ArithmeticError, match=r"seeds \[0, 1\]"):
            sweep(fail, [{}], SEEDS, executor=executor, at_once=2)


def test_after_an_error_no_further_group_begins():
    begun = []

    def count(seeds, wait):
        begun.append(seeds)
        fail(seeds, wait)

    with ThreadPoolExecutor(1) as pool, pytest.raises(ArithmeticError):
        sweep(count, [{"wait": 0.2}], range(50), executor=pool, at_once=1)
    assert len(begun) < 5


@pytest.mark.parametrize(
    ("seeds", "at_once", "message"),
    [([], 1, "got 0 seeds"), ([1], 0, "at_once=0"), ([1], 1.5, "at_once=1.5")],
)
def test_wrong_arguments(seeds, at_once, message):
    with pytest.raises(ValueError, match=message):
        sweep(train, CONFIGURATIONS, seeds, at_once=at_once)


def test_ensembles_of_different_length_do_not_join():
    with pytest.raises(ValueError, match=r"as many epochs, got \[6, 7\]"):
        Ensemble.join([train([0], 0.1, epochs=6), train([1], 0.1, epochs=7)])


def test_what_a_notebook_defines_is_refused_with_a_reason():
    """As in a notebook: a __main__ without a file."""
    program = """
import multiprocessing, concurrent.futures
from functools import partial
from helpers.training import sweep
def train(seeds): pass
with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
    sweep(partial(train), [{}], [0], executor=executor)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "put the function into a .py file" in run.stderr


def test_threads_of_one_process_give_the_same(expected):
    """They share PyTorch's global generator, from which the first weights come."""
    with ThreadPoolExecutor(4) as executor:
        check_same(sweep(train, CONFIGURATIONS, SEEDS, executor=executor, at_once=1), expected)


def test_an_interrupt_ends_the_sweep(capsys):
    """`fit_ensemble` keeps what it has after an interrupt; a sweep does not go on with the next group."""
    begun = []

    def interrupted(seeds):
        def loss(logits, targets):
            begun.append(seeds)
            if len(begun) == 3:
                raise KeyboardInterrupt
            return training.bce(logits, targets)

        make_model = partial(Autoencoder, [35, 8, 2, 8, 35])
        return training.fit_ensemble(make_model, seeds, LETTERS, LETTERS, epochs=9, loss=loss, progress=False)

    with pytest.raises(KeyboardInterrupt):
        sweep(interrupted, [{}], [1, 2, 3], at_once=1)
    assert "Interrupted after 2 of 9" in capsys.readouterr().out
    assert all(seeds == [1] for seeds in begun)


def test_the_example_of_the_readme(tmp_path):
    """With fewer and shorter trainings, and a scheduler on this computer."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    text = readme[
        readme.index("Put the function into a file, here `study.py`") : readme.index("On a cluster with Slurm")
    ]
    study, script = (textwrap.dedent("\n".join(lines)) for lines in blocks(text))
    smaller = {"epochs=5000": "epochs=3", "range(1000)": "range(3)", "ProcessPoolExecutor(8,": "ProcessPoolExecutor(1,"}
    settings = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None, "local_directory": tmp_path}
    settings |= {"processes": False, "protocol": "tcp"}  # a worker in this process, which others can reach
    with distributed.LocalCluster(**settings) as cluster:
        for here, there in (smaller | {"scheduler:8786": cluster.scheduler_address}).items():
            assert study.count(here) + script.count(here) == 1
            study, script = study.replace(here, there), script.replace(here, there)
        (tmp_path / "study.py").write_text(study)
        (tmp_path / "run.py").write_text(script + "\n    print([len(each) for each in ensembles])\n")
        run = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True)
    assert run.stdout.splitlines()[-1:] == ["[3, 3]"], run.stderr


def blocks(markdown):
    """The indented blocks of code, as lists of lines."""
    found = itertools.groupby(markdown.splitlines(), key=lambda line: line.startswith("    ") or not line)
    return [lines for is_code, group in found if is_code and any(lines := list(group))]


def slow(seeds, folder):
    """Writes which process it runs in, waits until it may go on."""
    folder = Path(folder)
    (folder / f"begun-{seeds[0]}-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    return train(seeds, lr=0.01)


@pytest.mark.long
def test_a_dask_cluster_that_loses_a_worker_loses_nothing(tmp_path, expected):
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "local_directory": tmp_path}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        with ThreadPoolExecutor(1) as waiting:
            job = waiting.submit(
                sweep, slow, [{"folder": str(tmp_path)}], SEEDS, executor=client.get_executor(), at_once=1
            )
            begun = wait_for(lambda: sorted(tmp_path.glob("begun-*")), 2)
            victim = int(begun[0].name.split("-")[2])
            os.kill(victim, signal.SIGKILL)
            (tmp_path / "go").touch()
            check_same(job.result(timeout=120), expected[:1])
        again = [file.name for file in tmp_path.glob(f"begun-{begun[0].name.split('-')[1]}-*")]
        assert len(again) == 2  # the group of the dead worker was trained by another one


def wait_for(look, count, seconds=60):
    for _ in range(int(seconds / 0.05)):
        if len(look()) >= count:
            return look()
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {look()}")

"""The script of docs/large_studies.md, as it stands there: with processes, and with Dask."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = re.search(
    r"```python\n(.*?)```", (ROOT / "docs" / "large_studies.md").read_text(encoding="utf-8"), re.S
)[1]


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    file = tmp_path_factory.mktemp("study") / "study.py"
    file.write_text(SCRIPT, encoding="utf-8")
    return file


def start(script, *arguments):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def lines_of(process):
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out.splitlines()


@pytest.fixture(scope="module")
def with_processes(script):
    return lines_of(start(script))


def test_the_script_is_short_and_gives_the_numbers_of_every_seed(script, with_processes):
    assert len(SCRIPT.splitlines()) <= 40
    numbers = {line.partition(" [")[0]: eval(line[line.index("[") :]) for line in with_processes}
    assert list(numbers) == ["mse 0.009", "mse 0.05", "bce 0.009", "bce 0.05"]
    assert all(len(wrong) == 64 for wrong in numbers.values())
    here = {"__name__": "study"}
    exec(SCRIPT, here)
    assert here["train"](here["losses"].bce, 0.05, range(32, 48)) == numbers["bce 0.05"][32:48]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_worker_of_dask_that_is_killed_loses_nothing(script, with_processes):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        workers = client.run(os.getpid)
        process = start(script, cluster.scheduler_address)

        while (done := client.run_on_scheduler(_done)) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(next(iter(workers.values())), signal.SIGKILL)
        assert done < 16  # it was killed half-way
        assert lines_of(process) == with_processes


def _done(dask_scheduler):
    return sum(task.state == "memory" for task in dask_scheduler.tasks.values())

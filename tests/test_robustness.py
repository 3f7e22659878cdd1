"""What `make test-long` runs, about an hour: the notebooks under other conditions.

Not part of `make test`. Some of it needs Linux and the right to make namespaces (root, as in a
container).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHIFT = int(os.environ.get("PRACTICAL_SEED", 100))
NBVAL = [
    "-m",
    "pytest",
    "-q",
    "--nbval-lax",
    "--nbval-current-env",
    "--nbval-cell-timeout=1800",
    "-p",
    "no:cacheprovider",
]


@pytest.fixture(scope="module")
def namespaces():
    if (
        not (shutil.which("unshare") and shutil.which("ip"))
        or subprocess.run(["unshare", "-nm", "true"], capture_output=True).returncode
    ):
        pytest.skip("needs Linux and the right to make namespaces")


def changed(path, folder, shift=0, threads=None):
    """A copy of a notebook whose seeds are shifted, and with another number of threads."""
    book = nbformat.read(path, as_version=4)
    parameters = next(
        cell for cell in book.cells if re.search(r"^SEED = ", cell.source, re.MULTILINE)
    )
    one = re.findall(r"^(\w*SEED) = ", parameters.source, re.MULTILINE)
    many = re.findall(r"^(\w*SEEDS) = ", parameters.source, re.MULTILINE)
    lines = [f"{name} += {shift}" for name in one] + [
        f"{name} = [seed + {shift} for seed in {name}]" for name in many
    ]
    if threads:
        lines += [f"THREADS = {threads}", "torch.set_num_threads(THREADS)"]
    parameters.source += "\n" + "\n".join(lines)
    file = folder / path.name
    nbformat.write(book, file)
    return file


def check(file, **options):
    run = subprocess.run(
        [sys.executable, *NBVAL, file], cwd=file.parent, capture_output=True, text=True, **options
    )
    assert run.returncode == 0, run.stdout[-6000:]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_one_and_with_two_threads(tmp_path, path, threads):
    check(changed(path, tmp_path, threads=threads))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_other_seeds(tmp_path, path):
    check(changed(path, tmp_path, shift=SHIFT))


def test_all_notebooks_at_once_without_a_network_and_with_read_only_data(namespaces, tmp_path):
    """On a clone of their own; `data` can't be written, and there is no network but the computer's
    own."""
    clone = tmp_path / "clone"
    shutil.copytree(
        ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".git", "weights", "html", ".*_cache")
    )
    nbval = f"{sys.executable} {' '.join(NBVAL)}"
    jobs = " ".join(
        f"( {nbval} notebooks/{path.name} > {tmp_path}/{path.stem} 2>&1 "
        f"|| echo {path.stem} >> {tmp_path}/failed ) &"
        for path in NOTEBOOKS
    )
    read_only = f"mount --bind {clone}/data {clone}/data && mount -o remount,bind,ro {clone}/data"
    no_writing = f"if touch {clone}/data/new; then exit 1; fi"
    script = f"set -e; {read_only}; ip link set lo up; {no_writing}; {jobs} wait"
    # One thread each, as on a server that many share
    environment = os.environ | {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    subprocess.run(["unshare", "-nm", "sh", "-c", script], cwd=clone, env=environment, check=True)
    failed = tmp_path / "failed"
    assert not failed.exists(), failed.read_text() + "".join(
        file.read_text()[-3000:] for file in tmp_path.glob("0*")
    )

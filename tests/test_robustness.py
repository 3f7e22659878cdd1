"""What `make test-long` runs, about an hour: the notebooks under other conditions, and disks that fail.

Not part of `make test`. Some of it needs Linux and the right to make namespaces (root, as in a container).
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
    parameters = next(cell for cell in book.cells if re.search(r"^SEED = ", cell.source, re.MULTILINE))
    one = re.findall(r"^(\w*SEED) = ", parameters.source, re.MULTILINE)
    many = re.findall(r"^(\w*SEEDS) = ", parameters.source, re.MULTILINE)
    lines = [f"{name} += {shift}" for name in one] + [f"{name} = [seed + {shift} for seed in {name}]" for name in many]
    if threads:
        lines += [f"THREADS = {threads}", "torch.set_num_threads(THREADS)"]
    parameters.source += "\n" + "\n".join(lines)
    file = folder / path.name
    nbformat.write(book, file)
    return file


def check(file, **options):
    run = subprocess.run([sys.executable, *NBVAL, file], cwd=file.parent, capture_output=True, text=True, **options)
    assert run.returncode == 0, run.stdout[-6000:]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_one_and_with_two_threads(tmp_path, path, threads):
    check(changed(path, tmp_path, threads=threads))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_other_seeds(tmp_path, path):
    check(changed(path, tmp_path, shift=SHIFT))


def test_all_notebooks_at_once_without_a_network_and_with_read_only_data(namespaces, tmp_path):
    """On a clone of their own; `data` can't be written, and there is no network but the computer's own."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".git", "weights", "html", ".*_cache"))
    jobs = " ".join(
        f"( {sys.executable} {' '.join(NBVAL)} notebooks/{path.name} > {tmp_path}/{path.stem} 2>&1 || echo {path.stem} "
        f">> {tmp_path}/failed ) &"
        for path in NOTEBOOKS
    )
    read_only = f"mount --bind {clone}/data {clone}/data && mount -o remount,bind,ro {clone}/data"
    script = f"set -e; {read_only}; ip link set lo up; if touch {clone}/data/new; then exit 1; fi; {jobs} wait"
    environment = os.environ | {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}  # as on a server that many share
    subprocess.run(["unshare", "-nm", "sh", "-c", script], cwd=clone, env=environment, check=True)
    failed = tmp_path / "failed"
    assert not failed.exists(), failed.read_text() + "".join(file.read_text()[-3000:] for file in tmp_path.glob("0*"))


SAVE = """
import sys, torch
from helpers import training
from helpers.models import Autoencoder
small, large = Autoencoder([35, 17, 2, 17, 35]), Autoencoder([784, 512, 2, 512, 784])
file = sys.argv[1] + "/weights.pt"
training.save_weights(small, file)
before = open(file, "rb").read()
{fail}
try:
    training.save_weights(large, file)
except OSError as error:
    print("OSError:", error)
assert open(file, "rb").read() == before, "the old file has changed"
import os
assert os.listdir(sys.argv[1]) == ["weights.pt"], os.listdir(sys.argv[1])
"""
FAILURES = {
    "a full disk": ("", "No space left on device"),
    "a folder that became read-only": (
        "import subprocess; subprocess.run(['mount', '-o', 'remount,ro', sys.argv[1]], check=True)",
        "Read-only file system",
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_weights_that_cannot_be_saved(namespaces, tmp_path, failure):
    """On a disk of one megabyte: the small network's weights fit, the large one's don't."""
    (tmp_path / "disk").mkdir()
    code, message = FAILURES[failure]
    (tmp_path / "save.py").write_text(SAVE.format(fail=code))
    script = f"mount -t tmpfs -o size=1m tmpfs disk && {sys.executable} save.py disk"
    run = subprocess.run(["unshare", "-nm", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "OSError: [Errno" in run.stdout
    assert message in run.stdout

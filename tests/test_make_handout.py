"""The zip for students: all they need, nothing else, and it works where it is unpacked."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import make_handout
import pytest


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    file = folder / "practical.zip"
    subprocess.run([sys.executable, make_handout.__file__, file], check=True)
    assert file.stat().st_size < 15_000_000
    zipfile.ZipFile(io.BytesIO(file.read_bytes())).extractall(folder)
    return folder / make_handout.FOLDER


def test_notebooks_without_outputs_and_no_solutions(unpacked):
    notebooks = sorted(unpacked.rglob("*.ipynb"))
    assert [path.name[:3] for path in notebooks] == ["01_", "02_", "03_", "04_"]
    for path in notebooks:
        ours = json.loads((make_handout.ROOT / "notebooks" / path.name).read_bytes())["cells"]
        cells = json.loads(path.read_bytes())["cells"]
        assert [cell["source"] for cell in cells] == [cell["source"] for cell in ours]
        for cell in cells:
            assert not cell.get("outputs") and not cell.get("execution_count")


def test_no_tests_and_a_readme_that_names_only_what_is_there(unpacked):
    assert not (unpacked / "tests").exists() and (unpacked / "tools" / "check.py").exists()
    readme = (unpacked / "README.md").read_text(encoding="utf-8")
    assert "make lab" in readme and "![" not in readme and "make test" not in readme
    assert "solutions" not in readme
    for link in make_handout.re.findall(r"\]\((?!http)(.+?)\)", readme):
        assert (unpacked / link).exists(), link


def test_a_readme_without_a_section_is_refused():
    with pytest.raises(ValueError, match=r"expected the sections Start, .*, not .*The notebooks"):
        make_handout.for_students("# Title\n\n## Start\n\n## Licences\n")


def run(unpacked, *command):
    """As a student who has installed it: this `helpers`, not ours."""
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    return subprocess.run(
        [sys.executable, *command], cwd=unpacked, env=environment, capture_output=True, text=True
    )


def test_its_own_helpers_find_its_own_data(unpacked):
    code = "import helpers.data as d; print(len(d.load_mnist(False).images), d.DATA_FOLDER)"
    count, folder = run(unpacked, "-c", code).stdout.split()
    assert count == "10000" and Path(folder) == unpacked / "data"


@pytest.mark.long
@pytest.mark.parametrize("number", ["01", "02", "03", "04"])
def test_run_all_works(unpacked, number):
    (path,) = unpacked.glob(f"notebooks/{number}_*.ipynb")
    command = "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--stdout", str(path)
    ran = run(unpacked, *command)
    assert ran.returncode == 0, ran.stderr[-2000:]
    cells = json.loads(ran.stdout)["cells"]
    texts = ["".join(one.get("text", "")) for c in cells for one in c.get("outputs", [])]
    assert any("Exercise 1: not yet" in text for text in texts)

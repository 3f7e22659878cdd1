"""The notebooks as files: executed from top to bottom, small, clean, and with the checks in place.

That they run, and still give the outputs that their texts rely on, is tested by nbval (see Makefile).
"""

import copy
import re
import tempfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
MOST_BYTES, MOST_BYTES_OF_A_MAP, MOST_LINES = 1_000_000, 300_000, 30


def name(path):
    return path.relative_to(ROOT / "notebooks").as_posix()


def text_of(output):
    data = output.get("data", {})
    return "".join(output.get("text", "")) + "".join(value for key, value in data.items() if key.startswith("text/"))


@pytest.fixture(params=NOTEBOOKS + SOLUTIONS, ids=name)
def notebook(request):
    book = nbformat.read(request.param, as_version=4)
    nbformat.validate(book)
    without_maps = copy.deepcopy(book)
    for output in latent_maps(without_maps):
        assert len(output.data.pop("text/html")) < MOST_BYTES_OF_A_MAP
    assert len(nbformat.writes(without_maps).encode()) < MOST_BYTES
    return book


def latent_maps(book):
    outputs = [output for cell in code_cells(book) for output in cell.outputs]
    return [output for output in outputs if "latent-map" in output.get("data", {}).get("text/html", "")]


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def checked(book):
    return [cell for cell in code_cells(book) if "nbval-check-output" in cell.metadata.get("tags", [])]


def test_executed_in_order_from_a_fresh_kernel(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))


def test_outputs_are_clean(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            assert not re.search(r"Traceback|Warning|/home/|/Users/|[A-Z]:\\", text_of(output))
            assert not any(str(folder) in text_of(output) for folder in (ROOT, Path.home(), tempfile.gettempdir()))
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})  # dead without its kernel
    assert "widgets" not in notebook.metadata


def test_cells_are_short(notebook):
    longest = max(code_cells(notebook), key=lambda cell: cell.source.count("\n"))
    assert longest.source.count("\n") < MOST_LINES, longest.source


def test_checked_cells_print_something_and_no_long_decimals(notebook):
    assert checked(notebook)
    for cell in checked(notebook):
        text = "".join(text_of(output) for output in cell.outputs)
        assert text.strip(), cell.source
        assert not re.search(r"\d\.\d{5}", text), text  # rounded: another processor must print the same


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_exercises_wait_for_the_student_and_the_solutions_are_right(path):
    solutions = path.parent / "solutions" / path.name
    files = [(path, "not yet")]
    if solutions.parent.exists():  # a teacher may hand out the practical without them
        files.append((solutions, "right."))
    for file, verdict in files:
        cells = [cell for cell in checked(nbformat.read(file, as_version=4)) if "exercises.check_" in cell.source]
        lines = ["".join(text_of(output) for output in cell.outputs).strip() for cell in cells]
        assert len(lines) == 3
        for number, line in enumerate(lines, start=1):
            assert line.startswith(f"Exercise {number}:")
            assert verdict in line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_every_figure_is_described_and_every_slider_has_a_question(path):
    book = nbformat.read(path, as_version=4)
    for i, cell in enumerate(book.cells):
        if cell.cell_type != "code":
            continue
        following = next((later.source for later in book.cells[i + 1 :] if later.cell_type == "markdown"), "")
        interactive = "_explorer(" in cell.source or "latent_map(" in cell.source
        if not interactive and any("image/png" in o.get("data", {}) for o in cell.outputs):
            assert re.match(r"\*The (figure|picture) shows\*", following), cell.source
        if interactive:
            assert following.startswith("**Question.**"), cell.source


def test_helpers_comes_before_torch(notebook):
    """It says how the threads of torch wait, which is read when torch is loaded."""
    lines = "\n".join(cell.source for cell in code_cells(notebook)).splitlines()
    first = {
        name: next(i for i, line in enumerate(lines) if re.match(rf"(from|import) {name}\b", line))
        for name in ("helpers", "torch")
    }
    assert first["helpers"] < first["torch"]

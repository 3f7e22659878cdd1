"""The notebooks as files: executed from top to bottom, small, clean, and with the checks in place.

That they run, and still give the outputs that their texts rely on, is tested by nbval (see
Makefile).
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
MOST_BYTES, MOST_BYTES_OF_AN_INSTRUMENT, MOST_LINES = 1_000_000, 700_000, 20


def name(path):
    return path.relative_to(ROOT / "notebooks").as_posix()


def text_of(output):
    data = output.get("data", {})
    texts = [value for kind, value in data.items() if kind.startswith("text/")]
    return "".join([*output.get("text", ""), *texts])


@pytest.fixture(params=NOTEBOOKS + SOLUTIONS, ids=name)
def notebook(request):
    book = nbformat.read(request.param, as_version=4)
    nbformat.validate(book)
    without_instruments = copy.deepcopy(book)
    for output in instruments(without_instruments):
        assert len(output.data.pop("text/html")) < MOST_BYTES_OF_AN_INSTRUMENT
    assert len(nbformat.writes(without_instruments).encode()) < MOST_BYTES
    return book


def instruments(book):
    outputs = [output for cell in code_cells(book) for output in cell.outputs]
    return [
        one for one in outputs if 'class="instrument' in one.get("data", {}).get("text/html", "")
    ]


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def checked(book):
    return [c for c in code_cells(book) if "nbval-check-output" in c.metadata.get("tags", [])]


def test_executed_in_order_from_a_fresh_kernel_in_short_cells(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    longest = max((cell.source for cell in cells), key=lambda source: source.count("\n"))
    assert longest.count("\n") < MOST_LINES, longest
    wide = [line for cell in cells for line in cell.source.splitlines() if len(line) > 100]
    assert wide == []


def test_outputs_are_clean(notebook):
    folders = "|".join(re.escape(str(path)) for path in (ROOT, Path.home(), tempfile.gettempdir()))
    for output in (output for cell in code_cells(notebook) for output in cell.outputs):
        assert output.output_type != "error" and output.get("name") != "stderr"
        unwanted = rf"Traceback|Warning|/home/|/Users/|[A-Z]:\\|{folders}"
        assert not re.search(unwanted, text_of(output))
        # a view is dead without its kernel
        assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
    assert "widgets" not in notebook.metadata


def test_checked_cells_print_something_and_no_long_decimals(notebook):
    """Rounded: another processor must print the same."""
    assert checked(notebook)
    for cell in checked(notebook):
        text = "".join(map(text_of, cell.outputs))
        assert text.strip() and not re.search(r"\d\.\d{5}", text), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_exercises_wait_for_the_student_and_the_solutions_are_right(path):
    solutions = path.parent / "solutions" / path.name
    files = {path: "not yet"}
    if solutions.parent.exists():  # a teacher may hand out the practical without them
        files[solutions] = "right."
    asked = []
    for file, verdict in files.items():
        cells = checked(nbformat.read(file, as_version=4))
        exercises = [cell for cell in cells if "checks.check_" in cell.source]
        asked.append([re.search(r"checks\.check_\w+", cell.source)[0] for cell in exercises])
        assert len(exercises) >= 3 and asked[-1] == asked[0]
        for number, cell in enumerate(exercises, start=1):
            line = "".join(map(text_of, cell.outputs)).strip()
            assert line.startswith(f"Exercise {number}:") and verdict in line


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_every_figure_is_described_and_every_slider_has_a_question(path):
    following = ""
    for cell in reversed(nbformat.read(path, as_version=4).cells):
        if cell.cell_type != "code":
            following = cell.source
        elif re.search(r"explorer\(|page\.\w+\(", cell.source):
            assert following.startswith("**Question.**"), cell.source
        elif any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert re.match(r"\*The (figure|picture) shows\*", following), cell.source


def test_helpers_comes_before_torch(notebook):
    """It says how the threads of torch wait, which is read when torch is loaded."""
    lines = "\n".join(cell.source for cell in code_cells(notebook)).splitlines()
    first = {
        name: next(i for i, line in enumerate(lines) if re.match(rf"(from|import) {name}\b", line))
        for name in ("helpers", "torch")
    }
    assert first["helpers"] < first["torch"]

"""Run handed-in notebooks and print what the checks of the exercises say about each.

    python tools/mark.py FOLDER_OR_NOTEBOOK...

It runs the students' code: use a computer or a container where that can do no harm. A notebook that
stops is said to stop; the others go on.
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXERCISE = re.compile(r"^Exercise \d+: .*$", re.MULTILINE)


def said(path: Path, timeout: int = 1800) -> Iterator[str]:
    """The lines of the checks in a notebook, run in an empty folder; then where it stopped."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"resources": {"metadata": {"path": folder}}, "allow_errors": True}
        NotebookClient(notebook, timeout=timeout, **settings).execute()
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            yield from EXERCISE.findall(output.get("text", ""))
            if output.output_type == "error":
                yield f"cell {number} stopped: {output.ename}: {output.evalue}"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        for notebook in sorted(path.rglob("*.ipynb")) if path.is_dir() else [path]:
            print(notebook, flush=True)
            for line in said(notebook):
                print("   ", line, flush=True)

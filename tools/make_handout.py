"""Write a zip for students: the practical without outputs, solutions and tests (`make handout`).

    python tools/make_handout.py FILE.zip

Its README has the sections of ours that a student needs. Unpacked anywhere, it is set up and opened
as the repository is.
"""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
from files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "autoencoder-practical"
PARTS = (
    "CITATION.cff",
    "data",
    "environment.yml",
    "helpers",
    "LICENSE",
    "Makefile",
    "notebooks",
    "pyproject.toml",
)
TOOLS = ("tools/check.py", "tools/set_up.py")
LEFT_OUT = ("notebooks/solutions/", "data/render_emoji.py")
SECTIONS = ("Start", "The notebooks", "Licences")  # of README.md


def without_outputs(text: str) -> str:
    """A notebook as it was before anybody ran it."""
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def for_students(readme: str) -> str:
    """Title, first paragraphs and SECTIONS; without pictures. ValueError if one is missing."""
    first, *sections = re.split(r"(?m)^## ", readme)
    by_name = {section.partition("\n")[0]: section for section in sections}
    if missing := [name for name in SECTIONS if name not in by_name]:
        raise ValueError(f"README.md: expected the sections {', '.join(SECTIONS)}, not {missing}")
    text = first + "".join(f"## {by_name[name]}" for name in SECTIONS)
    return re.sub(r"!\[.*?\]\(.*?\)\n*", "", text, flags=re.DOTALL)


def contents(root: Path = ROOT) -> dict[str, bytes]:
    """What is in the zip: path -> bytes. Only files that git knows: no weights, no caches."""
    command = ["git", "-C", str(root), "ls-files", "-z", *PARTS, *TOOLS]
    known = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    found = {}
    for name in filter(None, known.split("\0")):
        if not name.startswith(LEFT_OUT):
            found[name] = (root / name).read_bytes()
            if name.endswith(".ipynb"):
                found[name] = without_outputs(found[name].decode()).encode()
    found["README.md"] = for_students((root / "README.md").read_text(encoding="utf-8")).encode()
    return found


if __name__ == "__main__":
    file, target = io.BytesIO(), Path(sys.argv[1])
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents().items():
            archive.writestr(f"{FOLDER}/{name}", content)
    write_atomically(target, file.getvalue())
    print(f"{target}: {len(file.getvalue()) / 1e6:.1f} MB")

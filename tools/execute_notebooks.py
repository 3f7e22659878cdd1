"""Run notebooks from top to bottom and save them with their outputs, as they are committed (`make
notebooks`).

    python tools/execute_notebooks.py NOTEBOOK...

A slider's view is left out of the saved outputs: it could not be shown without its kernel. Its
still picture stays. Pictures are saved with a palette of 64 colours, which takes less than a third
of the bytes.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from files import write_atomically
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from PIL import Image, ImageColor

from helpers.plotting import COLOURS

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def run(path: Path) -> NotebookNode:
    """The notebook of a file, with the outputs of a new kernel; the file stays as it is."""
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=900, resources=folder, store_widget_state=False, record_timing=False
    ).execute()
    notebook, _ = CoalesceStreamsPreprocessor(enabled=True)(
        notebook, {}
    )  # one line for a progress bar, not one a tick
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            if "image/png" in output.get("data", {}):
                output["data"]["image/png"] = with_palette(output["data"]["image/png"])
    return notebook


def with_palette(picture: str) -> str:
    """A PNG in base64, with transparent pixels made white, and 64 colours: those of lines and bars,
    which may be rare, and the most frequent others."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    fixed = [value for colour in COLOURS for value in ImageColor.getrgb(colour)]
    palette = Image.new("P", (1, 1))
    others = image.quantize(64 - len(COLOURS)).getpalette()
    palette.putpalette(others[: 192 - len(fixed)] + fixed)
    image = image.quantize(palette=palette, dither=Image.Dither.NONE)
    image.putpalette([255 if value > 250 else value for value in image.getpalette()])  # paper
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        write_atomically(path, (nbformat.writes(run(path)) + "\n").encode())

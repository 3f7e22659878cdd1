"""The practical as web pages: `make html` runs all notebooks and writes them, with an index, into a
folder.

    python tools/make_site.py FOLDER [--saved]

With --saved nothing is run: the pages show the outputs that are saved in the notebooks.

The pages ask no other host for anything, so they also work from a disk without network. Instruments
live in them; of the sliders, which need Python, there are flipbooks. At the end the pages are
checked: links, texts for pictures, requests.
"""

import argparse
import html
import re
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from bs4 import BeautifulSoup
from execute_notebooks import run
from files import write_atomically
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 3_000_000  # of a page
LONG = 30  # characters of a formula that may be wider than a phone
PARAGRAPHS = ("**Aim.**", "**Time.**")  # of the first cell of a notebook
KINDS = "sketchpad", "latent-map", "film", "flipbook"  # of instruments, the best first
CODE_STYLES = "xcode", "github-dark"  # light, dark
EXPORTER = HTMLExporter(template_name="basic", exclude_anchor_links=True)

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1a1a1a; --paper: #fff; --soft: #f4f4f4; --line: #767676; --link: #0050a0
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --soft: #24272d; --line: #8b9098; --link: #8cc4ff }
}
body { margin: 0; font: 17px/1.55 system-ui, sans-serif }
body { color: var(--ink); background: var(--paper) }
nav, main { max-width: 1000px; margin: 0 auto; padding: 8px 16px }
a { color: var(--link) }
p, li, h1, h2, h3 { max-width: 45em }
img { max-width: 100%; height: auto; background: #fff }
pre { overflow-x: auto; margin: 8px 0; font-size: 14px; line-height: 1.4 }
.input .highlight pre { padding: 8px 10px; border: 1px solid var(--line); background: var(--paper) }
.output pre { padding: 4px 10px; background: var(--soft) }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: 15px }
th, td { border: 1px solid var(--line); padding: 3px 8px; text-align: left }
math { max-width: 100%; overflow-x: auto } code { overflow-wrap: anywhere }
summary { cursor: pointer } .prompt { display: none }
"""

PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style></head>
<body>
<nav>{nav}</nav>
<main>
{body}
</main>
</body>
</html>
"""


def build(notebooks: Mapping[str, NotebookNode], folder: Path) -> None:
    """Write a page for each notebook, and an index. notebooks: path below `notebooks/`, without
    ending -> executed."""
    lessons = [name for name in notebooks if "/" not in name]
    for name, notebook in notebooks.items():
        links = {"All notebooks": "index"}
        if name in lessons[:-1]:
            links["Next"] = lessons[lessons.index(name) + 1]
        if f"solutions/{name}" in notebooks:
            links["Solutions"] = f"solutions/{name}"
        up = "../" * name.count("/")
        nav = " · ".join(
            f'<a href="{up}{target}.html">{text}</a>' for text, target in links.items()
        )
        write(folder / f"{name}.html", page(described(notebook), nav))
    cells = [
        "# Autoencoder practical\n\nNotebooks on autoencoders, with their pictures and results. "
        "Play with what you see: it is alive. To move all sliders and to do the exercises, run the "
        "notebooks in JupyterLab."
    ]
    for name in lessons:
        first, solutions = notebooks[name].cells[0].source, f"solutions/{name}"
        heading = f"## [{title(notebooks[name])}]({name}.html)"
        parts = [paragraph(first, word) for word in PARAGRAPHS]
        shown = place_of(name) if instrument(notebooks[name]) else picture(notebooks[name])
        cells.append("\n\n".join([heading, *parts, shown]))
        if solutions in notebooks:
            cells[-1] += f"\n\n[Solutions of its exercises]({solutions}.html)"
    index = page(new_notebook(cells=[new_markdown_cell(cell) for cell in cells]), "")
    for name in lessons:
        index = index.replace(place_of(name), instrument(notebooks[name]) or "")
    write(folder / "index.html", index)


def check_sources(notebooks: Mapping[str, NotebookNode]) -> None:
    """Raises ValueError if a notebook lacks what the pages need: it should be known before all of
    them are run."""
    for name, notebook in notebooks.items():
        first = notebook.cells[0]
        if first.cell_type != "markdown" or not first.source.startswith("# "):
            raise ValueError(
                f"{name}: expected a first cell with a title, # ..., got {first.source[:40]!r}"
            )
        for word in PARAGRAPHS:
            if "/" not in name and not paragraph(first.source, word):
                raise ValueError(f"{name}: expected a paragraph {word} in the first cell, got none")


def write(file, text):
    write_atomically(file, text.encode())


def page(notebook, nav):
    notebook = notebook.copy()
    notebook.cells = [cell.copy() for cell in notebook.cells]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
    body, _ = EXPORTER.from_notebook_node(notebook)
    body = body.replace("<pre", '<pre tabindex="0"').replace("<table", '<table tabindex="0"')
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in CODE_STYLES)
    style = f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{STYLE}"
    number = count(1)
    body = re.sub("<h2", lambda _: f'<h2 id="section-{next(number)}"', body)
    sections = re.findall(r'<h2 id="(.+?)".*?>(.+?)</h2>', body, re.DOTALL)
    if sections and nav:
        texts = [(name, BeautifulSoup(heading, "html.parser").text) for name, heading in sections]
        entries = "".join(
            f'<li><a href="#{name}">{html.escape(text)}</a></li>' for name, text in texts
        )
        nav += f"<details><summary>Sections</summary><ul>{entries}</ul></details>"
    return PAGE.format(title=html.escape(title(notebook)), style=style, nav=nav, body=body)


def with_mathml(markdown):
    """Formulas, $...$ and $$...$$, as MathML, which browsers draw by themselves; code in backticks
    stays."""

    def one(match):
        code, block, inline = match.groups()
        if code:
            return code
        mathml = convert(block or inline, display="block" if block else "inline")
        if block or len(inline) > LONG:  # what may scroll can be reached with the keyboard
            mathml = mathml.replace("<math", '<math tabindex="0"', 1)
        return (
            mathml.replace("|", "&#124;").replace("*", "&#42;").replace("_", "&#95;")
        )  # no Markdown in it

    return re.sub(r"(```.*?```|`[^`]*`)|\$\$(.+?)\$\$|\$([^$]+?)\$", one, markdown, flags=re.DOTALL)


def described(notebook):
    """The notebook with a text for each picture, taken from what stands below it, and a note where
    sliders are still."""
    notebook = notebook.copy()
    cells = []
    for i, cell in enumerate(notebook.cells):
        cells.append(cell := cell.copy())
        if not picture_of(cell):
            continue
        cell.metadata = cell.metadata.copy()
        if "explorer(" in cell.source:
            cell.metadata["alt"] = (
                "Sliders' picture as it is at first; the question below says what to look for."
            )
            cells.append(
                new_markdown_cell("*A still picture. Run the notebook to move its sliders.*")
            )
        else:
            text = next(
                (
                    later.source
                    for later in notebook.cells[i + 1 :]
                    if later.cell_type == "markdown"
                ),
                "",
            )
            shows = re.match(
                r"\*The (?:figure|picture) shows\*.*?[.:](?=\s|$)", text, flags=re.DOTALL
            )
            if shows:  # without one the check below complains
                cell.metadata["alt"] = re.sub(r"\s+", " ", re.sub(r"[*$`\\{}]", "", shows[0]))
    notebook.cells = cells
    return notebook


def picture_of(cell):
    """The PNG of the last still picture among the outputs of a cell, in base64, or None."""
    shown = [output.get("data", {}) for output in cell.get("outputs", [])]
    pictures = [data.get("image/png") for data in shown if "text/html" not in data]
    return next(filter(None, reversed(pictures)), None)


def place_of(name):
    """Where its instrument goes: Markdown would change it."""
    return f"instrument-of-{name}"


def instrument(notebook):
    """The HTML of what lives in the page, for the index: the first of the best kind, or None."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.get("data", {}).get("text/html", "") for output in outputs]
    starts = [f'<div class="instrument {kind}">' for kind in KINDS]
    return next((text for start in starts for text in texts if text.startswith(start)), None)


def picture(notebook):
    """The picture with sliders that has most to show (in bytes), for the index; nothing if there is
    none."""
    pictures = [picture_of(cell) or "" for cell in notebook.cells if "explorer(" in cell.source]
    png = max(pictures, key=len, default="").strip()
    return (
        png
        and f"![A picture from this notebook, as its sliders show it](data:image/png;base64,{png})"
    )


def title(notebook):
    return re.sub(r"[*`]", "", notebook.cells[0].source.splitlines()[0].lstrip("# "))


def paragraph(text, word):
    """The paragraph that begins with a word, or nothing."""
    return next((part for part in text.split("\n\n") if part.startswith(word)), "")


def problems(folder: Path) -> list[str]:
    """What is wrong with the pages of a folder: broken links, pictures without a text, requests to
    a host, size."""
    found = []
    for file in sorted(folder.rglob("*.html")):
        name = file.relative_to(folder).as_posix()
        if file.stat().st_size > MOST_BYTES:
            found.append(f"{name}: {file.stat().st_size} bytes")
        found += [
            f"{name}: {problem}" for problem in problems_of(file.read_text(encoding="utf-8"), file)
        ]
    return found or ([] if (folder / "index.html").exists() else [f"no pages in {folder.name}"])


def problems_of(text, file):
    soup = BeautifulSoup(text, "html.parser")
    for image in soup.find_all("img"):
        if not image.get("alt", "").strip() or image["alt"].startswith("No description"):
            yield f"no text for the picture {str(image)[:60]}"
    for tag in soup.find_all(True):
        for attribute in (
            "src",
            "srcset",
            "poster",
            "data",
            "action",
            *(["href"] if tag.name == "link" else []),
        ):
            if tag.get(attribute) and not tag[attribute].startswith("data:"):
                yield f"asks for {tag[attribute]}"
        for style in (tag.get("style", ""), tag.text if tag.name == "style" else ""):
            if re.search(r"@import|url\((?!['\"]?data:)", style):
                yield f"asks for something in a style: {style[:60]}"
        if tag.name == "script" and re.search(r"https?://|import\(|fetch\(", tag.text):
            yield f"asks for something in a script: {tag.text[:60]}"
        if tag.get("srcdoc"):
            yield from problems_of(tag["srcdoc"], file)
    for link in soup.find_all("a", href=True):
        address = urlsplit(link["href"])
        target = (file.parent / unquote(address.path)) if address.path else file
        if address.scheme not in ("", "https"):
            yield f"link to {link['href']}"
        elif not address.scheme and not target.is_file():
            yield f"broken link to {link['href']}"
        elif not address.scheme and address.fragment:
            there = (
                soup
                if target == file
                else BeautifulSoup(target.read_text(encoding="utf-8"), "html.parser")
            )
            if not there.find(id=unquote(address.fragment)):
                yield f"broken link to {link['href']}"


def read(folder: Path = ROOT / "notebooks") -> dict[str, NotebookNode]:
    """All notebooks as they are saved."""
    return {name: nbformat.read(folder / f"{name}.ipynb", as_version=4) for name in names(folder)}


def names(folder):
    return [
        file.relative_to(folder).with_suffix("").as_posix()
        for file in sorted(folder.rglob("[0-9]*.ipynb"))
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the notebooks as web pages into a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--saved", action="store_true", help="with the outputs as they are saved; run nothing"
    )
    arguments, books = parser.parse_args(), read()
    check_sources(books)
    if not arguments.saved:
        books = {name: run(ROOT / "notebooks" / f"{name}.ipynb") for name in books}
    build(books, arguments.folder)
    sys.exit("\n".join(problems(arguments.folder)) or None)

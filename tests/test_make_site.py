"""The web pages: made from the saved notebooks, complete, and the check of them finds what is
wrong."""

import re

import pytest
from bs4 import BeautifulSoup
from make_site import build, check_sources, problems, read, with_mathml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

NOTEBOOKS = read()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    build(NOTEBOOKS, folder)
    return folder


def soup(file):
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def test_the_pages_have_no_problems(site):
    assert problems(site) == []
    assert len(list(site.rglob("*.html"))) == len(NOTEBOOKS) + 1


def test_the_index_leads_to_every_page_with_picture_aim_and_time(site):
    index = soup(site / "index.html")
    links = {link["href"] for link in index.find_all("a")}
    assert links == {f"{name}.html" for name in NOTEBOOKS}
    lessons = [name for name in NOTEBOOKS if "/" not in name]
    assert (
        len(index.find_all("img"))
        == index.text.count("Aim.")
        == index.text.count("Time.")
        == len(lessons)
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_page_shows_all_of_its_notebook(site, name):
    page = soup(site / f"{name}.html")
    code = [cell for cell in NOTEBOOKS[name].cells if cell.cell_type == "code"]
    assert len(page.find_all(class_="input_area")) == len(code)
    outputs = [output for cell in code for output in cell.outputs]
    texts = [output.get("data", {}).get("text/html", "") for output in outputs]
    alive = [text for text in texts if "<iframe" in text]
    assert len(page.find_all("iframe")) == len(alive)
    assert page.title.text == page.h1.text
    assert "$" not in "".join(part.text for part in page.find_all("p"))  # all formulas are MathML
    shown = [
        output.get("data", {}) for c in code if "explorer(" in c.source for output in c.outputs
    ]
    stills = [data for data in shown if "image/png" in data and "text/html" not in data]
    assert page.text.count("Run the notebook to move its sliders") == len(stills)


def test_a_figure_is_described_by_the_text_below_it(site):
    texts = [image["alt"] for image in soup(site / "02_letter_autoencoder.html").find_all("img")]
    assert any(text.startswith("The picture shows the 32 letters") for text in texts)
    assert not any(re.search(r"[$*\\`]", text) for text in texts)


def test_a_page_leads_to_its_sections_the_next_notebook_and_the_solutions(site):
    nav = soup(site / "02_letter_autoencoder.html").nav
    links = [link["href"] for link in nav.find_all("a")]
    assert links[:2] == ["index.html", "03_letter_denoiser.html"]
    assert len(links) > 10
    if any(
        name.startswith("solutions/") for name in NOTEBOOKS
    ):  # a teacher may hand out the practical without them
        assert links[2] == "solutions/02_letter_autoencoder.html"
        assert soup(site / "solutions" / "04_emoji_vae.html").nav.a["href"] == "../index.html"


WELL = "# 5 · More\n\n**Aim.** Learn.\n\n**Time.** An hour."


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (new_code_cell("1"), "05_more: expected a first cell with a title, # ..., got '1'"),
        (new_markdown_cell("More"), "expected a first cell with a title"),
        (new_markdown_cell(WELL.replace("**Aim.**", "Aim:")), r"paragraph \*\*Aim.\*\*"),
        (new_markdown_cell(WELL.replace("**Time.**", "Time:")), r"paragraph \*\*Time.\*\*"),
    ],
)
def test_a_notebook_that_does_not_fit_is_named_before_anything_runs(cell, message):
    check_sources({"05_more": new_notebook(cells=[new_markdown_cell(WELL)])})
    with pytest.raises(ValueError, match=message):
        check_sources({"05_more": new_notebook(cells=[cell])})


def test_the_index_has_the_best_instrument_of_a_notebook_and_its_page_has_all(tmp_path):
    frames = {
        kind: f'<div class="instrument {kind}"><iframe srcdoc="\n\n*a* _b_ {kind}"></iframe></div>'
        for kind in ("flipbook", "film", "sketchpad")
    }
    png = "iVBORw0KGgo="
    outputs = [
        new_output("execute_result", {"text/html": frame, "image/png": png, "text/plain": "x"})
        for frame in frames.values()
    ]
    cells = [new_code_cell("widgets.explorer(controls, draw)", outputs=[one]) for one in outputs]
    build({"05_more": new_notebook(cells=[new_markdown_cell(WELL), *cells])}, tmp_path)
    assert problems(tmp_path) == []
    (shown,) = soup(tmp_path / "index.html").find_all("iframe")
    assert shown["srcdoc"] == "\n\n*a* _b_ sketchpad"
    page = soup(tmp_path / "05_more.html")
    assert len(page.find_all("iframe")) == 3 and not page.find_all("img")
    assert "A still picture" not in page.text


def test_a_notebook_without_sliders_has_a_page_without_a_picture(tmp_path):
    build({"05_more": new_notebook(cells=[new_markdown_cell(WELL)])}, tmp_path)
    assert problems(tmp_path) == []
    assert not soup(tmp_path / "index.html").find_all("img")


def test_formulas_become_mathml():
    text = with_mathml("Cost `$5` and $x_1|y*z$:\n\n$$\\frac{a}{b}$$\n```\n$no$\n```")
    assert "`$5`" in text
    assert "$no$" in text
    assert text.count("<math") == 2
    assert "|" not in text
    assert "*" not in text
    assert "mfrac" in text


WRONG = {
    '<img src="data:image/png;base64,AA==">': "no text for the picture",
    '<img alt="No description has been provided for this image">': "no text for the picture",
    '<a href="nowhere.html">x</a>': "broken link to nowhere.html",
    '<a href="#nowhere">x</a>': "broken link to #nowhere",
    '<a href="other.html#nowhere">x</a>': "broken link to other.html#nowhere",
    '<a href="javascript:alert()">x</a>': "link to javascript:alert",
    '<script src="https://host/a.js"></script>': "asks for https://host/a.js",
    '<img alt="a" src="//host/a.png">': "asks for //host/a.png",
    '<link rel="stylesheet" href="a.css">': "asks for a.css",
    "<style>p { background: url(a.png) }</style>": "in a style",
    "<p style=\"background: url('https://host/a.png')\">": "in a style",
    "<script>fetch('a')</script>": "in a script",
    '<iframe srcdoc="&lt;img src=&quot;https://host/a.png&quot;&gt;"></iframe>': "asks for https://host/a.png",
    f"<p>{'x' * 3_000_000}</p>": "bytes",
}
RIGHT = (
    '<h1 id="here">x</h1><a href="#here">x</a><a href="other.html#there">x</a>'
    '<a href="https://arxiv.org/abs/1">x</a><img alt="a face" src="data:image/png;base64,AA==">'
    "<style>p { background: url(data:image/png;base64,A) }</style>"
)


@pytest.mark.parametrize(("wrong", "message"), WRONG.items(), ids=WRONG.values())
def test_the_check_finds(tmp_path, wrong, message):
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "index.html").write_text(RIGHT)
    assert problems(tmp_path) == []
    (tmp_path / "index.html").write_text(RIGHT + wrong)
    assert any(message in problem for problem in problems(tmp_path))


def test_the_check_finds_that_there_is_no_page(tmp_path):
    assert problems(tmp_path)

"""What the browser tests share: a Chromium, and a JupyterLab with all notebooks."""

import os
import shutil
import subprocess

import pytest
from lab import the_lab
from page import chromium, start_browser


def need(found, what):
    """Skip the test if a program is missing; where CI is set it fails."""
    if not found and os.environ.get("CI"):
        pytest.fail(what)
    if not found:
        pytest.skip(what)


@pytest.fixture(scope="session")
def chromium_path():
    need(chromium(), "no Chromium found: apt-get install chromium, or set CHROMIUM=/path/to/chrome")
    return chromium()


@pytest.fixture(scope="session")
def lab():
    return the_lab()


@pytest.fixture(scope="module")  # not session: no other test could use asyncio then
def browser(chromium_path):
    with start_browser(chromium_path) as browser:
        yield browser


@pytest.fixture(scope="session")
def serious_findings(tmp_path_factory):
    """A function from a frame of a page to what axe-core finds in it that is serious or
    critical."""
    folder = tmp_path_factory.mktemp("axe")
    need(shutil.which("npm"), "no npm found: it brings axe-core, which checks accessibility")
    npm = ["npm", "install", "--silent", "--prefix", folder, "axe-core@4.14.1"]
    subprocess.run(npm, check=True)
    axe = (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")

    def findings(frame):
        frame.evaluate(axe)
        violations = frame.evaluate("axe.run(document, { iframes: false })")["violations"]
        return [
            f"{violation['id']}: {node['html'][:120]}"
            for violation in violations
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    return findings


@pytest.fixture
def open_instrument(browser, tmp_path):
    """A function from an instrument to the frame in which it lives, in a page opened from disk
    without a network; what goes wrong in it fails the test at the end."""
    contexts = []

    def open_instrument(instrument, **options):
        file = tmp_path / "page.html"
        start = '<!doctype html><html lang="en"><title>An instrument</title>'
        page_text = f"{start}<main>{instrument._repr_html_()}</main></html>"
        file.write_text(page_text, encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 800}} | options)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("request", lambda asked: note_request(page, asked.url))
        page.goto(file.as_uri())
        frame = page.frames[1]
        frame.evaluate("ready")
        return frame

    def note_request(page, url):
        if not url.startswith(("file:", "data:")):
            page.problems.append(url[:80])

    yield open_instrument
    problems = [
        problem for context in contexts for page in context.pages for problem in page.problems
    ]
    for context in contexts:
        context.close()
    assert problems == []

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

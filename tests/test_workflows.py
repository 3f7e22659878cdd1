"""The workflows for GitHub fit its schema, and what they call is there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]
MARKERS = [marker.partition(":")[0] for marker in SETTINGS["ini_options"]["markers"]]
TEST = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")


def against_schema(*files):
    """What `check-jsonschema` says; it brings the schema and needs no network."""
    schema = ["check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    return subprocess.run([sys.executable, "-m", *schema, *files], capture_output=True, text=True)


def missing(workflow: str) -> list[str]:
    """What the steps of a workflow name, but is not here: files, make targets, markers of tests."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):(?!=)", makefile, re.MULTILINE)
    found = []
    for job in yaml.safe_load(workflow)["jobs"].values():
        for step in job["steps"]:
            command = step.get("run", "")
            # .venv is made by `make`
            files = re.findall(r"(?<!\S)(?!\.venv/)[\w.-]+/[\w./-]+", command)
            files += filter(None, [step.get("with", {}).get("cache-dependency-path")])
            files += re.findall(r"hashFiles\('(.+?)'\)", str(step))
            found += [file for file in files if not (ROOT / file).exists()]
            found += [
                made for made in re.findall(r"\bmake ([\w-]+)", command) if made not in targets
            ]
            for expression in re.findall(r'pytest .*-m "(.+?)"', command):
                words = re.findall(r"\w+", expression)
                found += [word for word in words if word not in ("and", "or", "not", *MARKERS)]
    return found


def test_github_accepts_the_workflows_but_no_misspelt_key(tmp_path):
    run = against_schema(*WORKFLOWS)
    assert run.returncode == 0, run.stdout + run.stderr
    file = tmp_path / "test.yml"
    file.write_text(TEST.replace("runs-on:", "run-on:"), encoding="utf-8")
    run = against_schema(file)
    assert run.returncode == 1 and "'runs-on' is a required property" in run.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_only_read_or_publish_pages_and_calls_what_is_there(file):
    text = file.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    more = {
        name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
    }
    publishing = {"publish": {"pages": "write", "id-token": "write"}}
    assert more == (publishing if file.stem == "pages" else {})
    assert missing(text) == []


def test_what_is_not_there_is_noticed():
    for right, wrong, name in (
        ("bash .ci/run", "bash .ci/runs", ".ci/runs"),
        ("bash .ci/run", "make tests", "tests"),
        ("notebooks/02_letter", "notebooks/2_letter", "notebooks/2_letter_autoencoder.ipynb"),
        ("not browser", "not browsers", "browsers"),
        ("cache-dependency-path: pyproject.toml", "cache-dependency-path: setup.py", "setup.py"),
        ("hashFiles('pyproject.toml')", "hashFiles('setup.py')", "setup.py"),
    ):
        assert TEST.count(right) == 1 and missing(TEST.replace(right, wrong)) == [name]

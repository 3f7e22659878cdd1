"""`make check` says of each thing that it works, or what to do, and goes on."""

import re
import subprocess
import sys
from types import SimpleNamespace

import check
import pytest

from helpers import data, widgets


def test_all_is_well_here_and_is_said_in_ten_lines():
    run = subprocess.run([sys.executable, check.__file__], capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and len(lines) == 10
    assert all(line.startswith("✓ ") for line in lines), run.stdout + run.stderr
    assert re.search(r"GOMP_SPINCOUNT=\d+", run.stdout)


def test_what_fails_is_said_and_the_rest_is_still_tried(capsys, monkeypatch):
    def broken():
        """a thing"""
        raise OSError("do this")

    monkeypatch.setattr(check, "CHECKS", (broken, check.data))
    monkeypatch.setattr(check.lines, "__defaults__", ((broken, check.data),))
    assert check.main() == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "✗ a thing: OSError: do this"
    assert second.startswith("✓ the data") and last == "Send these lines to your teacher."


def test_packages_that_are_missing_or_old_are_named(monkeypatch, tmp_path):
    wanted = ["numpy>=2.0", "torch>=999", "no-such-package>=1"]
    text = f"[project]\ndependencies = {wanted}\n"
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(check, "ROOT", tmp_path)
    with pytest.raises(RuntimeError, match=r"torch>=999 is needed, .*; no-such-package>=1 is m"):
        check.packages()


def test_an_old_python_is_named(monkeypatch):
    monkeypatch.setattr(check.platform, "python_version_tuple", lambda: ("3", "10", "1"))
    with pytest.raises(RuntimeError, match="with a newer one"):
        check.python()


def test_damaged_data_and_a_folder_that_is_missing_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "DATA_FOLDER", tmp_path)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    lines = list(check.lines((check.data, check.folder)))
    assert [line[:2] for line in lines] == ["✗ ", "✗ "]


def test_a_slider_that_draws_the_same_is_noticed(monkeypatch):
    control = type("FloatSlider", (), {"value": 0.0, "max": 1.0})()
    picture, text = SimpleNamespace(value=b"same"), SimpleNamespace(value="no error")
    explorer = SimpleNamespace(controls=[control], picture=picture, text=text)
    monkeypatch.setattr(widgets, "noise_explorer", lambda *arguments: explorer)
    with pytest.raises(RuntimeError, match="its picture did not"):
        check.slider()


def test_a_kernel_that_cannot_import_helpers_is_noticed(monkeypatch, tmp_path):
    broken = tmp_path / "helpers.py"
    broken.write_text("raise RuntimeError('another package of this name')", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="another package of this name"):
        check.kernel()

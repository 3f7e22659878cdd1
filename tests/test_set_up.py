"""`make` takes PyTorch's small build where it can, says why, and never waits long for an index."""

import os
import re
import socket
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import set_up


@pytest.fixture(autouse=True)
def linux_without_a_card(monkeypatch):
    monkeypatch.setattr(set_up.platform, "system", lambda: "Linux")
    monkeypatch.setattr(set_up, "has_nvidia_card", lambda: False)


@pytest.fixture
def no_install(monkeypatch):
    calls = []
    monkeypatch.setattr(set_up, "_pip", lambda *arguments: calls.append(arguments))
    yield
    assert not calls


def wheel(folder, name, version):
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    file = folder / name / f"{name}-{version}-py3-none-any.whl"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return file


@pytest.fixture
def index(tmp_path):
    """A small index, as a server: torch and torchvision, of this test. Its address and folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("torch", "torchvision"):
        wheel(folder, name, "99.0+cpu")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    server.server_close()


def in_new_environment(folder, address):
    """What `install_cpu_build` says and installs there, without the settings of this computer."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    code = (
        f"import set_up; set_up.has_nvidia_card = bool; set_up.platform.system = lambda: 'Linux'; "
        f"print(set_up.install_cpu_build({address!r}, 5))"
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PYTHONPATH": os.path.dirname(set_up.__file__), "PIP_CONFIG_FILE": os.devnull}
    run = partial(subprocess.run, env=environment, capture_output=True, text=True, check=True)
    return run([python, "-c", code]).stdout, run([python, "-m", "pip", "list"]).stdout


def test_the_small_build_is_installed_from_the_index(index, tmp_path):
    address, _ = index
    said, packages = in_new_environment(tmp_path / "venv", address)
    assert said == f"PyTorch: the small build for processors, from {address}.\n"
    assert len(re.findall(r"torch(?:vision)? +99\.0\+cpu", packages)) == 2


def test_an_index_without_a_build_that_fits_is_left(index, tmp_path):
    address, folder = index
    for file in folder.glob("*/*.whl"):
        file.unlink()
    said, packages = in_new_environment(tmp_path / "venv", address)
    assert said == f"PyTorch: the usual build, because the one of {address} can't be installed.\n"
    assert "torch" not in packages


def test_an_index_that_is_not_there_is_not_waited_for(no_install):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    said = f"PyTorch: the usual build, because {address} does not answer."
    assert set_up.install_cpu_build(address) == said
    said = "PyTorch: the usual build, because http://no.invalid does not answer."
    assert set_up.install_cpu_build("http://no.invalid") == said


def test_an_index_that_never_answers_is_given_up(no_install):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "does not answer" in set_up.install_cpu_build(address, 0.5)


def test_with_a_card_or_on_another_system_nothing_is_asked(no_install, monkeypatch):
    monkeypatch.setattr(set_up, "answers", lambda *arguments: pytest.fail("the index was asked"))
    monkeypatch.setattr(set_up, "has_nvidia_card", lambda: True)
    assert set_up.install_cpu_build("http://no.invalid").endswith("there is an NVIDIA card.")
    monkeypatch.setattr(set_up.platform, "system", lambda: "Darwin")
    assert set_up.install_cpu_build("http://no.invalid").endswith("small on this system.")

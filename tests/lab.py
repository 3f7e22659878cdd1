"""A JupyterLab of the tests' own, and the kernels that it owns: nbval and the browser share them.

`the_lab` is started when it is first asked for, one for each process, and ends with the process.
"""

import atexit
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import nbformat
import psutil
from jupyter_client import BlockingKernelClient

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SETTINGS = {"fetchNews": "false", "checkForUpdates": False}


@functools.cache
def the_lab() -> "Lab":
    """The JupyterLab of this process, on a copy of the notebooks."""
    lab = Lab(Path(tempfile.mkdtemp(prefix="lab")))
    atexit.register(lab.stop)
    return lab


class Lab:
    """A running JupyterLab. `root`: what it shows; `folder`: that, its settings and its log."""

    def __init__(self, folder: Path):
        self.folder, self.root, self.token = folder, folder / "root", secrets.token_hex(16)
        hidden = shutil.ignore_patterns("weights", ".*")
        shutil.copytree(NOTEBOOKS, self.root / "notebooks", ignore=hidden)
        settings = folder / "settings/@jupyterlab/apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(SETTINGS))
        names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
        environment = os.environ | {name: str(folder / name) for name in names}
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            "--port=0",  # a free one, chosen by the system: two workers can't race for it
            f"--ServerApp.root_dir={self.root}",
            f"--IdentityProvider.token={self.token}",
            f"--LabApp.user_settings_dir={folder / 'settings'}",
            f"--LabApp.workspaces_dir={folder / 'workspaces'}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
        ]
        with (folder / "log").open("wb") as log:
            self.server = psutil.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.runtime = folder / "JUPYTER_RUNTIME_DIR"
        self.address = self._address()

    def _address(self):
        """What the server says of itself once it listens."""
        for _ in range(240):
            for file in self.runtime.glob("jpserver-*.json"):
                address = json.loads(file.read_text())["url"].rstrip("/")
                try:
                    urllib.request.urlopen(f"{address}/api/status?token={self.token}").close()
                except OSError:
                    break
                return address
            if self.server.poll() is not None:
                break
            time.sleep(0.25)
        raise RuntimeError(f"JupyterLab did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self) -> None:
        """End the server and its kernels, and delete the folder."""
        processes = [self.server]
        if self.server.poll() is None:
            processes += self.server.children(recursive=True)
        self.server.terminate()
        for process in psutil.wait_procs(processes, timeout=15)[1]:
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method: str, what: str, content: dict | None = None):
        """A call of the server's REST interface."""
        request = urllib.request.Request(
            f"{self.address}/api/{what}",
            method=method,
            data=json.dumps(content).encode() if content else None,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def kernel(self, path: str) -> "Kernel":
        """The kernel of a notebook: the running one, or a new one. `path`: below `root`."""
        model = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        return Kernel(self, self.ask("POST", "sessions", model))  # one that runs is handed out

    def write(self, name: str, *cells: str) -> str:
        """Make a notebook of code cells; returns its path below `root`."""
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(book, self.root / name)
        return name


class Kernel:
    """A kernel that the server owns, with a client of ours. Also the `manager` that nbval wants."""

    kernel_spec = None

    def __init__(self, lab: Lab, session: dict):
        self.lab, self.session, self.id = lab, session["id"], session["kernel"]["id"]
        self.client = BlockingKernelClient()
        self.client.load_connection_file(str(lab.runtime / f"kernel-{self.id}.json"))
        self.client.start_channels(hb=False)  # on a busy computer hearts beat late: see is_alive
        self.client.wait_for_ready(timeout=120)

    def stop_listening(self) -> None:
        """Take no more outputs: nobody reads them, and unread ones pile up in the kernel."""
        self.client.iopub_channel.stop()

    def evaluate(self, expression: str, timeout: float = 600):
        """The value, a JSON one, of a Python expression in the kernel. Raises RuntimeError."""
        reply = self.client.execute(
            "",
            silent=True,
            user_expressions={"value": f"__import__('json').dumps({expression})"},
            reply=True,
            timeout=timeout,
        )["content"]
        value = reply.get("user_expressions", {}).get("value", reply)
        if value["status"] != "ok":
            raise RuntimeError("\n".join(value.get("traceback", [value["status"]])))
        return json.loads(eval(value["data"]["text/plain"]))  # the repr of a str

    def end(self) -> None:
        """End the session and its kernel."""
        self.client.stop_channels()
        self.lab.ask("DELETE", f"sessions/{self.session}")

    # What nbval asks of a manager. It must not end the kernel: the browser is next.

    def is_alive(self) -> bool:
        return self.lab.ask("GET", f"kernels/{self.id}")["execution_state"] != "dead"

    def interrupt_kernel(self) -> None:
        self.lab.ask("POST", f"kernels/{self.id}/interrupt")

    def shutdown_kernel(self, now: bool = False) -> None:
        """Does nothing; see `end`."""

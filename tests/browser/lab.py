"""JupyterLab in a headless Chromium, used as a student uses it: run all cells, press keys on sliders, click."""

import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
from playwright.sync_api import Browser, Locator, Page, sync_playwright

OPTIONS = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"]
OPTIONS += ["disable-background-networking", "disable-component-update"]
RUN_TIMEOUT = 600_000  # milliseconds for all cells of a notebook

# Runs in the page. A "picture" is one number for all the pixels beside a slider, or null while an image loads.
PROBE = """
const canvas = document.createElement('canvas'), context = canvas.getContext('2d', { willReadFrequently: true });
const frame = () => new Promise(requestAnimationFrame);
let lastKey = 0;
window.addEventListener('keydown', event => { lastKey = event.timeStamp; }, true);
window.probe = {
  messages: [],  // everything that the kernel prints or raises: [stream or 'error', text]
  session: () => window.jupyterapp?.shell?.currentWidget?.sessionContext,
  kernel: () => probe.session()?.session?.kernel,
  cells: () => [...window.jupyterapp.shell.currentWidget.content.model.cells].filter(cell => cell.type === 'code')
    .map(cell => ({ outputs: cell.outputs.toJSON(), state: cell.executionState })),
  listen: () => { probe.session().iopubMessage.connect((_, { header, content }) => {
    if (header.msg_type === 'error') probe.messages.push(['error', `${content.ename}: ${content.evalue}`]);
    if (header.msg_type === 'stream') probe.messages.push([content.name, content.text]);
  }); },
  run: () => {
    probe.done = false;
    window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { probe.done = true; });
  },
  evaluate: async code => {
    const request = { code: `get_ipython().probed = ${code}`, silent: true, store_history: false };
    request.user_expressions = { value: 'get_ipython().probed' };
    return (await probe.kernel().requestExecute(request).done).content.user_expressions.value.data['text/plain'];
  },
  picture: cell => {
    let hash = 0, count = 0;
    for (const image of cell.querySelectorAll('.jp-OutputArea img, .jp-OutputArea canvas')) {
      if (!image.clientWidth) continue;
      if (image.tagName === 'IMG' && !(image.complete && image.naturalWidth)) return null;
      canvas.width = Math.min(1024, image.naturalWidth || image.width);
      canvas.height = Math.min(1024, image.naturalHeight || image.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data.buffer;
      for (const pixel of new Uint32Array(pixels)) hash = Math.imul(hash ^ pixel, 16777619) + 1;
      count++;
    }
    return count ? hash : null;
  },
  watch: (cell, wait) => {  // probe.change: milliseconds from the key to the first frame with another picture, or null
    const before = probe.picture(cell), end = performance.now() + wait;
    probe.change = (async () => {
      while (performance.now() < end) {
        await frame();
        const now = probe.picture(cell);
        if (now !== null && now !== before) return performance.now() - lastKey;
      }
      return null;
    })();
  },
  // Waits for the kernel, twice: a widget keeps its newest value back until the callback for an older one is done.
  // Asks for the list of widgets, since running code, even none, would make matplotlib close figures.
  settle: async () => { for (const _ of [1, 2]) await probe.kernel().requestCommInfo({}); },
  settledPicture: async cell => {
    await probe.settle();
    let same = 0, last = null;
    for (const end = performance.now() + 5000; same < 5 && performance.now() < end;) {
      await frame();
      const now = probe.picture(cell);
      same = now !== null && now === last ? same + 1 : 0;
      last = now;
    }
    return last;
  },
};
"""


def chromium() -> str | None:
    """The path of the browser: the one in the variable CHROMIUM, or the first that is installed."""
    names = (
        [os.environ.get("CHROMIUM")]
        if os.environ.get("CHROMIUM")
        else ["chromium", "chromium-browser", "google-chrome"]
    )
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def start_browser(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[f"--{option}" for option in OPTIONS])
        yield browser
        browser.close()


@contextmanager
def start_lab(notebooks: Path, folder: Path) -> Iterator["Lab"]:
    """Start JupyterLab on a copy of `notebooks`; the copy, all settings and the log are in `folder`."""
    shutil.copytree(notebooks, folder / "root" / "notebooks", ignore=shutil.ignore_patterns("weights", ".*"))
    notifications = folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    notifications.parent.mkdir(parents=True)
    notifications.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
    environment = os.environ | {name: str(folder / name) for name in names}
    environment["OMP_WAIT_POLICY"] = "passive"  # else torch is many times slower when the browser needs a processor too
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address, token = f"http://127.0.0.1:{free.getsockname()[1]}", secrets.token_hex(16)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": address.rpartition(":")[2],
        "ServerApp.port_retries": 0,
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": hasattr(os, "geteuid") and os.geteuid() == 0,
        "ServerApp.root_dir": folder / "root",
        "IdentityProvider.token": token,
        "LabApp.user_settings_dir": folder / "settings",
        "LabApp.workspaces_dir": folder / "workspaces",
        "LabApp.extension_manager": "readonly",
        "LabApp.expose_app_in_browser": True,
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"{address}/api/status?token={token}", server, folder / "log")
        yield Lab(server.pid, address, token, folder / "root")
    finally:
        kernels = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
        server.terminate()
        for process in psutil.wait_procs([server, *kernels], timeout=15)[1]:
            process.kill()
        server.wait()


def _wait_for(url, server, log):
    for _ in range(240):
        try:
            return urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.25)
        if server.poll() is not None:
            break
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


class Lab:
    """A running JupyterLab."""

    def __init__(self, pid: int, address: str, token: str, root: Path):
        self.pid, self.address, self.token, self.root = pid, address, token, root

    def write(self, name: str, *cells: str) -> str:
        """Make a notebook of code cells; returns its path for `open`."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.root / name)
        return name

    @contextmanager
    def open(self, browser: Browser, path: str) -> Iterator["Notebook"]:
        """Open a notebook with a new kernel, which ends together with the page."""
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        notebook = Notebook(page, self.pid)
        page.add_init_script(PROBE)
        page.goto(f"{self.address}/lab/tree/{path}?token={self.token}&reset")
        page.wait_for_function("probe.kernel()?.status === 'idle'", timeout=60_000)
        page.evaluate("probe.listen()")
        try:
            yield notebook
        finally:
            page.evaluate("probe.session().shutdown()")
            page.close()


class Notebook:
    """An open notebook and its kernel."""

    def __init__(self, page: Page, server: int):
        self.page, self.server, self.page_errors = page, server, []
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        page.on("pageerror", lambda error: self.page_errors.append(f"error in the page: {error}"))

    def run(self) -> None:
        """Run all cells, and wait."""
        self.page.evaluate("probe.run()")
        self.wait()

    def wait(self) -> None:
        """Wait until all cells are done, or one has failed, and the widgets are shown."""
        self.page.wait_for_function("probe.done", timeout=RUN_TIMEOUT)
        self.settle()
        self.page.wait_for_function("!document.body.innerText.includes('Loading widget')")

    def settle(self) -> None:
        """Wait until the kernel has done everything that it was asked for."""
        self.page.evaluate("probe.settle()")

    def cells(self) -> list[dict]:
        """The code cells: `outputs` as in the file, `state` ("running", also while it waits for its turn, or "idle")."""
        return self.page.evaluate("probe.cells()")

    def problems(self) -> list[str]:
        """All that went wrong so far: in the cells, in the page, and in callbacks, whose errors JupyterLab hides."""
        problems = self.page_errors + [o["evalue"] for c in self.cells() for o in c["outputs"] if "evalue" in o]
        for kind, words in ("error", [""]), ("stdout", ["Traceback"]), ("stderr", ["Traceback", "Warning"]):
            texts = [text for stream, text in self.page.evaluate("probe.messages") if stream == kind]
            problems += ["".join(texts)] if texts and any(word in "".join(texts) for word in words) else []
        return problems + ["a widget is not shown"] * ("Error displaying widget" in self.panel.inner_text())

    def evaluate(self, code: str) -> str:
        """The repr of a Python expression in the kernel."""
        return self.page.evaluate("code => probe.evaluate(code)", code)

    def memory(self) -> int:
        """Bytes of memory that the kernel has without garbage: the median of a few readings."""
        self.evaluate("__import__('gc').collect()")
        kernel, readings = psutil.Process(int(self.evaluate("__import__('os').getpid()"))), []
        for _ in range(9):
            readings.append(kernel.memory_info().rss)
            time.sleep(0.02)
        return statistics.median(readings)

    def sliders(self) -> list["Slider"]:
        return [Slider(self.page, knob) for knob in self.panel.get_by_role("slider").all()]


class Slider:
    """A slider, moved with keys. The knob has the role "slider", but no name: ipywidgets writes the label beside it."""

    def __init__(self, page: Page, knob: Locator):
        self.page, self.knob = page, knob
        self.label = knob.evaluate(
            "k => k.closest('.jupyter-widgets').querySelector('.widget-label')?.innerText.trim()"
        )

    @property
    def value(self) -> str:
        return self.knob.get_attribute("aria-valuetext")  # exact; aria-valuenow has one decimal only

    def aria(self, name: str) -> float:
        """name: "now", "min" or "max"."""
        return float(self.knob.get_attribute(f"aria-value{name}"))

    def focus(self) -> None:
        self.knob.scroll_into_view_if_needed()
        self.knob.focus()

    def has_focus(self) -> bool:
        return self.knob.evaluate("k => k === document.activeElement")

    def press(self, key: str, wait: int) -> float | None:
        """Press a key, wait for another picture, at most `wait` milliseconds; how long it took, or None."""
        self.knob.evaluate("(k, wait) => probe.watch(k.closest('.jp-Cell'), wait)", wait)
        self.page.keyboard.press(key)
        return self.page.evaluate("probe.change")

    def go(self, place: str) -> int | None:
        """Go to "min", "middle" or "max", by key or click; the picture there (a number) once it has settled."""
        if place == "middle":
            self.knob.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]").click()
            self.focus()
        else:
            self.page.keyboard.press({"min": "Home", "max": "End"}[place])
        return self.picture()

    def go_back_to(self, start: str) -> None:
        """Go to the value `start`, from the smallest value upwards."""
        self.go("min")
        before = None
        while self.value != before and float(self.value) < float(start) - 1e-9:
            before = self.value
            self.page.keyboard.press("ArrowRight")
        self.picture()

    def picture(self) -> int | None:
        return self.knob.evaluate("k => probe.settledPicture(k.closest('.jp-Cell'))")

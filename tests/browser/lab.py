"""JupyterLab in a headless Chromium, used as a student uses it: run all cells, press keys on sliders, click.

`start_lab` starts the server, `Lab.open` opens a notebook, `Notebook.sliders` finds the sliders. There is no test here.
"""

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
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from playwright.sync_api import Browser, Locator, Page, sync_playwright

NO_CHROMIUM = "no Chromium found: apt-get install chromium, or set CHROMIUM=/path/to/chrome"
CHROMIUM_OPTIONS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
RUN_TIMEOUT = 600  # seconds for all cells of a notebook

# Runs in the page. A `picture` is one number for all the pixels of the images beside a slider, null while one loads.
PROBE = """
const canvas = document.createElement('canvas'), context = canvas.getContext('2d', { willReadFrequently: true });
const frame = () => new Promise(requestAnimationFrame);
let lastKey = 0;
window.addEventListener('keydown', event => { lastKey = event.timeStamp; }, true);
window.probe = {
  messages: [],
  panel: () => window.jupyterapp.shell.currentWidget,
  kernel: () => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel,
  listen: () => probe.panel().sessionContext.iopubMessage.connect((_, { header, content, parent_header }) => {
    if (header.msg_type === 'error') probe.messages.push(['error', `${content.ename}: ${content.evalue}`]);
    if (header.msg_type === 'stream') probe.messages.push([content.name, content.text]);
  }),
  run: () => {
    probe.done = false;
    window.jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { probe.done = true; });
  },
  execute: async (code, expression) => {
    const request = { code, silent: true, store_history: false, user_expressions: { value: expression } };
    return (await probe.kernel().requestExecute(request).done).content.user_expressions?.value;
  },
  picture: cell => {
    let hash = 2166136261, count = 0;
    for (const image of cell.querySelectorAll('.jp-OutputArea img, .jp-OutputArea canvas')) {
      if (!image.clientWidth) continue;
      if (image.tagName === 'IMG' && !(image.complete && image.naturalWidth)) return null;
      canvas.width = Math.min(1024, image.naturalWidth || image.width);
      canvas.height = Math.min(1024, image.naturalHeight || image.height);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      for (const pixel of new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer))
        hash = Math.imul(hash ^ pixel, 16777619);
      count++;
    }
    return count ? hash : null;
  },
  watch: (cell, wait) => {  // probe.change: milliseconds from the key to the first frame with another picture, or null
    const before = probe.picture(cell), end = performance.now() + wait;
    probe.change = (async () => {
      for (;;) {
        await frame();
        const now = probe.picture(cell);
        if (now !== null && now !== before) return performance.now() - lastKey;
        if (performance.now() > end) return null;
      }
    })();
  },
  settle: async cell => {  // a callback may have one more value waiting behind it: hence twice
    await probe.execute('', '0');
    await probe.execute('', '0');
    let same = 0, last = null;
    for (const end = performance.now() + 5000; cell && same < 5 && performance.now() < end;) {
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
    """The path of a Chromium or Chrome: the one in the variable CHROMIUM, or the first that is installed."""
    names = (
        [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else ["chromium", "chromium-browser", "google-chrome"]
    )
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def open_browser(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@dataclass
class Lab:
    """A running JupyterLab. `root` is the folder that it shows."""

    process: subprocess.Popen
    port: int
    token: str
    root: Path

    def write(self, name: str, *cells: str) -> str:
        """Make a notebook of code cells; returns its path for `open`."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / name)
        return name

    @contextmanager
    def open(self, browser: Browser, path: str) -> Iterator["Notebook"]:
        """Open a notebook with a new kernel, which ends together with the page."""
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        try:
            notebook = Notebook(self, page)
            page.add_init_script(PROBE)
            page.goto(f"http://127.0.0.1:{self.port}/lab/tree/{path}?token={self.token}&reset")
            page.wait_for_function("() => probe.kernel()?.status === 'idle'", timeout=60_000)
            page.evaluate("() => probe.listen()")
            yield notebook
            page.evaluate("() => probe.panel().sessionContext.shutdown()")
        finally:
            page.close()


@contextmanager
def start_lab(notebooks: Path, folder: Path) -> Iterator[Lab]:
    """Start JupyterLab on a copy of `notebooks`; the copy, all settings and the log are kept in `folder`."""
    root = folder / "root"
    shutil.copytree(notebooks, root / "notebooks", ignore=shutil.ignore_patterns("weights", ".ipynb_checkpoints"))
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    folders = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    folders["JUPYTER_RUNTIME_DIR"] = str(folder / "runtime")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"]
    command += [f"--LabApp.user_settings_dir={folder / 'settings'}", f"--LabApp.workspaces_dir={folder / 'workspaces'}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    log = folder / "server.log"
    # passive: threads of torch that wait do not take the processor from the browser
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=os.environ | folders | {"OMP_WAIT_POLICY": "passive"}, stdout=stream, stderr=subprocess.STDOUT)
    try:
        _wait_for_server(process, f"http://127.0.0.1:{port}/api/status?token={token}", log)
        yield Lab(process, port, token, root)
    finally:
        _stop(process)


def _wait_for_server(process, url, log):
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")


def _stop(process):
    """End the server and its kernels, gently if they can."""
    kernels = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for kernel in psutil.wait_procs(kernels, timeout=5)[1]:
        kernel.kill()


class Notebook:
    """An open notebook and its kernel."""

    def __init__(self, lab: Lab, page: Page):
        self.lab, self.page, self.page_errors = lab, page, []
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        page.on("pageerror", lambda error: self.page_errors.append(f"error in the page: {error}"))

    def start(self) -> None:
        """Run all cells; does not wait."""
        self.page.evaluate("() => probe.run()")

    def finish(self) -> None:
        """Wait until all cells are done, or one has failed, and the widgets are shown."""
        self.page.wait_for_function("() => probe.done", timeout=RUN_TIMEOUT * 1000)
        self.settle()
        self.page.wait_for_function("() => !document.body.innerText.includes('Loading widget')", timeout=30_000)

    def run(self) -> None:
        """Run all cells, and wait."""
        self.start()
        self.finish()

    def settle(self) -> None:
        """Wait until the kernel has done everything that it was asked for."""
        self.page.evaluate("() => probe.settle()")

    def cells(self) -> list[dict]:
        """The code cells: `outputs` as in the file, `state` ("running", "idle" ...)."""
        return self.page.evaluate("""() => [...probe.panel().content.model.cells].filter(c => c.type === 'code')
            .map(c => ({ outputs: c.outputs.toJSON(), state: c.executionState }))""")

    def problems(self) -> list[str]:
        """Everything that went wrong so far, wherever JupyterLab shows it.

        Listens to the kernel itself: JupyterLab hides what a slider's callback prints, tracebacks too, in its log.
        """
        problems = list(self.page_errors)
        problems += [f"cell output: {o['evalue']}" for c in self.cells() for o in c["outputs"] if "evalue" in o]
        messages = self.page.evaluate("() => probe.messages")
        problems += [text for kind, text in messages if kind == "error"]
        for stream, words in ("stdout", ["Traceback"]), ("stderr", ["Traceback", "Warning"]):
            text = "".join(text for kind, text in messages if kind == stream)
            problems += [f"{stream}: {text}" for word in words if word in text]
        if "Error displaying widget" in self.panel.inner_text():
            problems.append("a widget could not be shown")
        return problems

    def evaluate(self, expression: str) -> str:
        """The repr of a Python expression in the kernel."""
        value = self.page.evaluate("expression => probe.execute('', expression)", expression)
        assert value["status"] == "ok", value
        return value["data"]["text/plain"]

    def memory(self) -> int:
        """Bytes of memory that the kernel has now, without garbage (median of a few readings)."""
        self.evaluate("__import__('gc').collect()")
        kernel = self.page.evaluate("() => probe.kernel().id")
        children = psutil.Process(self.lab.process.pid).children(recursive=True)
        (process,) = [p for p in children if any(kernel in part for part in p.cmdline())]
        readings = []
        for _ in range(5):
            readings.append(process.memory_info().rss)
            time.sleep(0.05)
        return int(statistics.median(readings))

    def sliders(self) -> list["Slider"]:
        return [Slider(self, handle) for handle in self.panel.get_by_role("slider").all()]


class Slider:
    """One slider, moved with keys. `handle` is the knob: an element with the role "slider" and no name of its own."""

    def __init__(self, notebook: Notebook, handle: Locator):
        self.notebook, self.page, self.handle = notebook, notebook.page, handle

    @property
    def label(self) -> str:
        """What stands beside the slider, as far as it can be seen."""
        return self.handle.evaluate(
            "h => h.closest('.widget-slider, .jupyter-widgets')?.querySelector('.widget-label')?.innerText.trim() ?? ''"
        )

    @property
    def value(self) -> str:
        return self.handle.get_attribute("aria-valuetext")  # exact; aria-valuenow is rounded to one decimal

    def aria(self, name: str) -> float:
        """name: "now", "min" or "max"."""
        return float(self.handle.get_attribute(f"aria-value{name}"))

    def focus(self) -> None:
        self.handle.scroll_into_view_if_needed()
        self.handle.focus()

    def has_focus(self) -> bool:
        return self.handle.evaluate("h => h === document.activeElement")

    def press(self, key: str, wait: float) -> float | None:
        """Press a key, wait for another picture, at most `wait` seconds; the milliseconds that it took, or None."""
        self.handle.evaluate("(h, wait) => probe.watch(h.closest('.jp-Cell'), wait)", 1000 * wait)
        self.page.keyboard.press(key)
        return self.page.evaluate("() => probe.change")

    def go(self, key: str) -> int | None:
        """Press a key and wait until all is done; the picture then."""
        self.page.keyboard.press(key)
        return self.picture()

    def go_back_to(self, start: str) -> None:
        """Go to the value `start`, from the smallest value upwards."""
        self.focus()
        self.page.keyboard.press("Home")
        before = None
        while self.value != before and float(self.value) < float(start) - 1e-9:
            before = self.value
            self.page.keyboard.press("ArrowRight")
        self.picture()

    def click_middle(self) -> None:
        """Click on the middle of the track, then give the knob the focus."""
        self.handle.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]").click()
        self.focus()

    def picture_now(self) -> int | None:
        return self.handle.evaluate("h => probe.picture(h.closest('.jp-Cell'))")

    def picture(self) -> int | None:
        """One number for the pixels of the pictures beside the slider once they have settled; None without any."""
        return self.handle.evaluate("h => probe.settle(h.closest('.jp-Cell'))")

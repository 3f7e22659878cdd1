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
from contextlib import contextmanager
from pathlib import Path

import nbformat
import psutil
from playwright.sync_api import Browser, ElementHandle, Page, sync_playwright

NOTEBOOKS = Path(os.environ.get("NOTEBOOKS", Path(__file__).resolve().parents[2] / "notebooks"))
OPTIONS = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"]
OPTIONS += ["disable-background-networking", "disable-component-update"]
RUN_TIMEOUT = 40 * 60_000  # milliseconds for all cells; a busy computer can take four times as long as an idle one

# Runs in the page. A "picture" is one number for all the pixels beside a slider, or null while an image loads.
PROBE = """
const canvas = document.createElement('canvas'), context = canvas.getContext('2d', { willReadFrequently: true });
const frame = () => new Promise(requestAnimationFrame);
const inWidget = new Set();  // messages whose output goes into an Output widget
let lastKey = 0;
window.addEventListener('keydown', event => { lastKey = event.timeStamp; }, true);
window.probe = {
  problems: [],
  session: () => window.jupyterapp?.shell?.currentWidget?.sessionContext,
  kernel: () => probe.session()?.session?.kernel,
  cells: () => [...window.jupyterapp.shell.currentWidget.content.model.cells].filter(cell => cell.type === 'code')
    .map(cell => ({ outputs: cell.outputs.toJSON(), state: cell.executionState })),
  listen: () => { probe.session().iopubMessage.connect((_, { header, content, parent_header: cause }) => {
    const type = header.msg_type, text = content.text ?? content.data?.['text/plain'] ?? '', id = cause.msg_id;
    if (content.data?.state?.msg_id) inWidget.add(content.data.state.msg_id);
    if (type === 'error') probe.problems.push(`${content.ename}: ${content.evalue}`);
    else if (/^No such comm/.test(text)) return;  // JupyterLab asks for the widgets of a kernel that has none yet
    else if (/Traceback/.test(text) || content.name === 'stderr' && /Warning/.test(text)) probe.problems.push(text);
    else if (['stream', 'display_data'].includes(type) && cause.msg_type === 'comm_msg' && !inWidget.has(id))
      probe.problems.push(`output of a callback that is shown nowhere: ${text}`);
  }); },
  run: cell => {
    probe.done = false;
    if (cell !== null) window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell;
    const command = cell === null ? 'notebook:run-all-cells' : 'notebook:run-cell';
    window.jupyterapp.commands.execute(command).finally(() => { probe.done = true; });
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
  watch: (knob, wait) => {  // probe.change: milliseconds from the key to the first frame with another picture, or null
    const cell = knob.closest('.jp-Cell'), before = probe.picture(cell), end = performance.now() + wait;
    const value = knob.ariaValueText;
    probe.moved = () => knob.ariaValueText !== value;
    probe.change = (async () => {
      while (performance.now() < end) {
        await frame();
        const now = probe.picture(cell);
        if (now !== null && now !== before) return performance.now() - lastKey;
      }
      return null;
    })();
  },
  // Waits for the kernel, twice: a slider keeps its newest value back until the callback for an older one is done.
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
    chosen = os.environ.get("CHROMIUM")
    names = [chosen] if chosen else ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def start_browser(path: str):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[f"--{option}" for option in OPTIONS])
        yield browser
        browser.close()


@contextmanager
def start_lab(notebooks: Path, folder: Path):
    """Start JupyterLab, a `Lab`, on a copy of `notebooks`; the copy, all settings and the log are in `folder`."""
    root, log = folder / "root", folder / "log"
    shutil.copytree(notebooks, root / "notebooks", ignore=shutil.ignore_patterns("weights", ".*"))
    notifications = folder / "settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    notifications.parent.mkdir(parents=True)
    notifications.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    names = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"]
    environment = os.environ | {name: str(folder / name) for name in names}
    environment["GOMP_SPINCOUNT"] = "2000"  # wait briefly: else torch is many times slower beside a busy browser
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={token}"]
    command += [f"--LabApp.user_settings_dir={folder / 'settings'}", f"--LabApp.workspaces_dir={folder / 'workspaces'}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    command += ["--allow-root"] * (hasattr(os, "geteuid") and os.geteuid() == 0)
    with log.open("wb") as stream:
        server = psutil.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    try:
        lab = Lab(f"http://127.0.0.1:{port}", token, root)
        lab.wait(server, log)
        yield lab
    finally:
        kernels = server.children(recursive=True) if server.poll() is None else []
        server.terminate()
        for process in psutil.wait_procs([server, *kernels], timeout=15)[1]:
            process.kill()
            process.wait()


class Lab:
    """A running JupyterLab that shows the folder `root`."""

    def __init__(self, address: str, token: str, root: Path):
        self.address, self.token, self.root = address, token, root

    def wait(self, server: psutil.Popen, log: Path) -> None:
        """Wait until the server answers."""
        for _ in range(240):
            try:
                return urllib.request.urlopen(f"{self.address}/api/status?token={self.token}", timeout=1).close()
            except OSError:
                time.sleep(0.25)
            if server.poll() is not None:
                break
        raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()}")

    def write(self, name: str, *cells: str) -> str:
        """Make a notebook of code cells; returns its path for `open`."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, self.root / name)
        return name

    @contextmanager
    def open(self, browser: Browser, path: str):
        """Open a notebook, a `Notebook`, with a new kernel, which ends together with the page."""
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.add_init_script(PROBE)
        notebook = Notebook(page)
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

    def __init__(self, page: Page):
        self.page, self.page_errors = page, []
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        page.on("pageerror", lambda error: self.page_errors.append(f"error in the page: {error}"))

    def run(self, cell: int | None = None, wait: bool = True) -> None:
        """Run all cells, or one, counted from 0."""
        self.page.evaluate("cell => probe.run(cell)", cell)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until all cells are done, or one has failed, and the widgets are shown."""
        self.page.wait_for_function("probe.done", timeout=RUN_TIMEOUT)
        self.settle()
        self.page.wait_for_function("!document.body.textContent.includes('Loading widget')")

    def settle(self) -> None:
        """Wait until the kernel has done everything that it was asked for."""
        self.page.evaluate("probe.settle()")

    def cells(self) -> list[dict]:
        """The code cells: `outputs` as in the file, `state` ("running", also while waiting for its turn, or "idle")."""
        return self.page.evaluate("probe.cells()")

    def problems(self) -> list[str]:
        """All that went wrong so far: in the cells, in the page, and in callbacks, whose errors JupyterLab hides."""
        errors = [output["evalue"] for cell in self.cells() for output in cell["outputs"] if "evalue" in output]
        broken = ["a widget is not shown"] * ("Error displaying widget" in self.panel.text_content())
        return self.page_errors + errors + self.page.evaluate("probe.problems") + broken

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
        return [Slider(self.page, knob) for knob in self.panel.get_by_role("slider").element_handles()]


class Slider:
    """A slider, moved with keys. The knob has the role "slider", but no name: ipywidgets writes the label beside it."""

    def __init__(self, page: Page, knob: ElementHandle):
        self.page, self.knob = page, knob
        self.label = knob.evaluate("""k => {
            let around = k;
            while (!around.querySelector('.widget-label')) around = around.parentElement;
            const label = around.querySelector('.widget-label');
            return label.checkVisibility() ? label.textContent.trim() : '';
        }""")

    def aria(self, name: str) -> str:
        """name: "min", "max", "now" (these have one decimal only) or "text" (the exact value)."""
        return self.knob.get_attribute(f"aria-value{name}")

    def focus(self) -> None:
        self.knob.scroll_into_view_if_needed()
        self.knob.focus()

    def press(self, key: str, wait: int) -> tuple[bool, float | None]:
        """Press a key. Does the slider move, and how many milliseconds (at most `wait`) until another picture?"""
        self.knob.evaluate("(k, wait) => probe.watch(k, wait)", wait)
        self.page.keyboard.press(key)
        return self.knob.evaluate("async k => probe.moved() ? [true, await probe.change] : [false, null]")

    def go(self, place: str) -> None:
        """Go to "min", "middle" or "max", by key or click."""
        if place == "middle":
            self.knob.query_selector("xpath=ancestor::*[contains(@class, 'noUi-target')]").click()
            self.focus()
        else:
            self.page.keyboard.press({"min": "Home", "max": "End"}[place])

    def go_back_to(self, start: str) -> None:
        """Go to the value `start`, from the smallest value upwards."""
        self.go("min")
        while float(self.aria("text")) < float(start) - 1e-9 and self.press("ArrowRight", wait=0)[0]:
            pass
        self.picture()

    def picture(self) -> int | None:
        """The picture (a number) after all callbacks; None if there is none."""
        return self.knob.evaluate("k => probe.settledPicture(k.closest('.jp-Cell'))")

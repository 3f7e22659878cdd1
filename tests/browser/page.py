"""JupyterLab in a headless Chromium, used as a student uses it: run all cells, press keys on
sliders, click."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import nbformat
from lab import Lab
from playwright.sync_api import Browser, ElementHandle, Page, sync_playwright

OPTIONS = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"]
OPTIONS += ["disable-background-networking", "disable-component-update"]
# Milliseconds for all cells; a busy computer can take four times as long as an idle one
RUN_TIMEOUT = 40 * 60_000

# Runs in the page. A "picture" is one number for all the pixels beside a slider, or null while an
# image loads.
PROBE = """
const canvas = document.createElement('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });
const frame = () => new Promise(requestAnimationFrame);
const inWidget = new Set();  // messages whose output goes into an Output widget
const finished = new Set();  // requests that are done: nothing may be put out for them any more
let lastKey = 0;
window.addEventListener('keydown', event => { lastKey = event.timeStamp; }, true);
window.probe = {
  problems: [],
  session: () => window.jupyterapp?.shell?.currentWidget?.sessionContext,
  kernel: () => probe.session()?.session?.kernel,
  cells: () => [...window.jupyterapp.shell.currentWidget.content.model.cells]
    .filter(cell => cell.type === 'code')
    .map(cell => ({ outputs: cell.outputs.toJSON(), state: cell.executionState })),
  listen: () => { probe.session().iopubMessage.connect((_, message) => {
    const { header, content, parent_header: cause } = message;
    const type = header.msg_type, id = cause.msg_id;
    const text = content.text ?? content.data?.['text/plain'] ?? '';
    const warning = content.name === 'stderr' && /Warning/.test(text);
    const output = ['stream', 'display_data'].includes(type);
    if (content.data?.state?.msg_id) inWidget.add(content.data.state.msg_id);
    if (type === 'status' && content.execution_state === 'idle') finished.add(id);
    if (type === 'error') probe.problems.push(`${content.ename}: ${content.evalue}`);
    // JupyterLab asks for the widgets of a kernel that has none yet
    else if (/^No such comm/.test(text)) return;
    else if (/Traceback/.test(text) || warning) probe.problems.push(text);
    else if (output && cause.msg_type === 'comm_msg' && !inWidget.has(id))
      probe.problems.push(`output of a callback that is shown nowhere: ${text}`);
    else if (output && finished.has(id) && !inWidget.has(id))
      probe.problems.push(`output of a callback in another cell: ${text}`);
  }); },
  run: cell => {
    probe.done = false;
    if (cell !== null) window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell;
    const command = cell === null ? 'notebook:run-all-cells' : 'notebook:run-cell';
    window.jupyterapp.commands.execute(command).finally(() => { probe.done = true; });
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
  watch: (knob, wait) => {
    // probe.change: milliseconds from the key to the first frame with another picture, or null
    const cell = knob.closest('.jp-Cell'), before = probe.picture(cell);
    const end = performance.now() + wait;
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
  // Waits for the kernel, twice: a slider keeps its newest value back until the callback for an
  // older one is done.
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

# Runs in an instrument of the page.
HOLD = """
async ([id, key, steps]) => {
    // a held key at 30 Hz, as the system repeats it; a step is shown if a frame has its picture
    const canvas = document.getElementById(id);
    const frame = () => new Promise(requestAnimationFrame), seen = new Set(), times = [];
    const read = () => canvas.toDataURL();  // the pixels: each step changes them
    canvas.focus();
    let last = read();
    for (let step = 0; step < steps; step++) {
        const start = performance.now();
        const press = { key, repeat: step > 0, cancelable: true };
        canvas.dispatchEvent(new KeyboardEvent('keydown', press));
        do {  // at least one frame, even if the computer was busy for those 33 ms
            await frame();
            const spent = performance.now() - start, now = read();
            if (now !== last) seen.add(now), times.push(spent), last = now;
        } while (performance.now() - start < 33);
    }
    return [seen.size, times];
}
"""


def chromium() -> str | None:
    """The path of the browser: the one in the variable CHROMIUM, or the first that is installed."""
    chosen = os.environ.get("CHROMIUM")
    names = [chosen] if chosen else ["chromium", "chromium-browser", "google-chrome"]
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def start_browser(path: str):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[f"--{option}" for option in OPTIONS]
        )
        yield browser
        browser.close()


@contextmanager
def open_notebook(lab: Lab, browser: Browser, path: str, end: bool = True):
    """Open a notebook, a `Notebook`: with its kernel if it has one, else with a new one.

    end: end the kernel together with the page.
    """
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(PROBE)
    notebook = Notebook(page, lab.root / path)
    page.goto(f"{lab.address}/lab/tree/{path}?token={lab.token}&reset")
    page.wait_for_function("probe.kernel()?.status === 'idle'", timeout=60_000)
    page.evaluate("probe.listen()")
    try:
        yield notebook
    finally:
        if end:
            page.evaluate("probe.session().shutdown()")
        page.close()


class Notebook:
    """An open notebook and its kernel."""

    def __init__(self, page: Page, file: Path):
        self.page, self.file, self.page_errors = page, file, []
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

    def run_interactive(self) -> None:
        """Run only the cells that show sliders or a map, as their saved outputs say."""
        cells = nbformat.read(self.file, as_version=4).cells
        for i, cell in enumerate(cells):
            if any("Run this cell" in str(output) for output in cell.get("outputs", [])):
                self.run(i)

    def settle(self) -> None:
        """Wait until the kernel has done everything that it was asked for."""
        self.page.evaluate("probe.settle()")

    def cells(self) -> list[dict]:
        """The code cells: `outputs` as in the file, `state` ("running", also while waiting for its
        turn, or "idle")."""
        return self.page.evaluate("probe.cells()")

    def problems(self) -> list[str]:
        """All that went wrong so far: in the cells, in the page, and in callbacks, whose errors
        JupyterLab hides."""
        errors = [
            output["evalue"]
            for cell in self.cells()
            for output in cell["outputs"]
            if "evalue" in output
        ]
        broken = ["a widget is not shown"] * (
            "Error displaying widget" in self.panel.text_content()
        )
        return self.page_errors + errors + self.page.evaluate("probe.problems") + broken

    def sliders(self) -> list["Slider"]:
        return [
            Slider(self.page, knob) for knob in self.panel.get_by_role("slider").element_handles()
        ]


class Slider:
    """A slider, moved with keys. The knob has the role "slider", but no name: ipywidgets writes the
    label beside it."""

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

    def tap(self, key: str) -> None:
        self.page.keyboard.press(key)

    def is_focused(self) -> bool:
        return self.knob.evaluate("k => k === document.activeElement")

    def hold(self, key: str, steps: int = 10) -> None:
        """Hold a key down: the system repeats it."""
        for _ in range(steps):
            self.page.keyboard.down(key)
        self.page.keyboard.up(key)

    def press(self, key: str, wait: int) -> tuple[bool, float | None]:
        """Press a key. Does the slider move, and how many milliseconds (at most `wait`) until
        another picture?"""
        self.knob.evaluate("(k, wait) => probe.watch(k, wait)", wait)
        self.page.keyboard.press(key)
        return self.knob.evaluate(
            "async k => probe.moved() ? [true, await probe.change] : [false, null]"
        )

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
        while (
            float(self.aria("text")) < float(start) - 1e-9 and self.press("ArrowRight", wait=0)[0]
        ):
            pass
        self.picture()

    def picture(self) -> int | None:
        """The picture (a number) after all callbacks; None if there is none."""
        return self.knob.evaluate("k => probe.settledPicture(k.closest('.jp-Cell'))")

"""The practical as a whole: imports, notebooks, sliders, and many students on one computer.

python tools/benchmarks/practical.py [imports] [notebooks] [sliders] [classroom]        (prints the
results)
"""

import json
import statistics
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "browser")]
HELPERS = "import helpers.checks.emoji_vae, helpers.data, helpers.page, helpers.widgets"
USUAL = "import torch, matplotlib.pyplot, ipywidgets"
PEAK = """
import resource, sys
unit = 1024 * 1024 if sys.platform == "darwin" else 1024
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit)
"""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STUDENTS = [1, 2, 4]  # at once
ROUNDS = 9  # of the imports
KEYS = 80  # pressed on the slider


def imports() -> dict:
    """Seconds of three import statements, each in a new Python, in turn; the median. Memory of an
    idle kernel."""
    statements = {"torch": "import torch", "usual": USUAL, "helpers": f"{USUAL}\n{HELPERS}"}
    times = {name: [] for name in statements}
    for _ in range(ROUNDS):
        for name, statement in statements.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times[name].append(time.perf_counter() - start)
    results = {name: round(statistics.median(values), 2) for name, values in times.items()}
    idle = nbformat.v4.new_notebook(cells=[new_code_cell(HELPERS)])
    return results | {"idle_kernel_megabytes": execute(idle, ROOT)["megabytes"]} | installed()


def installed() -> dict:
    """Megabytes on disk of this environment, and those of PyTorch and what only it needs."""
    folder = Path(sysconfig.get_path("purelib"))
    sizes = {
        path.name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) / 1e6
        for path in folder.iterdir()
    }
    torch = [size for name, size in sizes.items() if name.startswith(("torch", "nvidia", "triton"))]
    return {
        "installed_megabytes": round(sum(sizes.values())),
        "torch_megabytes": round(sum(torch)),
    }


def execute(notebook, folder):
    """Minutes and peak memory of the kernel (in megabytes) of one run."""
    notebook.cells.append(new_code_cell(PEAK))
    start = time.perf_counter()
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(folder)}}).execute()
    minutes = (time.perf_counter() - start) / 60
    return {"minutes": round(minutes, 1), "megabytes": int(notebook.cells[-1].outputs[0].text)}


def run(path):
    return execute(nbformat.read(path, as_version=4), path.parent)


def notebooks() -> dict:
    """Each notebook, one after the other."""
    return {path.stem: run(path) for path in NOTEBOOKS}


def classroom() -> dict:
    """Several kernels that run notebook 02 at once: the longest time, and the memory of each."""
    (letters,) = [path for path in NOTEBOOKS if path.stem.startswith("02")]
    results = {}
    for count in STUDENTS:
        with ThreadPoolExecutor(count) as pool:
            runs = list(pool.map(run, [letters] * count))
        results[str(count)] = {
            key: max(run[key] for run in runs) for key in ("minutes", "megabytes")
        }
    return results


def sliders() -> dict:
    """Milliseconds from a key to changed pixels in JupyterLab: a slider in Python, and a map in the
    page."""
    from lab import the_lab
    from page import chromium, open_notebook, start_browser
    from test_latent_map import HOLD, MAP, SLIDERS, basins

    path = the_lab().write("both.ipynb", MAP, SLIDERS)
    with (
        start_browser(chromium()) as browser,
        open_notebook(the_lab(), browser, path) as notebook,
    ):
        notebook.run()
        slider = notebook.sliders()[0]
        slider.focus()
        slider.go("min")
        presses = [slider.press("ArrowRight", 500)[1] for _ in range(KEYS)]
        times = {"slider": [time for time in presses if time]}
        frame = notebook.page.locator(".latent-map iframe").element_handle().content_frame()
        frame.evaluate("ready")
        frame.locator("#map").focus()
        frame.page.keyboard.press("Home")
        basins(frame)
        shown, times["map"] = frame.evaluate(HOLD, ["map", "ArrowRight", 40])
    return {"shown_of_40": shown} | {
        name: {
            "median": round(statistics.median(values)),
            "p95": round(sorted(values)[int(0.95 * len(values))]),
        }
        for name, values in times.items()
    }


if __name__ == "__main__":
    parts = {"imports": imports, "notebooks": notebooks, "sliders": sliders, "classroom": classroom}
    for part in sys.argv[1:] or parts:
        print(json.dumps({part: parts[part]()}), flush=True)

"""Is everything there, and does it work together? (`make check`, or `python tools/check.py`)

One line for each thing, ✓ or what to do. Send all of them to your teacher if something fails.
"""

import os
import platform
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INSTALL = "install the practical again, as README.md says"


def python() -> str:
    """Python 3.11 or newer"""
    if tuple(map(int, platform.python_version_tuple()[:2])) < (3, 11):
        raise RuntimeError(f"this is {platform.python_version()}: {INSTALL} with a newer one")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def packages() -> str:
    """all packages, in versions that fit"""
    import tomllib  # not above: an older Python has none

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, wrong = {}, []
    for wanted in map(Requirement, project["dependencies"]):
        try:
            found[wanted.name] = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{wanted} is missing")
        else:
            if not wanted.specifier.contains(found[wanted.name], prereleases=True):
                wrong.append(f"{wanted} is needed, there is {found[wanted.name]}")
    if wrong:
        raise RuntimeError(f"{'; '.join(wrong)}: {INSTALL}")
    shown = "numpy", "torch", "matplotlib", "ipywidgets", "jupyterlab", "ipykernel"
    return ", ".join(f"{name} {found[name]}" for name in shown if name in found)


def data() -> str:
    """the data, complete and undamaged"""
    from helpers import data

    sets = data.load_letters(), data.load_capitals(), data.load_emoji(), data.load_mnist(False)
    counts = [len(one.images) for one in sets]
    return "{} letters, {} capitals, {} faces, {} digits of the test".format(*counts)


def folder() -> str:
    """a folder that can be written, for the weights that notebooks save"""
    with tempfile.TemporaryFile(dir=ROOT / "notebooks"):
        return "notebooks"


def threads() -> str:
    """threads that don't wait for each other in circles"""
    import_module("helpers")  # before torch: it sets how they wait
    import torch

    spin = os.environ.get("GOMP_SPINCOUNT")
    return f"{torch.get_num_threads()} for {os.cpu_count()} cores, GOMP_SPINCOUNT={spin}"


def training() -> str:
    """a training that learns"""
    import torch

    from helpers import data
    from helpers.models import Autoencoder
    from helpers.training import fit

    torch.manual_seed(0)
    model, start = Autoencoder([35, 17, 2, 17, 35]), time.perf_counter()
    loss = fit(model, data.load_letters().images, epochs=500, lr=0.03, progress=False).loss
    if not loss[-1] < 0.7 * loss[0]:
        raise RuntimeError(f"the loss went from {loss[0]:.3f} to {loss[-1]:.3f}: {INSTALL}")
    return f"loss {loss[0]:.2f} to {loss[-1]:.2f} in {time.perf_counter() - start:.1f} s"


def slider() -> str:
    """a slider that draws"""
    from helpers import data, widgets

    letters = data.load_letters()
    explorer = widgets.noise_explorer(letters.images, letters.labels)
    control = next(c for c in explorer.controls if type(c).__name__ == "FloatSlider")
    before, start = explorer.picture.value, time.perf_counter()
    control.value = control.max
    if explorer.picture.value == before:
        raise RuntimeError(f"it moved, but its picture did not ({explorer.text.value}): {INSTALL}")
    return f"a new picture in {1000 * (time.perf_counter() - start):.0f} ms"


def kernel() -> str:
    """a kernel of Jupyter that starts and finds this package"""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=60)
    try:
        reply = client.execute_interactive("import helpers.data", timeout=60, store_history=False)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    content = reply["content"]
    if content["status"] != "ok":
        raise RuntimeError(f"{content['ename']}: {content['evalue']}: {INSTALL}")
    return f"Python of {manager.kernel_spec.display_name}"


def browser() -> str:
    """a browser for JupyterLab"""
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return "none found here: open the address that JupyterLab prints in a browser elsewhere"
    return Path(getattr(found, "name", None) or type(found).__name__).name


CHECKS = python, packages, data, folder, threads, training, slider, kernel, browser


def lines(checks: tuple[Callable[[], str], ...] = CHECKS) -> Iterator[str]:
    """A line for each check: its first line of documentation, and what it says or what failed."""
    for check in checks:
        what = (check.__doc__ or "").partition("\n")[0]
        try:
            yield f"✓ {what}: {check()}"
        except Exception as error:  # the next checks may say more
            yield f"✗ {what}: {type(error).__name__}: {error}"


def main() -> int:
    wrong = 0
    for line in lines():
        wrong += line.startswith("✗")
        print(line, flush=True)
    print("Send these lines to your teacher." if wrong else "✓ Everything works: make lab")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())

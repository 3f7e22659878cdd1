"""Every notebook as a student opens it: *Run All* in JupyterLab, then each step of each slider by
key.

With ``-s`` pytest also prints how long each slider takes from the key to the new picture.
"""

import statistics

import pytest
from checks import check, check_buttons_and_dropdowns, check_slider, load_walk
from lab import NOTEBOOKS
from page import open_notebook

pytestmark = pytest.mark.long


@pytest.fixture(
    scope="module", params=sorted(f"notebooks/{p.stem}" for p in NOTEBOOKS.glob("*.ipynb"))
)
def notebook(request, lab, browser):
    """A notebook whose cells have all been run; the next tests share it."""
    with open_notebook(lab, browser, f"{request.param}.ipynb") as notebook:
        notebook.run()
        yield notebook


def test_every_step_of_every_slider(notebook):
    check(notebook)
    for slider in notebook.sliders():
        check_slider(notebook, slider)
        slider.go("min")
        slider.picture()
        times = sorted(walk(slider, "ArrowRight", 100) + walk(slider, "ArrowLeft", 5))
        assert times, f"{slider.label}: no single step changes the picture"
        slow = times[int(0.95 * len(times))]
        print(
            f"\n{slider.label}: median {statistics.median(times):.0f} ms, 95 % below {slow:.0f} ms",
            end=" ",
        )
        check(notebook)


def walk(slider, key, steps, wait=500):
    """Press a key again and again, each time after the last has changed the picture."""
    times = []
    for _ in range(steps):
        moved, time = slider.press(key, wait)
        if not moved:
            break
        times.append(time)
    return [time for time in times if time is not None]


def test_buttons_and_dropdowns(notebook):
    check_buttons_and_dropdowns(notebook)


def test_a_thousand_random_moves(notebook, lab):
    kernel = lab.kernel(f"notebooks/{notebook.file.name}")
    load_walk(kernel)
    problems = kernel.evaluate("walk.random_moves(1000, seed=0)")
    assert not problems, problems

"""Moves every slider in a kernel, without a browser. The tests have the kernel import this module.

An explorer is a box of ipywidgets with a picture in it. Each function returns the problems found,
or numbers, as JSON takes them.
"""

import gc
import random
import re
import statistics
import threading
import time

import ipywidgets
import matplotlib.pyplot as plt
import psutil
from comm import get_comm_manager
from ipywidgets.widgets.widget import _instances as living

SLIDERS = (ipywidgets.FloatSlider, ipywidgets.IntSlider, ipywidgets.SelectionSlider)
CHOICES = (ipywidgets.Dropdown,)
TEXTS = (ipywidgets.Label, ipywidgets.HTML)

_threads = set()


def explorers():
    """All that are alive in this kernel."""
    boxes = [widget for widget in living.values() if isinstance(widget, ipywidgets.Box)]
    return [box for box in boxes if _parts(box, ipywidgets.Image)]


def _parts(box, kinds):
    return [child for child in box.children if isinstance(child, kinds)]


def _places(control):
    """All values of a control, the lowest first."""
    if hasattr(control, "options"):
        return [value[1] if isinstance(value, tuple) else value for value in control.options]
    count = round((control.max - control.min) / control.step)
    values = [control.min + i * control.step for i in range(count + 1)]
    return [min(value, control.max) for value in values]


def _shown(box):
    """What one sees of an explorer besides its controls."""
    return tuple(picture.value for picture in _parts(box, ipywidgets.Image))


def every_step() -> list[str]:
    """Each slider up and down through all its values, each choice of each dropdown, each button."""
    problems = [] if explorers() else ["no explorer is alive"]
    for box in explorers():
        for control in _parts(box, SLIDERS + CHOICES):
            problems += _every_step(box, control)
        for button in _parts(box, ipywidgets.Button):
            problems += [f"{button.description}: {error}" for error in _do(box, button.click)]
    return problems


def _every_step(box, control):
    problems, start, places = [], control.value, _places(control)
    if not re.search(r"\w", control.description):
        problems.append("a control without a description")
    if isinstance(control, SLIDERS) and not re.search(r"\(.+\)", control.description):
        problems.append("a slider without a unit")

    def look(place):
        errors = _do(box, lambda: setattr(control, "value", place))
        problems.extend(f"at {place}: {error}" for error in errors)
        return _shown(box)

    look(places[-1])  # a picture that lags behind would show this at the first place
    upwards = [look(place) for place in places]
    downwards = [look(place) for place in reversed(places)][::-1]
    look(start)
    if len(places) > 1 and len(set(upwards)) == 1:
        problems.append("the same picture at all values")
    wrong = [
        place for place, *two in zip(places, upwards, downwards, strict=True) if len({*two}) > 1
    ]
    if wrong:
        problems.append(f"another picture when it comes from the other side, at {wrong[:5]}")
    return [f"{control.description}: {problem}" for problem in dict.fromkeys(problems)]


def _do(box, action):
    """The errors that an action raises, or that the explorer shows."""
    try:
        action()
    except Exception as error:  # all of them are reported
        return [f"{type(error).__name__}: {error}"]
    texts = [text.value for text in _parts(box, TEXTS)]
    return [text for text in texts if re.search(r"\b[A-Z]\w*(Error|Exception)\b", text)]


def left_by(moves: int) -> dict:
    """What thrice so many moves of the first slider leave behind: widgets, comms, figures.

    memory: bytes that so many moves keep, the least of the three.
    """
    control = next(_parts(box, SLIDERS)[0] for box in explorers() if _parts(box, SLIDERS))
    low, high = _places(control)[0], _places(control)[-1]

    def move(times):
        for i in range(times):
            control.value = (low, high)[i % 2] if control.value != low else high

    def count():
        comms = get_comm_manager().comms
        return {"widgets": len(living), "comms": len(comms), "figures": len(plt.get_fignums())}

    start = control.value
    move(100)  # the first ones fill caches
    before, memory = count(), []
    for _ in range(3):  # what leaks grows each time, the heap alone now and then
        least = _memory()
        move(moves)
        memory.append(_memory() - least)
    left = {name: value - before[name] for name, value in count().items()}
    control.value = start
    return left | {"memory": min(memory)}


def _memory():
    gc.collect()
    readings = []
    for _ in range(9):
        readings.append(psutil.Process().memory_info().rss)
        time.sleep(0.02)
    return statistics.median(readings)


def random_moves(moves: int, seed: int) -> list[str]:
    """Random moves of all controls and buttons of all explorers, two of three to an end."""
    dice, problems = random.Random(seed), []
    for _ in range(moves):
        box = dice.choice(explorers())
        control = dice.choice(_parts(box, (*SLIDERS, *CHOICES, ipywidgets.Button)))
        if isinstance(control, ipywidgets.Button):
            problems += _do(box, control.click)
            continue
        places = _places(control)
        place = dice.choice([places[0], places[-1], dice.choice(places)])
        problems += _do(box, lambda control=control, place=place: setattr(control, "value", place))
    return problems


def watch_threads() -> None:
    """From now on, remember in which threads callbacks run; see `threads`."""
    for box in explorers():
        for control in _parts(box, SLIDERS + CHOICES):
            control.observe(lambda _: _threads.add(threading.current_thread().name), "value")


def threads() -> list[str]:
    return sorted(_threads)

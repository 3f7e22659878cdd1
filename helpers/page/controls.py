"""Sliders and lists with a description, its unit in brackets; all of one width."""

from collections.abc import Sequence

import ipywidgets


def _style(description, width="480px"):
    style = {"description_width": "170px"}
    return {"description": description, "style": style, "layout": {"width": width}}


def slider(description: str, low, high, start, step, digits: int = 2):
    """A slider for numbers with so many digits after the point, or if `step` is an int for ints."""
    if not low < high or not low <= start <= high:
        raise ValueError(f"{description}: expected a start from {low} to {high}, got {start}")
    options = {"value": start, "min": low, "max": high, "step": step, **_style(description)}
    if isinstance(step, int):
        return ipywidgets.IntSlider(**options)
    return ipywidgets.FloatSlider(**options, readout_format=f".{digits}f")


def choice(description: str, names: Sequence[str], start: int = 0) -> ipywidgets.Dropdown:
    """A list of names; its value is the index, from 0."""
    if start not in range(len(names)):
        raise ValueError(f"{description}: expected a start below {len(names)}, got {start}")
    options = [(name, i) for i, name in enumerate(names)]
    style = _style(description, "300px" if max(map(len, names)) < 16 else "600px")
    return ipywidgets.Dropdown(options=options, value=start, **style)


def name_slider(description: str, names: Sequence[str]) -> ipywidgets.SelectionSlider:
    """A slider that shows names; its value is the index, from 0."""
    options = [(name, i) for i, name in enumerate(names)]
    return ipywidgets.SelectionSlider(options=options, **_style(description))


def image_choice(labels: Sequence[str], start: int):
    """Which image: by its name, or by its number if a name comes twice, as that of a digit."""
    if len(set(labels)) == len(labels):
        return choice("letter", labels, start)
    return slider("image (number)", 0, len(labels) - 1, start, 1)


def button(description: str) -> ipywidgets.Button:
    return ipywidgets.Button(description=description, layout={"width": "max-content"})


def main_control(controls: Sequence[ipywidgets.Widget]) -> ipywidgets.Widget | None:
    """The control along which a saved explorer moves: a slider, best of numbers; or a list."""
    kinds = ipywidgets.FloatSlider, ipywidgets.IntSlider, ipywidgets.SelectionSlider
    found = (c for kind in (*kinds, ipywidgets.Dropdown) for c in controls if isinstance(c, kind))
    return next(found, None)


def places(control: ipywidgets.Widget, most: int = 21) -> tuple[list[str], list, int]:
    """At most so many values of a slider or list, in equal steps, and where its value is in them.

    Gives their names, the values and the index; its value is always among them.
    """
    if hasattr(control, "options"):
        names, values = zip(*control.options, strict=True)
    else:
        count = round((control.max - control.min) / control.step)
        values = [min(control.min + i * control.step, control.max) for i in range(count + 1)]
        values[min(range(count + 1), key=lambda i: abs(values[i] - control.value))] = control.value
        digits = control.readout_format if isinstance(values[-1], float) else "d"
        names = [format(value, digits) for value in values]
    last, here = len(values) - 1, values.index(control.value)
    chosen = sorted({round(i * last / (most - 1)) for i in range(most)})
    nearest = min(range(len(chosen)), key=lambda i: abs(chosen[i] - here))
    chosen[nearest] = here
    return [names[i] for i in chosen], [values[i] for i in chosen], nearest

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

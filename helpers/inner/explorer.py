"""Controls, a picture and a line of text, joined; what `widgets.explorer` gives."""

import base64
from collections.abc import Callable, Sequence

import ipywidgets
import torch
from PIL import Image

from helpers import page
from helpers.page import pictures
from helpers.page.controls import main_control, places


class Explorer(ipywidgets.VBox):
    """Join controls and a function draw(*values) -> (PIL image, text).

    values: of the controls, in their order; of a button how often it was pressed. No gradients are
    recorded. If `draw` fails after a move, its error stands below the sliders, without a picture.
    """

    def __init__(self, controls: Sequence[ipywidgets.Widget], draw: Callable):
        controls = list(controls)
        self.controls, self.draw, self.paused = controls, draw, False
        self.clicks = {c: 0 for c in controls if isinstance(c, ipywidgets.Button)}
        self.picture = ipywidgets.Image(format="png", layout={"flex": "none"})
        self.text = ipywidgets.Label()
        self._show(*self._drawn())  # without `try`: what fails at once should fail here
        super().__init__([*controls, self.picture, self.text])
        for control in controls:
            if control in self.clicks:
                control.on_click(self._update)
            else:
                control.observe(self._update, names="value")

    @torch.no_grad()
    def _drawn(self, moved=None, value=None):
        values = [self.clicks.get(c, getattr(c, "value", None)) for c in self.controls]
        if moved is not None:
            values[self.controls.index(moved)] = value
        return self.draw(*values)

    def _drawn_or_error(self, *where):
        try:
            return self._drawn(*where)
        except Exception as error:  # in a callback it would be lost
            return Image.new("RGB", (1, 1), "white"), f"{type(error).__name__}: {error}"

    def _show(self, image, text):
        self.text.value, self.picture.value = text, pictures.png(image)
        self.picture.layout.width, self.picture.layout.height = (f"{n}px" for n in image.size)

    def _update(self, change):
        if isinstance(change, ipywidgets.Button):
            self.clicks[change] += 1
        if not self.paused:
            self._show(*self._drawn_or_error())

    def _repr_mimebundle_(self, **kwargs):
        """Where widgets can't be shown (a saved notebook, a web page) a flipbook moves."""
        still = {"text/plain": "Run this cell to get the sliders."}
        still["image/png"] = base64.b64encode(self.picture.value).decode()
        main = main_control(self.controls)
        if main is not None:
            names, values, start = places(main)
            frames = [self._drawn_or_error(main, value) for value in values]
            book = page.flipbook(main.description, names, frames, start)
            still["text/html"] = book._repr_html_()
        return super()._repr_mimebundle_(**kwargs) | still

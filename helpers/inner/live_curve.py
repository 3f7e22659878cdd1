"""The loss while `fit` trains; to be had from `widgets`."""

import time
from collections.abc import Mapping

from IPython.display import display
from matplotlib.figure import Figure

from helpers.plotting import line_style, plot_curves


class LiveCurve:
    """Shows the loss while `fit` trains: ``fit(..., on_epoch=LiveCurve(...))``, once a second.

    limits: known values of the loss, name -> value, drawn as lines.
    """

    def __init__(self, ylabel: str, limits: Mapping[str, float] | None = None):
        self.ylabel, self.limits, self.shown, self.handle = ylabel, limits or {}, 0.0, None

    def __call__(self, history) -> None:
        now = time.perf_counter()
        if not history.loss or (not history.seconds and now - self.shown < 1):
            return
        self.shown = now
        figure = Figure(figsize=(6, 2.8), dpi=80, layout="constrained")  # not of pyplot: no leak
        curves = {"training": (history.epochs, history.loss)}
        ax = plot_curves(curves, "epochs", self.ylabel, ax=figure.add_subplot())
        for i, (name, value) in enumerate(self.limits.items(), start=2):
            ax.axhline(value, **line_style(i), label=name)
        ax.legend(fontsize=8)
        ax.set_title(f"epoch {history.epochs[-1]}: {history.loss[-1]:.4f}", fontsize=9)
        ax.locator_params(axis="x", integer=True)
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)

"""Sliders. An explorer is made of ordinary ipywidgets: controls, one picture, a line of text.

`explorer(controls, draw)` calls your function `draw` after every move. Random numbers of an
explorer come from a generator of its own: moving a slider never changes a training.
Images are (N, 1, H, W) in [0, 1] and have N names, `labels`. Wrong arguments raise ValueError.
"""

import base64
import time
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import torch
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from helpers import noise, page
from helpers.evaluation import pixel_errors, psnr
from helpers.losses import kl_divergence
from helpers.models import VariationalAutoencoder
from helpers.page import pictures
from helpers.page.controls import (
    button,
    choice,
    image_choice,
    main_control,
    name_slider,
    places,
    slider,
)
from helpers.page.pictures import beside, gauge, panels
from helpers.plotting import line_style, plot_curves

__all__ = ["beside", "gauge", "name_slider", "panels"]  # for explorers of the notebooks


class Explorer(ipywidgets.VBox):
    """Controls, the picture and a line of text, one below the other."""

    def __init__(self, controls: Sequence[ipywidgets.Widget], draw: Callable):
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


def explorer(controls: Sequence[ipywidgets.Widget], draw: Callable) -> Explorer:
    """Join controls and a function draw(*values) -> (PIL image, text).

    values: of the controls, in their order; of a button how often it was pressed. No gradients are
    recorded. If `draw` fails after a move, its error stands below the sliders, without a picture.
    """
    return Explorer(list(controls), draw)


def psnr_caption(pixels: Tensor, image: Tensor) -> str:
    """A caption for `noise_explorer`: the PSNR of one picture."""
    return f"{psnr(pixels, image).item():.1f} dB"


def error_caption(pixels: Tensor, image: Tensor) -> str:
    """A caption for `noise_explorer`: how many pixels are wrong once the picture is cut at 0.5."""
    return f"wrong pixels: {int(pixel_errors(pixels.clamp(0, 1), image))}"


KINDS = {"Gaussian (sigma)": noise.gaussian, "salt and pepper (p)": noise.salt_and_pepper}


def noise_explorer(
    images, labels, denoisers=None, captions=None, kinds=KINDS, level=0.5, most=1.0, start=0, seed=0
) -> Explorer:
    """Choose an image, the kind of noise and its level: original, noisy, and what denoisers make.

    denoisers: name -> function from noisy images (1, 1, H, W) and the level to pixel values.
    captions: functions (pixels, image) -> text, below every picture but the original; by default
    `psnr_caption`.
    kinds: name -> function (images, level, generator=...). level, most: start and end of its
    slider. start: index of an image. The noise, from `seed`, stays until the button is pressed.
    """
    pictures.check_images(images, labels)
    names, captions = list(kinds), [psnr_caption] if captions is None else captions

    def draw(index, kind, level, draws):
        image, generator = images[index : index + 1], torch.Generator().manual_seed(seed + draws)
        noisy = kinds[names[kind]](image, level, generator=generator)
        outputs = {f"noisy, {level:.3f}": noisy}
        for name, denoise in (denoisers or {}).items():
            outputs[name] = denoise(noisy.clone(), level).reshape(image.shape)
        shown = {f"original\n{labels[index]}" + "\n" * (len(captions) - 1): image}
        for name, pixels in outputs.items():
            shown["\n".join([name, *(caption(pixels, image) for caption in captions)])] = pixels
        return panels(shown, 168), f"{names[kind]}, level {level:.3f}, draw {draws + 1}"

    which, what = image_choice(labels, start), choice("kind of noise", names)
    how_much = slider("noise level (sigma or p)", 0, most, level, most / 100, digits=3)
    again = button("new draw of the noise")
    if len(names) > 1:
        return explorer([which, what, how_much, again], draw)
    return explorer([which, how_much, again], lambda index, *values: draw(index, 0, *values))


def latent_explorer(model, images, labels, start: Sequence[float]) -> Explorer:
    """Two sliders for a 2-D code, from `start` on; its place on the map, and what it decodes to."""
    codes, paper = pictures.codes_of(model, images, labels), pictures.paper_of(images)
    if codes.shape[1] != 2 or len(start) != 2:
        got = f"{codes.shape[1]} and {len(start)}"
        raise ValueError(f"expected codes and a start of 2 numbers, got {got}")
    bounds = pictures.code_bounds(model, codes)
    background, place = pictures.code_map(codes, images, labels, bounds)

    def draw(z1, z2):
        shown, text = pictures.decoded(model, torch.tensor([[z1, z2]]), images, labels)
        left = pictures.marked(background, [place(z1, z2)])
        return beside(left, panels(shown, paper=paper)), text

    sliders = [
        slider(f"z{i + 1} (code, no unit)", low, high, start[i], (high - low) / 100)
        for i, (low, high) in enumerate(bounds)
    ]
    return explorer(sliders, draw)


def interpolation_explorer(model, images, labels, start, path=torch.lerp) -> Explorer:
    """A slider that walks from the code of one image to that of another; start: their names.

    path: a function from two codes (latent_dim,) and the share t in [0, 1] of the way to a code.
    """
    codes, paper = pictures.codes_of(model, images, labels), pictures.paper_of(images)
    if not set(start) <= set(labels):
        raise ValueError(f"start: expected two of the labels, got {start}")
    letters = pictures.are_letters(images)

    def draw(first, second, t):
        code = path(codes[first], codes[second], t).unsqueeze(0)
        shown, text = pictures.decoded(model, code, images, labels)
        ends = [f"from {labels[first]}", f"to {labels[second]}"] if letters else ["from", "to"]
        shown = {ends[0]: images[first], **shown, ends[1]: images[second]}
        text = text if letters else f"From {labels[first]} to {labels[second]}. {text}"
        return panels(shown, 200 if letters else 160, paper), text

    what, (first, second) = "letter" if letters else "image", map(list(labels).index, start)
    ends = choice(f"from {what}", labels, first), choice(f"to {what}", labels, second)
    return explorer([*ends, slider("t (share of the way)", 0, 1, 0.5, 0.01)], draw)


def dimension_explorer(model: VariationalAutoencoder, images, labels) -> Explorer:
    """A slider from -3 to 3 for each number of the code, with its KL divergence.

    The list sets all sliders to the mean code of an image. The lines on the left show those of all.
    """
    if not isinstance(model, VariationalAutoencoder):
        raise ValueError(f"expected a VariationalAutoencoder, got {type(model).__name__}")
    codes, paper = pictures.codes_of(model, images, labels).clamp(-3, 3), pictures.paper_of(images)
    with torch.no_grad():
        divergences = kl_divergence(*model.encode(images)).mean(dim=0)
    background, place = pictures.code_lines(codes, divergences, 3)

    def draw(index, *values):
        shown, text = pictures.decoded(model, torch.tensor([values]), images, labels)
        left = pictures.marked(background, [place(i, z) for i, z in enumerate(values)], radius=5)
        return beside(left, panels({"start": images[index], **shown}, 160, paper)), text

    def go_to(change):
        result.paused = True  # one picture when all have moved, not one for each
        for one, value in zip(sliders, codes[change.new].tolist(), strict=True):
            one.value = value
        result.paused = False

    sliders = [
        slider(f"z{i + 1} (its KL: {nats:.2f} nats)", -3.0, 3.0, float(codes[0, i]), 0.05)
        for i, nats in enumerate(divergences)
    ]
    chooser = choice("start from", labels)
    chooser.observe(go_to, names="value")
    result = explorer([chooser, *sliders], draw)
    return result


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
        if history.validation:
            curves["validation"] = (history.epochs, history.validation)
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

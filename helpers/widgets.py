"""Sliders. Each explorer is made of ordinary ipywidgets: controls, one picture that stays, and a line of text.

A move calls a `draw` function that makes a small picture with PIL; no figure is made in a callback. Each explorer
draws its random numbers from a generator of its own, so moving a slider never changes a training.
"""

import base64
import io
from collections.abc import Callable, Sequence

import ipywidgets as widgets
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from helpers.evaluation import nearest, outlier_score
from helpers.plotting import plot_codes

MAP_SIDE = 400  # pixels, like all sizes below
MARK, MARK_EDGE = (0, 0, 0), (255, 255, 255)


@torch.no_grad()
def latent_explorer(model: nn.Module, images: Tensor, labels: Sequence[str], start: Sequence[float] | None = None):
    """Two sliders that move through a 2-D latent plane; the decoded image follows, its place is marked on the map.

    images (N, 1, H, W) and their labels are drawn on the map. start: the first code, by default the middle of the map.
    """
    codes = model.encode(images)
    if codes.shape[1] != 2:
        raise ValueError(f"latent_explorer: expected a model with latent_dim 2, got {codes.shape[1]}")
    low, high = codes.min(dim=0).values.tolist(), codes.max(dim=0).values.tolist()
    bounds = [_round_bounds(a, b) for a, b in zip(low, high, strict=True)]
    background, place = _map(codes, labels, bounds)

    @torch.no_grad()
    def draw(z1, z2):
        pixels = torch.sigmoid(model.decode(torch.tensor([[z1, z2]])))
        distance, index = nearest(pixels, images)
        left = background.copy()
        _mark(left, *place(z1, z2))
        right = _panels(images.shape, {"decoded": pixels, "cut at 0.5": (pixels > 0.5).float()})
        return _beside(left, right), _describe(distance, index, labels)

    start = [(a + b) / 2 for a, b in bounds] if start is None else start
    sliders = [
        widgets.FloatSlider(
            start[i], min=a, max=b, step=(b - a) / 100, readout_format=".2f", **_wide(f"z{i + 1} (code, no unit)")
        )
        for i, (a, b) in enumerate(bounds)
    ]
    return _explorer(sliders, draw)


@torch.no_grad()
def interpolation_explorer(model: nn.Module, images: Tensor, labels: Sequence[str], start: Sequence[str] | None = None):
    """A slider that walks in a straight line from the code of one image to the code of another.

    start: the labels of the first pair, by default the first and the second image.
    """
    codes = model.encode(images)

    @torch.no_grad()
    def draw(first, second, t):
        pixels = torch.sigmoid(model.decode(torch.lerp(codes[first], codes[second], t).unsqueeze(0)))
        distance, index = nearest(pixels, images)
        ends = {f"from {labels[first]}": images[first], "decoded": pixels, "cut at 0.5": (pixels > 0.5).float()}
        return _panels(images.shape, {**ends, f"to {labels[second]}": images[second]}), _describe(
            distance, index, labels
        )

    first, second = (labels.index(label) for label in start) if start else (0, 1)
    controls = [
        _choice("from letter", labels, first),
        _choice("to letter", labels, second),
        widgets.FloatSlider(0.5, min=0, max=1, step=0.01, **_wide("t (share of the way)")),
    ]
    return _explorer(controls, draw)


def outlier_explorer(
    model: nn.Module, images: Tensor, labels: Sequence[str], threshold: float, start: str, seed: int = 0
):
    """A slider that flips more and more pixels of one image, with the outlier score of the result.

    images (N, 1, H, W) with values 0 and 1. threshold: a score above it is called an outlier. The pixels are flipped in
    a random order that stays the same until the button is pressed.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = images[0].numel()
    order = torch.randperm(pixels, generator=generator)

    @torch.no_grad()
    def draw(index, flips):
        image = images[index : index + 1].clone()
        image.view(-1)[order[:flips]] = 1 - image.view(-1)[order[:flips]]
        score = float(outlier_score(model, image))
        panels = {labels[index]: images[index], "flipped": image, "decoded": torch.sigmoid(model(image))}
        verdict = "an outlier" if score > threshold else "not an outlier"
        text = f"outlier score {score:.3f}, threshold {threshold:.3f}: {verdict}"
        return _beside(_panels(images.shape, panels), _gauge(score, threshold)), text

    def new_order(_):
        order.copy_(torch.randperm(pixels, generator=generator))
        explorer.update()

    letter = _choice("letter", labels, labels.index(start))
    flips = widgets.IntSlider(0, min=0, max=pixels, **_wide("flipped pixels (count)"))
    explorer = _explorer([letter, flips], draw)
    button = widgets.Button(description="flip other pixels")
    button.on_click(new_order)
    explorer.children = (letter, flips, button, *explorer.children[2:])
    return explorer


# ---- the parts that the explorers share ------------------------------------------------------------------------------


class Explorer(widgets.VBox):
    """Controls, the picture and a line of text, one below the other. `update` draws again.

    Where widgets can't be shown (a saved notebook, a page on the web) there is a still picture in its place.
    """

    update: Callable[[], None]

    def _repr_mimebundle_(self, **kwargs):
        picture = next(child for child in self.children if isinstance(child, widgets.Image))
        still = {
            "text/plain": "Run this cell to get the sliders.",
            "image/png": base64.b64encode(picture.value).decode(),
        }
        return super()._repr_mimebundle_(**kwargs) | still


def _explorer(controls, draw):
    """Join controls and a function draw(*values) -> (PIL image, text) into an Explorer."""
    picture, text = widgets.Image(format="png"), widgets.Label()

    def update(_=None):
        image, text.value = draw(*(control.value for control in controls))
        picture.value = _png(image)
        picture.layout = widgets.Layout(width=f"{image.width}px", height=f"{image.height}px", flex="none")

    update()
    for control in controls:
        control.observe(update, names="value")
    explorer = Explorer([*controls, picture, text])
    explorer.update = update
    return explorer


def _wide(description):
    return {"description": description, "style": {"description_width": "170px"}, "layout": {"width": "480px"}}


def _choice(description, labels, index):
    options = [(label, i) for i, label in enumerate(labels)]
    return widgets.Dropdown(
        options=options,
        value=index,
        description=description,
        style={"description_width": "170px"},
        layout={"width": "300px"},
    )


def _round_bounds(low, high):
    """The range of a slider: (0, 1) for codes that lie in it, else the range of the codes and a little more."""
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    margin = 0.15 * (high - low)
    return round(low - margin, 2), round(high + margin, 2)


def _map(codes, labels, bounds):
    """The map of the codes as a picture, and a function from a code to its place on it. Made once for each explorer."""
    figure = Figure(figsize=(MAP_SIDE / 80, MAP_SIDE / 80), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    ax = plot_codes(codes, labels, ax=figure.add_subplot())
    (a, b), (c, d) = bounds
    ax.set(xlim=(a - 0.08 * (b - a), b + 0.08 * (b - a)), ylim=(c - 0.08 * (d - c), d + 0.08 * (d - c)))
    canvas.draw()
    transform = ax.transData.frozen()

    def place(z1, z2):
        x, y = transform.transform((z1, z2))
        return x, MAP_SIDE - y

    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), place


def _mark(picture, x, y, radius=7):
    """A ring with a cross: black with a white edge, to be seen on any ground."""
    draw = ImageDraw.Draw(picture)
    for colour, width in ((MARK_EDGE, 5), (MARK, 2)):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        draw.line((x - radius - 6, y, x + radius + 6, y), fill=colour, width=width - 1)
        draw.line((x, y - radius - 6, x, y + radius + 6), fill=colour, width=width - 1)


def _panels(shape, panels, height=200):
    """Images side by side, enlarged, a caption below each. shape: (N, 1, H, W); values 0 to 1, 1 is black ink."""
    scale = height // shape[-2]
    size = (scale * shape[-1], scale * shape[-2])
    sheet = Image.new("RGB", ((size[0] + 16) * len(panels), size[1] + 40), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, (caption, pixels) in enumerate(panels.items()):
        grey = (255 - 255 * pixels.reshape(shape[-2:])).round().byte().numpy()
        left = i * (size[0] + 16) + 8
        sheet.paste(Image.fromarray(grey).resize(size, Image.Resampling.NEAREST), (left, 8))
        pen.rectangle((left - 1, 7, left + size[0], 8 + size[1]), outline="grey")
        pen.text((left + size[0] / 2, size[1] + 14), caption, fill="black", font=font, anchor="ma")
    return sheet


def _gauge(score, threshold, height=200, top=0.3):
    """An upright bar for a score, from 0 to `top`, with a line at the threshold."""
    sheet = Image.new("RGB", (150, height + 40), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    bottom = 8 + height
    score_y, threshold_y = (bottom - height * min(value, top) / top for value in (score, threshold))
    pen.rectangle((20, score_y, 60, bottom), fill="#D55E00" if score > threshold else "#0072B2")
    pen.rectangle((20, 8, 60, bottom), outline="grey")
    pen.line((12, threshold_y, 68, threshold_y), fill="black", width=2)
    pen.text((84, threshold_y), "threshold", fill="black", font=font, anchor="ld")
    for value, y in ((0, bottom), (top, 8)):
        pen.text((72, y), f"{value:g}", fill="black", font=font, anchor="ld" if value == 0 else "lm")
    pen.text((40, height + 14), "score", fill="black", font=font, anchor="ma")
    return sheet


def _beside(left, right):
    sheet = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    sheet.paste(left, (0, (sheet.height - left.height) // 2))
    sheet.paste(right, (left.width, (sheet.height - right.height) // 2))
    return sheet


def _describe(distance, index, labels):
    name, count = labels[int(index)], int(distance)
    if count == 0:
        return f"This is the letter {name}."
    return f"Not a letter of the set: the nearest one, {name}, differs in {count} pixel{'s' if count > 1 else ''}."


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "png", compress_level=1)
    return buffer.getvalue()

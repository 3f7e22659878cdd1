"""Small pictures of sliders and maps, drawn with PIL: a move makes no figure."""

import io
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from helpers.evaluation import nearest, rms_distances
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.plotting import COLOURS, plot_codes, plot_thumbnails

Network = Autoencoder | VariationalAutoencoder
MAP_SIDE = 400  # pixels, like all sizes below
LINE_LEFT, LINE_WIDTH, LINE_GAP = 100, 240, 34


def check_images(images: Tensor, labels: Sequence[str]) -> None:
    """Raise ValueError for anything but finite images (N, 1, H, W), at least one, and N names."""
    if images.dim() != 4 or not len(images) or not images.isfinite().all():
        shape = tuple(images.shape)
        raise ValueError(f"images: expected finite ones, (N, 1, H, W), N >= 1, got shape {shape}")
    if len(labels) != len(images) or not all(isinstance(label, str) for label in labels):
        kind = type(labels[0]).__name__ if len(labels) else "none"
        expected = f"{len(images)} names, such as [str(label) for label in labels]"
        raise ValueError(f"labels: expected {expected}, got {len(labels)} labels of type {kind}")


@torch.no_grad()
def codes_of(model: Network, images: Tensor, labels: Sequence[str]) -> Tensor:
    """The code of each image, (N, latent_dim); the mean if the model gives mean and variance."""
    check_images(images, labels)
    codes = model.encode(images)
    codes = codes[0] if isinstance(codes, tuple) else codes
    if not codes.isfinite().all():
        raise ValueError("model: expected finite codes, got NaN or inf: its training has diverged")
    return codes


def code_bounds(model: Network, codes: Tensor) -> list[tuple[float, float]]:
    """The range of each number of a code: (0, 1) if all lie in it, else theirs and a little more.

    That of a variational autoencoder is at least 2 wide, also where all codes are alike.
    """
    variational, bounds = isinstance(model, VariationalAutoencoder), []
    for low, high in zip(codes.amin(dim=0).tolist(), codes.amax(dim=0).tolist(), strict=True):
        if low >= 0 and high <= 1 and not variational:
            bounds.append((0.0, 1.0))
            continue
        least = 2.0 if variational else 0.1
        margin = max(0.15 * (high - low), (least - (high - low)) / 2)
        bounds.append(
            (math.floor(100 * (low - margin)) / 100, math.ceil(100 * (high + margin)) / 100)
        )
    return bounds


def are_letters(images: Tensor) -> bool:
    """Letters have pixels 0 and 1, ink on white paper; other images are shown as light on black."""
    return bool(((images == 0) | (images == 1)).all())


def paper_of(images: Tensor) -> str:
    return "white" if are_letters(images) else "black"


def decoded(
    model: Network, code: Tensor, images: Tensor, labels: Sequence[str]
) -> tuple[dict[str, Tensor], str]:
    """What a code (1, latent_dim) decodes to, for `panels`, and a line about the nearest image."""
    pixels = torch.sigmoid(model.decode(code))
    if not are_letters(images):
        distance, index = rms_distances(pixels, images).min(dim=1)
        what = f"{labels[int(index)]}, at a distance of {float(distance):.3f} (root mean square)"
        shown = {"decoded": pixels, "nearest of the set": images[int(index)]}
        return shown, f"The nearest image of the set is {what}."
    shown = {"decoded": pixels, "thresholded": (pixels > 0.5).float()}
    count, which = (int(number) for number in nearest(pixels, images))
    if count == 0:
        return shown, f"This is the letter {labels[which]}."
    differs = f"differs in {count} pixel{'s' if count > 1 else ''}"
    return shown, f"Not a letter of the set: the nearest one, {labels[which]}, {differs}."


def panels(pictures: Mapping[str, Tensor], height: int = 200, paper: str = "white") -> Image.Image:
    """Images side by side, enlarged to about `height` pixels, with a caption below each.

    pictures: caption -> one image (..., H, W) in [0, 1]. 1 is black ink on white paper, or with
    ``paper="black"`` light on black.
    """
    rows, columns = next(iter(pictures.values())).shape[-2:]
    scale = height // rows
    width, height = scale * columns, scale * rows
    lines = max(caption.count("\n") for caption in pictures)
    sheet = Image.new("RGB", ((width + 16) * len(pictures), height + 40 + 18 * lines), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for i, (caption, pixels) in enumerate(pictures.items()):
        light = pixels.detach().reshape(rows, columns).clamp(0, 1)
        grey = (255 * (light if paper == "black" else 1 - light)).round().byte().numpy()
        left = i * (width + 16) + 8
        sheet.paste(
            Image.fromarray(grey).resize((width, height), Image.Resampling.NEAREST), (left, 8)
        )
        pen.rectangle((left - 1, 7, left + width, 8 + height), outline="grey")
        below = (left + width / 2, height + 14)
        pen.text(below, caption, fill="black", font=font, anchor="ma", align="center")
    return sheet


def sheet(images: Tensor) -> Tensor:
    """Images (N, 1, H, W) side by side in rows, as one image (H', W')."""
    padded = torch.nn.functional.pad(images, (0, 2, 0, 2))
    across = math.ceil(math.sqrt(len(images) * padded.shape[-2] / padded.shape[-1]))
    blank = padded.new_zeros(-len(images) % across, *padded.shape[1:])
    grid = torch.cat([padded, blank]).unflatten(0, (-1, across)).squeeze(2)
    return grid.transpose(1, 2).flatten(0, 1).flatten(1)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures side by side."""
    size = left.width + right.width, max(left.height, right.height)
    sheet = Image.new("RGB", size, "white")
    sheet.paste(left, (0, (sheet.height - left.height) // 2))
    sheet.paste(right, (left.width, (sheet.height - right.height) // 2))
    return sheet


def code_map(codes, images, labels, bounds):
    """The map of 2-D codes as a picture, and a function from a code to its place on it."""
    figure = Figure(figsize=(MAP_SIDE / 80, MAP_SIDE / 80), dpi=80, layout="constrained")
    canvas, ax = FigureCanvasAgg(figure), figure.add_subplot()
    if are_letters(images):
        plot_codes(codes, labels, ax=ax)
    else:
        plot_thumbnails(codes, images, ax=ax, zoom=0.9)
    (a, b), (c, d) = bounds
    ax.set(xlim=(a - 0.08 * (b - a), b + 0.08 * (b - a)))
    ax.set(ylim=(c - 0.08 * (d - c), d + 0.08 * (d - c)))
    canvas.draw()
    transform = ax.transData.frozen()

    def place(z1, z2):
        x, y = transform.transform((z1, z2))
        return x, MAP_SIDE - y

    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"), place


def code_lines(codes: Tensor, divergences: Tensor, bound: float):
    """A line for each dimension from -bound to bound: its KL, a tick for the code of each image.

    And a function from a dimension and a value to its place.
    """
    size = LINE_LEFT + LINE_WIDTH + 20, LINE_GAP * (codes.shape[1] + 1)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)

    def place(i, value):
        return LINE_LEFT + LINE_WIDTH * (value + bound) / (2 * bound), LINE_GAP * (i + 0.5)

    for i, values in enumerate(codes.T.tolist()):
        (left, y), (right, _) = place(i, -bound), place(i, bound)
        pen.line((left, y, right, y), fill="grey")
        name = f"z{i + 1}, KL {divergences[i]:.2f}"
        pen.text((left - 10, y), name, fill="black", font=font, anchor="rm")
        for x, _ in (place(i, value) for value in values):
            pen.line((x, y - 6, x, y + 6), fill=COLOURS[1])
    for end in (-bound, bound):
        below = place(codes.shape[1] - 0.2, end)
        pen.text(below, f"{end:g}", fill="black", font=font, anchor="mm")
    return sheet, place


def marked(picture: Image.Image, places, radius: int = 7) -> Image.Image:
    """A copy with a ring and a cross at each place: black with a white edge, seen on any ground."""
    picture = picture.copy()
    draw, r, arm = ImageDraw.Draw(picture), radius, radius + 6
    for x, y in places:
        for colour, width in (("white", 5), ("black", 2)):
            draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=width)
            draw.line((x - arm, y, x + arm, y), fill=colour, width=width - 1)
            draw.line((x, y - arm, x, y + arm), fill=colour, width=width - 1)
    return picture


def png(image: Image.Image, compress_level: int = 1) -> bytes:
    return encoded(image, "png", compress_level=compress_level)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The picture as a file of this kind, with the options of PIL for it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()

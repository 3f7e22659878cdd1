"""Figures. Functions take arrays or tensors, and give back the Axes or the Figure.

`ax`: where to draw, by default on a new figure. `labels`: names, one for each image. `curves`,
`results`, `limits`: dictionaries, name -> what to draw. No global setting is changed.
Colours are those of Okabe & Ito (2008), safe for the colour-blind; dashes and marks differ, too.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import LogLocator

from helpers.inner.drawing import blocks_of, draw_blocks
from helpers.inner.expect import expect

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")
GREY: dict = {"vmin": 0, "vmax": 1, "interpolation": "nearest"}
PAPER = {"white": (GREY | {"cmap": "gray_r"}, 0.2), "black": (GREY | {"cmap": "gray"}, 1.0)}
PLANE = {"xlabel": "z1 (first number of the code)", "ylabel": "z2 (second number of the code)"}


def line_style(i: int) -> dict:
    """Colour and dashes of the i-th line: keyword arguments for matplotlib."""
    return {"color": COLOURS[i % 7], "linestyle": DASHES[i % 7]}


def _new_axes(width, height):
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _sheet(cells, between, gap, top=0):
    """Images (lines, sets, columns, H, W) as one, a gap before each, room above each line."""
    cells = np.pad(cells, [(0, 0)] * 3 + [(gap, 0)] * 2, constant_values=between)
    lines, sets, columns, height, width = cells.shape
    blocks = cells.swapaxes(2, 3).reshape(lines, sets * height, columns * width)
    blocks = np.pad(blocks, ((0, 0), (top, 0), (0, 0)), constant_values=between)
    return blocks.reshape(-1, columns * width)


def show_images(rows, labels=None, names=None, columns=16, paper="white") -> Figure:
    """Grey images in a grid: 1 is black ink on white paper, or with ``paper="black"`` light.

    rows: images (N, 1, H, W) in [0, 1], or a list of such sets, drawn one below the other.
    labels: titles, above the first set. names: of the sets. columns: images side by side.
    """
    expect(paper in PAPER, f"paper: expected one of {list(PAPER)}", repr(paper))
    colours, between = PAPER[paper]  # the second: the value between the images
    rows = rows if isinstance(rows, list | tuple) else [rows]
    sets = np.stack([np.asarray(images, dtype=float) for images in rows])
    count, (height, width), columns = sets.shape[1], sets.shape[-2:], min(columns, sets.shape[1])
    lines, gap, top = -(-count // columns), max(1, width // 5), height // 2 if labels else 0
    missing = (0, 0), (0, lines * columns - count), (0, 0), (0, 0)
    cells = np.pad(sets.reshape(-1, count, height, width), missing, constant_values=between)
    cells = cells.reshape(len(sets), lines, columns, height, width).swapaxes(0, 1)
    sheet = np.pad(_sheet(cells, between, gap, top), ((0, gap), (0, gap)), constant_values=between)
    left, block = 0.9 if names else 0.1, top + len(sets) * (height + gap)  # inches; pixels
    wide, high = 0.55 * columns + left, 0.55 * columns * sheet.shape[0] / sheet.shape[1]
    figure, ax = plt.subplots(figsize=(wide, high))
    for i, label in enumerate(labels or []):
        line, column = divmod(i, columns)
        x, y = gap + column * (width + gap) + width / 2 - 0.5, top + gap + line * block - 1
        ax.text(x, y, label, fontsize=8, ha="center", va="bottom")
    for i, name in enumerate([*(names or [])] * lines):
        line, s = divmod(i, len(sets))
        y = top + gap + line * block + s * (height + gap) + height / 2
        ax.text(-0.5 - gap, y, name, fontsize=9, ha="right", va="center")
    ax.imshow(sheet, **colours)
    ax.set_axis_off()
    figure.subplots_adjust(left / wide if names else 0.01, 0.01, 0.99, 0.99)
    return figure


def show_grid(images, ax=None, extent=(0, 1, 0, 1), paper="white") -> Axes:
    """Decoded images (n, n, 1, H, W) of a grid of codes as one picture: z1 to the right, z2 up.

    extent: lowest and highest z1, lowest and highest z2. paper: as in `show_images`.
    """
    expect(paper in PAPER, f"paper: expected one of {list(PAPER)}", repr(paper))
    colours, between = PAPER[paper]  # the second: the value between the images
    ax, images = ax or _new_axes(7.5, 9), np.asarray(images)
    (n, m), (left, right, bottom, top) = images.shape[:2], extent
    sheet = _sheet(images[::-1].swapaxes(1, 2), between, gap=1)
    x, y = (right - left) / (m - 1), (top - bottom) / (n - 1)  # from one code to the next
    edges = (left - x / 2, right + x / 2, bottom - y / 2, top + y / 2)
    ax.imshow(sheet, **colours, extent=edges, aspect="auto")
    ax.set(**PLANE, box_aspect=sheet.shape[0] / sheet.shape[1])  # pixels are squares
    return ax


def plot_curves(curves, xlabel, ylabel, ax=None, log: bool = False) -> Axes:
    """One line for each name. A curve is (x, values), values (len(x),) or (len(x), seeds).

    With seeds the line is their mean, the band all of them. log: a logarithmic scale of the values.
    """
    ax = ax or _new_axes(7, 3.6)
    for i, (name, (x, values)) in enumerate(curves.items()):
        seeds = np.asarray(values).reshape(len(x), -1)
        marks = {"marker": MARKS[i % 7], "markevery": max(1, len(x) // 8), "markersize": 5}
        ax.plot(x, seeds.mean(axis=1), **line_style(i), **marks, label=name)
        if seeds.shape[1] > 1:
            lowest, highest = seeds.min(axis=1), seeds.max(axis=1)
            ax.fill_between(x, lowest, highest, color=COLOURS[i % 7], alpha=0.15, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set(major_formatter="{x:g}", minor_formatter="")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return ax


def plot_intervals(results, xlabel, limits=None, ax=None, log: bool = False) -> Axes:
    """Results (mean, low, high), one below the other, and limits (known values) as lines.

    log: a scale that is logarithmic above 1 and linear below.
    """
    ax = ax or _new_axes(7, 0.7 + 0.33 * len(results))
    mean, low, high = np.asarray([*results.values()]).T
    bars = np.maximum(0, [mean - low, high - mean])
    ax.errorbar(mean, range(len(mean)), xerr=bars, fmt="o", color=COLOURS[0], capsize=4)
    for i, (name, value) in enumerate((limits or {}).items(), start=1):
        ax.axvline(value, **line_style(i), label=name)
    ax.set(xlabel=xlabel, ylim=(len(results) - 0.5, -0.5))
    ax.set_yticks(range(len(results)), list(results))
    if log:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(left=-0.1)
        ax.xaxis.set_major_formatter("{x:g}")
    else:
        ax.locator_params(axis="x", nbins=6)
    ax.grid(alpha=0.3, axis="x")
    if limits:
        ax.legend(fontsize=8)
    return ax


def plot_codes(codes, labels, ax=None, title="") -> Axes:
    """A map of 2-D codes (N, 2): each point with its label beside it."""
    ax, codes = ax or _new_axes(5, 5), np.asarray(codes)
    ax.scatter(*codes.T, s=14, color=COLOURS[1], zorder=2)
    beside = {"xytext": (4, 2), "textcoords": "offset points", "family": "monospace"}
    for code, label in zip(codes, labels, strict=True):
        ax.annotate(label, code, **beside)
    ax.set(**PLANE, title=title)
    ax.margins(0.1)
    ax.grid(alpha=0.3)
    return ax


def plot_thumbnails(codes, images, ax, title="", zoom=1.0) -> Axes:
    """A map of 2-D codes (N, 2): each image (N, 1, H, W) as a small picture, light on black.

    zoom: points on the page for each pixel. ValueError for codes of another shape.
    """
    codes, shape = np.asarray(codes), (len(images), 2)
    expect(codes.shape == shape, f"codes: expected shape {shape}", codes.shape)
    ax.scatter(*codes.T, s=4, color=COLOURS[1])
    ax.locator_params(nbins=4)
    ax.set(**PLANE, title=title)
    ax.margins(0.08)
    ax.grid(alpha=0.3)
    for point, image in zip(codes, np.asarray(images), strict=True):
        picture = OffsetImage(image[0], zoom=zoom, cmap="gray", norm=plt.Normalize(0, 1))
        ax.add_artist(AnnotationBbox(picture, point, frameon=False))
    return ax


def plot_basins(letters, distances, codes, labels, extent, ax=None) -> Axes:
    """A map of a decoder: which letter it draws where.

    letters (n, n): index of the letter nearest to the pattern decoded at each point of a grid, z1
    along the second dimension; distances (n, n): by how many pixels it differs. Lines separate the
    basins of the letters; on white the decoded pattern is that letter, on grey it differs.
    codes (N, 2), labels: of the letters. extent: lowest and highest z1, lowest and highest z2.
    """
    ax = plot_codes(codes, labels, ax=ax or _new_axes(7, 7))
    ground = np.where(np.asarray(distances) == 0, 1.0, 0.85)
    ground[:, 1:][np.diff(letters, axis=1) != 0] = 0.45
    ground[1:][np.diff(letters, axis=0) != 0] = 0.45
    place = {"origin": "lower", "extent": extent, "aspect": "auto", "zorder": 0}
    ax.imshow(ground, cmap="gray", vmin=0, vmax=1, **place)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    ax.grid(False)
    return ax


def plot_heat_map(values, rows, columns, xlabel, ylabel, title, ax=None, digits=2) -> Axes:
    """A table in shades, with its numbers (z: never -0.00). values: (rows, columns), with names."""
    ax, values = ax or _new_axes(6, 4.5), np.asarray(values)
    ax.imshow(values, cmap="cividis", aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        ink = "white" if value <= (values.min() + values.max()) / 2 else "black"
        ax.text(j, i, f"{value:z.{digits}f}", ha="center", va="center", color=ink, fontsize=9)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    return ax


def plot_errors(errors, labels, ax=None, title="") -> Axes:
    """A bar for each image: how many of its pixels are wrong."""
    ax, errors = ax or _new_axes(8, 2.2), np.asarray(errors)
    ax.bar(range(len(labels)), errors, color=COLOURS[0])
    ax.set(xlabel="letter", ylabel="wrong pixels (of 35)", title=title)
    ax.set_xticks(range(len(labels)), labels, family="monospace")
    ax.margins(x=0.01)
    ax.yaxis.get_major_locator().set_params(integer=bool(np.all(errors % 1 == 0)))
    return ax


def plot_network(model, ax=None, title="") -> Axes:
    """The layers of a network of `models` as blocks; ValueError for another network.

    A dense layer is as high as its width (log scale); those of a U-Net as their resolution,
    written for images of 28 x 28.
    """
    blocks, skips = blocks_of(model)
    ax = ax or _new_axes(1.1 * len(blocks), 2.6)
    draw_blocks(ax, blocks, skips, COLOURS)
    ax.set_title(title, fontsize=10)
    return ax

"""Figures. Every function takes arrays or tensors and gives back the Axes or the Figure; none changes a global setting.

Colours are those of Okabe & Ito (2008), safe for the colour-blind; lines also differ in their dashes and marks.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import LogLocator
from mpl_toolkits.mplot3d.proj3d import proj_transform

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P", "X")
PAPER = {"white": "gray_r", "black": "gray"}  # the colour of pixels with value 0 -> colour map


def show_images(
    rows,
    labels: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    columns: int = 16,
    paper: str = "white",
) -> Figure:
    """Grey images in a grid: black ink on white paper for values 1 and 0, or white on black with ``paper="black"``.

    rows: images (N, 1, H, W) in [0, 1], or a list of several such sets, drawn one below the other for comparison.
    labels: a title for each image, above the first set.    names: a name for each set.    columns: images side by side.
    """
    colour_map = _colour_map(paper)
    sets = [np.asarray(images) for images in (rows if isinstance(rows, (list, tuple)) else [rows])]
    height, width = sets[0].shape[-2:]
    columns = min(columns, len(sets[0]))
    gap, top = max(1, width // 5), height // 2 if labels else 0  # pixels: between images, and for the labels above them
    lines, block = (
        -(-len(sets[0]) // columns),
        len(sets) * (height + gap) + top,
    )  # a line of images: all sets, one title
    sheet = np.full((lines * block + gap, columns * (width + gap) + gap), 0.2 if paper == "white" else 1.0)
    figure, ax = plt.subplots(
        figsize=(0.55 * columns + (0.9 if names else 0.1), 0.55 * columns * sheet.shape[0] / sheet.shape[1])
    )
    for s, images in enumerate(sets):
        for i, image in enumerate(images):
            y = i // columns * block + top + gap + s * (height + gap)
            x = i % columns * (width + gap) + gap
            sheet[y : y + height, x : x + width] = image.reshape(height, width)
            if labels and s == 0:
                ax.text(x + width / 2 - 0.5, y - 1, labels[i], fontsize=8, ha="center", va="bottom")
            if names and i % columns == 0:
                ax.text(-0.5 - gap, y + height / 2, names[s], fontsize=9, ha="right", va="center")
    ax.imshow(sheet, cmap=colour_map, vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    figure.subplots_adjust(left=0.9 / figure.get_figwidth() if names else 0.01, right=0.99, bottom=0.01, top=0.99)
    return figure


def _colour_map(paper):
    if paper not in PAPER:
        raise ValueError(f"paper: expected one of {list(PAPER)}, got {paper!r}")
    return PAPER[paper]


def plot_curves(
    curves: Mapping[str, tuple], xlabel: str, ylabel: str, ax: Axes | None = None, log: bool | str = False
) -> Axes:
    """One line for each name. A curve is (x, values), values (len(x),) or (len(x), seeds).

    With seeds the line is their mean and the band goes from the lowest to the highest seed. log: a logarithmic scale
    for the values; "symlog" for one that is linear below 1, so that 0 can be shown.
    """
    ax = ax or plt.subplots(figsize=(7, 3.6), layout="constrained")[1]
    for i, (name, (x, values)) in enumerate(curves.items()):
        x, values = np.asarray(x), np.asarray(values)
        seeds = values.reshape(len(x), -1)
        ax.plot(
            x,
            seeds.mean(axis=1),
            color=COLOURS[i % 7],
            linestyle=DASHES[i % 7],
            marker=MARKS[i % 7],
            markevery=max(1, len(x) // 8),
            markersize=5,
            label=name,
        )
        if seeds.shape[1] > 1:
            ax.fill_between(x, seeds.min(axis=1), seeds.max(axis=1), color=COLOURS[i % 7], alpha=0.15, linewidth=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        ax.set_yscale("symlog", linthresh=1) if log == "symlog" else ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
        if log is True:
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return ax


def plot_intervals(
    results: Mapping[str, tuple], xlabel: str, limits: Mapping[str, float] | None = None, ax=None, log: bool = False
) -> Axes:
    """Mean and interval of each named result, one below the other: (mean, low, high), and known limits as lines.

    log: a scale that is logarithmic above 1 and linear below.
    """
    ax = ax or plt.subplots(figsize=(7, 0.7 + 0.33 * len(results)), layout="constrained")[1]
    for i, (mean, low, high) in enumerate(results.values()):
        ax.errorbar(
            mean, i, xerr=[[max(0, mean - low)], [max(0, high - mean)]], color=COLOURS[0], marker="o", capsize=4
        )
    for i, (name, value) in enumerate((limits or {}).items(), start=1):
        ax.axvline(value, color=COLOURS[i % 7], linestyle=DASHES[i % 7], label=name)
    ax.set(xlabel=xlabel, yticks=range(len(results)), yticklabels=list(results), ylim=(len(results) - 0.5, -0.5))
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


def plot_codes(codes, labels: Sequence[str], ax: Axes | None = None, title: str = "") -> Axes:
    """A map of 2-D codes (N, 2): each point with its label beside it."""
    ax = ax or plt.subplots(figsize=(5, 5), layout="constrained")[1]
    codes = np.asarray(codes)
    ax.scatter(codes[:, 0], codes[:, 1], s=14, color=COLOURS[1], zorder=2)
    for code, label in zip(codes, labels, strict=True):
        ax.annotate(label, code, xytext=(4, 2), textcoords="offset points", fontsize=10, family="monospace")
    ax.set(xlabel="z1 (first number of the code)", ylabel="z2 (second number of the code)", title=title)
    ax.margins(0.1)
    ax.grid(alpha=0.3)
    return ax


def plot_thumbnails(codes, images, ax: Axes | None = None, title: str = "", zoom: float = 1.0) -> Axes:
    """A map of 2-D or 3-D codes (N, 2 or 3): each image (N, 1, H, W) as a small picture, light on black, at its code.

    zoom: points on the page for each pixel. With 3-D codes the map is the view of an ``ax`` with projection "3d".
    Raises ValueError for codes of another size, or not as many as images.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] not in (2, 3) or len(codes) != len(images):
        raise ValueError(f"expected codes of shape ({len(images)}, 2) or ({len(images)}, 3), got {codes.shape}")
    solid = codes.shape[1] == 3
    if ax is None:
        ax = plt.figure(figsize=(5.5, 5.5), layout="constrained").add_subplot(projection="3d" if solid else None)
    ax.scatter(*codes.T, s=4, color=COLOURS[1])
    ax.set_title(title)
    ax.locator_params(nbins=4)
    if solid:
        ax.set(xlabel="z1", ylabel="z2", zlabel="z3")
        ax.set_box_aspect(None, zoom=0.85)  # room for the labels
    else:
        ax.set(xlabel="z1 (first number of the code)", ylabel="z2 (second number of the code)")
        ax.margins(0.08)
        ax.grid(alpha=0.3)
    points = np.stack(proj_transform(*codes.T, ax.get_proj())[:2], axis=1) if solid else codes
    for point, image in zip(points, np.asarray(images), strict=True):
        picture = OffsetImage(image.reshape(image.shape[-2:]), zoom=zoom, cmap="gray", norm=plt.Normalize(0, 1))
        ax.add_artist(AnnotationBbox(picture, point, frameon=False))
    return ax


def plot_basins(letters, distances, codes, labels: Sequence[str], extent, ax: Axes | None = None) -> Axes:
    """A map of a decoder: which letter it draws where.

    letters (n, n): index of the letter nearest to the pattern decoded at each point of a grid, z1 along the second
    dimension; distances (n, n): by how many pixels it differs. Lines part the basins of the letters; on white ground
    the decoded pattern is that letter, on grey it differs. codes (N, 2), labels: of the letters.
    extent: (z1 lowest, z1 highest, z2 lowest, z2 highest) of the grid.
    """
    ax = plot_codes(codes, labels, ax=ax or plt.subplots(figsize=(7, 7), layout="constrained")[1])
    letters = np.asarray(letters)
    ground = np.where(np.asarray(distances) == 0, 1.0, 0.85)
    edges = np.zeros(letters.shape, bool)
    edges[:, 1:] |= letters[:, 1:] != letters[:, :-1]
    edges[1:] |= letters[1:] != letters[:-1]
    ground[edges] = 0.45
    ax.imshow(ground, cmap="gray", vmin=0, vmax=1, origin="lower", extent=extent, aspect="auto", zorder=0)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    ax.grid(False)
    return ax


def plot_heat_map(values, rows: Sequence[str], columns: Sequence[str], xlabel: str, ylabel: str, title: str, ax=None):
    """A table in shades, each field with its number. values: (rows, columns)."""
    ax = ax or plt.subplots(figsize=(6, 4.5), layout="constrained")[1]
    values = np.asarray(values)
    ax.imshow(values, cmap="cividis", aspect="auto")
    middle = (values.min() + values.max()) / 2
    for (i, j), value in np.ndenumerate(values):
        ax.text(
            j, i, f"{value:.2f}", ha="center", va="center", color="white" if value <= middle else "black", fontsize=9
        )
    ax.set(xticks=range(len(columns)), xticklabels=columns, yticks=range(len(rows)), yticklabels=rows)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return ax


def show_grid(images, ax: Axes | None = None, title: str = "", extent=(0, 1, 0, 1), paper: str = "white") -> Axes:
    """Decoded images (n, n, 1, H, W) of a grid of codes as one picture: z1 to the right, z2 upwards.

    extent: lowest and highest z1, lowest and highest z2. paper: as in `show_images`.
    """
    colour_map = _colour_map(paper)
    ax = ax or plt.subplots(figsize=(7.5, 9), layout="constrained")[1]
    images = np.asarray(images)
    n, m, height, width = images.shape[0], images.shape[1], *images.shape[-2:]
    sheet = np.full((n * (height + 1), m * (width + 1)), 0.2 if paper == "white" else 1.0)
    for i in range(n):
        for j in range(m):
            top, left = (n - 1 - i) * (height + 1), j * (width + 1)
            sheet[top : top + height, left : left + width] = images[i, j].reshape(height, width)
    left, right, bottom, top = extent  # the codes of the outer images, which lie half an image inside the picture
    x, y = (right - left) / (m - 1) / 2, (top - bottom) / (n - 1) / 2
    edges = (left - x, right + x, bottom - y, top + y)
    aspect = (sheet.shape[0] / (edges[3] - edges[2])) / (sheet.shape[1] / (edges[1] - edges[0]))
    ax.imshow(sheet, cmap=colour_map, vmin=0, vmax=1, interpolation="nearest", extent=edges, aspect=aspect)
    ax.set(xlabel="z1 (first number of the code)", ylabel="z2 (second number of the code)", title=title)
    return ax


def plot_errors(errors, labels: Sequence[str], ax: Axes | None = None, title: str = "") -> Axes:
    """A bar for each image: how many of its pixels are wrong."""
    ax = ax or plt.subplots(figsize=(8, 2.2), layout="constrained")[1]
    ax.bar(range(len(labels)), np.asarray(errors), color=COLOURS[0])
    ax.set(xticks=range(len(labels)), xlabel="letter", ylabel="wrong pixels (of 35)", title=title)
    ax.set_xticklabels(labels, family="monospace")
    ax.margins(x=0.01)
    ax.yaxis.get_major_locator().set_params(integer=bool(np.all(np.asarray(errors) % 1 == 0)))
    return ax


def plot_roc(curves: Mapping[str, tuple], ax: Axes | None = None) -> Axes:
    """ROC curves: for each name (false alarms, found, auc) as `helpers.evaluation.roc` gives them."""
    ax = ax or plt.subplots(figsize=(4.5, 4.5), layout="constrained")[1]
    for i, (name, (false_alarms, found, auc)) in enumerate(curves.items()):
        ax.plot(
            false_alarms,
            found,
            color=COLOURS[i % 7],
            linestyle=DASHES[i % 7],
            linewidth=2,
            label=f"{name}: AUC {auc:.2f}",
        )
    ax.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":", label="guessing: AUC 0.50")
    ax.set(xlabel="letters called outliers (share)", ylabel="outliers found (share)")
    ax.set_aspect("equal")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="lower right")
    return ax

"""Instruments that live in the page: HTML with script and networks inside; no kernel, no internet.

A network travels as its weights, rounded (see `packing`): the page computes what Python does.
"""

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops
from torch import Tensor, nn

from helpers.evaluation import pixel_errors
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.page import pictures
from helpers.page.packing import folded, layers_of, pack, pack_decoder, pack_network, run, tried

FOLDER, BOX = Path(__file__).parent, Image.Resampling.BOX


class Instrument:
    """What the functions below give: Jupyter shows it as a page that moves, also when saved.

    Until it is alive a still picture stands below it, with a line that says what to do. It stays
    where scripts may not run; a notebook that was opened but not run shows nothing else.
    name: of its files here. data: what the script reads. still: a PNG. description: of it, for
    people who can't see it. most: bytes of the page; ValueError if there are more.
    """

    def __init__(self, name: str, data: dict, still: bytes, description: str, most: int):
        self.name, self.data, self.still, self.description = name, data, still, description
        size = len(self._repr_html_().encode())
        if size > most:
            expected = f"expected a page of at most {most // 1000} KB, got {size // 1000}"
            raise ValueError(f"{name}: {expected}: give fewer or smaller models, images or epochs")

    def page(self) -> str:
        """The instrument as a whole HTML page."""
        text = json.dumps(self.data, separators=(",", ":"), allow_nan=False)
        text = text.replace("<", "\\u003c")  # in a script: no name can end it or start a comment
        names = ("page", self.name) if self.name == "flipbook" else ("engine", "page", self.name)
        scripts = "\n".join(_read(f"{name}.js") for name in names)
        parts = {"TITLE": self.title, "BODY": _read(f"{self.name}.html"), "SCRIPTS": scripts}
        page = _read("instrument.html")
        for name, part in parts.items():
            page = page.replace(f"/*{name}*/", part)
        return page.replace("/*DATA*/null", text)

    @property
    def title(self) -> str:
        return self.name.replace("_", " ").capitalize()

    def _repr_html_(self) -> str:
        still, description = base64.b64encode(self.still).decode(), html.escape(self.description)
        hide = "<style>.instrument.alive figure { display: none }</style>"
        size = "width: 100%; height: 620px; border: 0"
        kind = self.name.replace("_", "-")
        return (
            f'<div class="instrument {kind}">{hide}<iframe title="{self.title}" style="{size}" '
            f'srcdoc="{html.escape(self.page())}"></iframe>'
            f'<figure><img alt="{description}" src="data:image/png;base64,{still}">'
            "<figcaption>A still picture. Run this cell to play with it.</figcaption>"
            "</figure></div>"
        )

    def __repr__(self) -> str:
        return f"{self.title}. Run this cell in a notebook to get it."


def _read(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def _set_of(images, labels):
    """What every instrument knows of a set of images."""
    pictures.check_images(images, labels)
    shape, letters = list(images.shape[-2:]), pictures.are_letters(images)
    packed = pack(255 * images)
    return {"labels": list(labels), "shape": shape, "letters": letters, "images": packed}


def _rounded(numbers):
    return [[round(value, 5) for value in row] for row in numbers.tolist()]


@torch.no_grad()
def latent_map(
    model: nn.Module,
    images: Tensor,
    labels: Sequence[str],
    start: Sequence[float] | None = None,
    dimensions: Sequence[int] | None = None,
) -> Instrument:
    """A map of the latent space that moves without a kernel, and in the saved page on the web.

    A cursor, moved by mouse, touch or the arrow keys, and what the model decodes there. images
    (N, 1, H, W) are on the map: letters (all pixels 0 or 1) by their labels, others as small
    pictures. Lines separate the *basins*, where another image is the nearest to the decoded one.
    start: the first code, (latent_dim,), by default the mean of the codes. The code of a
    variational autoencoder is its mean.
    dimensions: of a code with more than two numbers the map shows a plane, along these two, counted
    from 1; by default the two in which the codes differ most. Sliders hold the other numbers.
    Raises ValueError for another model, and for codes, a start or dimensions that don't fit.
    """
    if not isinstance(model, Autoencoder | VariationalAutoencoder):
        kind = type(model).__name__
        raise ValueError(f"expected an Autoencoder or a VariationalAutoencoder, got {kind}")
    codes = pictures.codes_of(model, images, labels)
    latent_dim = codes.shape[1]
    if latent_dim < 2:
        raise ValueError(
            f"latent_map: expected a model with latent_dim 2 or more, got {latent_dim}"
        )
    dimensions = _widest(codes) if dimensions is None else dimensions
    known = range(1, latent_dim + 1)
    if len(dimensions) != 2 or len({*dimensions} & {*known}) != 2:
        expected = f"two different numbers from 1 to {latent_dim}"
        raise ValueError(f"dimensions: expected {expected}, got {dimensions}")
    start = codes.mean(dim=0).tolist() if start is None else [float(value) for value in start]
    if len(start) != latent_dim:
        raise ValueError(f"start: expected {latent_dim} numbers, got {len(start)}")
    bounds = pictures.code_bounds(model, codes)
    if not all(low <= value <= high for value, (low, high) in zip(start, bounds, strict=True)):
        raise ValueError(f"start: expected a code on the map, within {bounds}, got {start}")
    packed = pack_decoder(model.decoder, bounds)

    right, up = (int(dimension) - 1 for dimension in dimensions)
    plane = codes[:, [right, up]]
    still, place = pictures.code_map(plane, images, labels, [bounds[right], bounds[up]])
    still = pictures.marked(still, [place(start[right], start[up])])
    shown, text = pictures.decoded(model, torch.tensor([start]), images, labels)
    beside = pictures.panels(shown, paper=pictures.paper_of(images))
    still = pictures.beside(still, beside).quantize(32)
    data = _set_of(images, labels) | {
        "codes": _rounded(codes),
        "bounds": bounds,
        "start": start,
        "dimensions": [right, up],
        "decoder": packed["layers"],
        "error": packed["error"],
    }
    description = f"Map of the codes of {len(images)} images, and the image decoded at its cursor."
    png = pictures.png(still, compress_level=9)
    return Instrument("latent_map", data, png, f"{description} {text}", most=1_000_000)


def _widest(codes):
    """The two dimensions in which codes (N, d) differ most, counted from 1, in their order."""
    return sorted((codes.std(dim=0).argsort(descending=True)[:2] + 1).tolist())


@torch.no_grad()
def sketchpad(
    images: Tensor,
    labels: Sequence[str],
    models: Mapping[str, nn.Module],
    *,
    level: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    classifier: nn.Sequential | None = None,
    start: int = 0,
) -> Instrument:
    """A picture to draw on, by mouse, finger or keys, and beside it what each model makes of it.

    images (N, 1, H, W): to start from, labels: their N names. models: name -> a network of
    `helpers.models`, or an ``nn.Sequential`` from images to (N, H, W) pixel values in any shape.
    level: where a slider for the noise starts, from 0 to 1: of letters (all pixels 0 or 1) salt and
    pepper with probability p; the chosen letter is what all should find, beside the nearest letter,
    the Bayes denoiser and the posterior of each letter. Of other images Gaussian noise (sigma).
    Without a level there is no noise: models of letters show the code on a map.
    thresholds: name of a model -> its outlier score above which a picture is an outlier.
    classifier: an ``nn.Sequential`` from images to logits, one for each digit: it reads all.
    start: index of an image. Raises ValueError for what does not fit, and if the page would be
    larger than 300 KB for letters, 1.5 MB for others.
    """
    data, thresholds = _set_of(images, labels), thresholds or {}
    if not models or not all(isinstance(name, str) for name in models):
        raise ValueError(f"models: expected name -> network, at least one, got {models}")
    finite = all(map(math.isfinite, thresholds.values()))
    if not thresholds.keys() <= models.keys() or not finite:
        raise ValueError(f"thresholds: expected names of models, finite numbers, got {thresholds}")
    if level is not None and not 0 <= level <= 1:
        raise ValueError(f"level: expected None or a number from 0 to 1, got {level}")
    if start not in range(len(images)):
        raise ValueError(f"start: expected an index below {len(images)}, got {start}")
    inputs, rows = tried(images), []
    image, shown = images[start : start + 1], {"drawing": images[start]}
    for name, model in models.items():
        layers = layers_of(model)
        outputs = run(layers, image)
        if outputs.numel() != image.numel():
            expected = f"expected {image.numel()} pixels, got {tuple(outputs.shape)}"
            raise ValueError(f"models: {name}: {expected}")
        shown[name] = outputs.reshape(image.shape)
        row = {"name": name, "threshold": thresholds.get(name)} | pack_network(layers, inputs)
        on_map = data["letters"] and level is None
        if on_map and isinstance(model, Autoencoder | VariationalAutoencoder):
            codes = pictures.codes_of(model, images, labels)
            plane = [dimension - 1 for dimension in _widest(codes)]
            bounds = pictures.code_bounds(model, codes)
            row["map"] = {"codes": _rounded(codes), "bounds": bounds, "plane": plane}
        rows.append(row)
    data |= {"models": rows, "level": level, "start": start}
    if classifier is not None:
        reader = pack_network(folded([*classifier, nn.Softmax(1)]), inputs)
        data |= {"classifier": reader["layers"]}
    still = pictures.panels(shown, paper=pictures.paper_of(images)).quantize(32)
    description = f"The picture {labels[start]}, and what {', '.join(models)} make of it."
    most = 300_000 if data["letters"] else 1_500_000
    return Instrument("sketchpad", data, pictures.png(still, 9), description, most)


@torch.no_grad()
def film(
    images: Tensor,
    labels: Sequence[str],
    epochs: Sequence[int],
    runs: Mapping[str, tuple[Tensor, Tensor | None]],
) -> Instrument:
    """Trainings to watch, side by side on one slider: outputs, codes and errors, epoch by epoch.

    images (N, 1, H, W), labels: N names, of letters (all pixels 0 or 1) or others. epochs: E of
    them. runs: name -> (outputs, codes): pixel values (E, N, 1, H, W) and (E, N, d) numbers, or
    None for no map. Such are what ``fit(..., measure=...)`` takes: see `training.History`.
    Of a code of more than two numbers the map shows the two that differ most at the end.
    Raises ValueError for what does not fit, and if the page would be larger than 300 KB.
    """
    data, count = _set_of(images, labels), len(images)
    epochs = [int(epoch) for epoch in epochs]
    if len(epochs) < 2 or sorted(set(epochs)) != epochs or not runs:
        raise ValueError(f"epochs: expected two or more that grow, and a run, got {epochs}")
    rows, shown = [], {}
    for name, (outputs, codes) in runs.items():
        expected = (len(epochs), *images.shape)
        if outputs.shape != expected or not ((outputs >= 0) & (outputs <= 1)).all():
            got = f"{tuple(outputs.shape)}, {outputs.min():.2f} to {outputs.max():.2f}"
            raise ValueError(f"{name}: expected outputs {expected} in [0, 1], got {got}")
        errors = (outputs - images).square().flatten(1).mean(dim=1)
        if data["letters"]:
            errors = pixel_errors(outputs, images).sum(dim=1)
        row = {"name": name, "errors": [round(error, 5) for error in errors.tolist()]}
        # 16 grey values, as differences from epoch to epoch: most are 0. Cut at 0.5 none changes.
        greys = (15 * outputs).round().flatten(1)
        row["outputs"] = pack(torch.cat([greys[:1], greys.diff(dim=0)]).T)
        if codes is not None:
            if codes.shape[:2] != (len(epochs), count) or codes.dim() != 3 or codes.shape[2] < 2:
                expected = f"({len(epochs)}, {count}, d), d >= 2"
                raise ValueError(f"{name}: expected codes {expected}, got {tuple(codes.shape)}")
            if not codes.isfinite().all():
                raise ValueError(f"{name}: expected finite codes, got NaN or inf")
            plane = [dimension - 1 for dimension in _widest(codes[-1])]
            codes = codes[..., plane]
            low, high = codes.amin(dim=(0, 1)), codes.amax(dim=(0, 1))
            places = (codes - low) / (high - low).clamp(min=1e-9)
            row |= {"plane": plane, "bounds": torch.stack([low, high], dim=1).tolist()}
            row["codes"] = pack((4095 * places).round().diff(dim=0, prepend=0 * places[:1]))
        rows.append(row)
        shown[f"{name}\nepoch {epochs[-1]}"] = pictures.sheet(outputs[-1])
    data |= {"epochs": epochs, "runs": rows}
    still = pictures.panels(shown, paper=pictures.paper_of(images)).quantize(16)
    names = " and ".join(runs)
    description = f"The {count} images as {names} give them back in epoch {epochs[-1]}."
    return Instrument("film", data, pictures.png(still, 9), description, most=300_000)


def flipbook(
    name: str, values: Sequence[str], frames: Sequence[tuple[Image.Image, str]], start: int
) -> Instrument:
    """Pictures to leaf through with a slider: what a saved explorer of ipywidgets shows.

    name: of the slider, values: of it, one for each of the frames: a picture and a line of text.
    start: which is shown first. At most 80 KB: with fewer colours, or smaller, until it fits.
    """
    width, height = (max(picture.size[i] for picture, _ in frames) for i in (0, 1))
    sheets = [Image.new("RGB", (width, height), "white") for _ in frames]
    for sheet, (picture, _) in zip(sheets, frames, strict=True):
        sheet.paste(picture)
    for colours, share in ((32, 1), (16, 1), (8, 1), (16, 2), (8, 2), (4, 2), (4, 4), (2, 16)):
        size = width // share, height // share
        still, parts = _parts([sheet.resize(size, BOX) for sheet in sheets], colours, start)
        if len(still) + sum(len(png) for png, *_ in parts) < 64_000:  # the rest: script and texts
            break
    data = {"name": name, "values": values, "texts": [text for _, text in frames], "start": start}
    data |= {"frames": parts, "size": size, "width": width}
    words = f"{name} {values[start]}. {frames[start][1]}"
    return Instrument("flipbook", data, still, words, most=80_000)


def _parts(sheets, colours, start):
    """Pictures with one palette: the first, of all others the part that differs, and its place."""
    some = [sheets[i] for i in (0, start, len(sheets) // 2, -1)]
    palette = Image.fromarray(np.concatenate(some)).quantize(colours)
    sheets = [sheet.quantize(palette=palette, dither=Image.Dither.NONE) for sheet in sheets]
    first, parts = sheets[0].convert("RGB"), []
    for sheet in sheets:
        box = ImageChops.difference(sheet.convert("RGB"), first).getbbox() or (0, 0, 1, 1)
        box = box if parts else (0, 0, *sheet.size)
        parts.append([base64.b64encode(pictures.png(sheet.crop(box), 9)).decode(), *box[:2]])
    return pictures.png(sheets[start], 9), parts

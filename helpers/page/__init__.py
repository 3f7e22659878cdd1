"""Instruments that live in the page: HTML with script and networks inside; no kernel, no internet.

A network travels as its weights, rounded (see `packing`): the page computes what Python does.
"""

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from helpers.evaluation import pixel_errors
from helpers.inner.expect import expect
from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.page import pictures
from helpers.page.packing import folded, layers_of, pack, pack_decoder, pack_network, run, tried

FOLDER = Path(__file__).parent
BOX, NO_DITHER = Image.Resampling.BOX, Image.Dither.NONE
MOST_OF_WEBP = 16_383  # pixels in height
FLIPBOOK = (64, 1), (32, 1), (16, 1), (8, 1), (32, 2), (8, 2), (4, 4), (2, 16)  # colours, 1/size


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
        got = f"{size // 1000}: give fewer or smaller models, images or epochs"
        expect(size <= most, f"{name}: expected a page of at most {most // 1000} KB", got)

    def page(self) -> str:
        """The instrument as a whole HTML page."""
        text = json.dumps(self.data, separators=(",", ":"), allow_nan=False)
        text = text.replace("<", "\\u003c")  # in a script: no name can end it or start a comment
        names = ("page", self.name) if self.name == "flipbook" else ("engine", "page", self.name)
        scripts = "\n".join(_read(f"{name}.js") for name in names)
        parts = {"TITLE": self.title, "BODY": _read(f"{self.name}.html"), "SCRIPTS": scripts}
        parts["NOTE"] = f"<p>{self.note}</p>" if self.note else ""
        page = _read("instrument.html")
        for name, part in parts.items():
            page = page.replace(f"/*{name}*/", part)
        return page.replace("/*DATA*/null", text)

    @property
    def note(self) -> str:
        """How far the page is from Python."""
        networks = [self.data, *self.data.get("models", ())]
        error = max(network.get("error", 0.0) for network in networks)
        told = f"Weights are rounded here: a pixel differs from Python's by at most {error:.3f}."
        return told if error else ""

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
    about = {"labels": list(labels), "shape": shape, "letters": letters, "images": packed}
    return about | {"ink": letters}  # ink on white paper, others are light on black


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
    variational autoencoder is its mean; its cloud is an ellipse of two sigma around it.
    dimensions: of a code with more than two numbers the map shows a plane, along these two, counted
    from 1; by default the two in which the codes differ most. Sliders hold the other numbers.
    Raises ValueError for another model, and for codes, a start or dimensions that don't fit.
    """
    if not isinstance(model, Autoencoder | VariationalAutoencoder):
        kind = type(model).__name__
        raise ValueError(f"expected an Autoencoder or a VariationalAutoencoder, got {kind}")
    codes = pictures.codes_of(model, images, labels)
    latent_dim = codes.shape[1]
    expect(latent_dim >= 2, "latent_map: expected a model with latent_dim 2 or more", latent_dim)
    dimensions = _widest(codes) if dimensions is None else dimensions
    good = len(dimensions) == len({*dimensions} & {*range(1, latent_dim + 1)}) == 2
    expect(good, f"dimensions: expected two different numbers from 1 to {latent_dim}", dimensions)
    start = codes.mean(dim=0).tolist() if start is None else [float(value) for value in start]
    expect(len(start) == latent_dim, f"start: expected {latent_dim} numbers", len(start))
    bounds = pictures.code_bounds(model, codes)
    inside = all(low <= value <= high for value, (low, high) in zip(start, bounds, strict=True))
    expect(inside, f"start: expected a code on the map, within {bounds}", start)
    steps = [round((high - low) / 100, 4) for low, high in bounds]
    ends = zip(bounds, steps, strict=True)  # it reaches a little past the codes
    bounds = [(round(low - 8 * step, 2), round(high + 8 * step, 2)) for (low, high), step in ends]
    reached, sigmas = bounds, None
    if isinstance(model, VariationalAutoencoder):  # draws may lie off the map
        sigmas = torch.exp(0.5 * model.encode(images)[1])
        prior = torch.tensor([[-4.0], [4.0]]).expand(2, latent_dim)
        spans = torch.tensor(bounds).T, prior, codes - 4 * sigmas, codes + 4 * sigmas
        ends = torch.cat(spans)
        reached = torch.stack([ends.amin(dim=0), ends.amax(dim=0)], dim=1).tolist()
    packed = pack_decoder(model.decoder, reached)

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
        "steps": steps,
        "sigmas": None if sigmas is None else _rounded(sigmas),
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
    good = models and all(isinstance(name, str) for name in models)
    expect(good, "models: expected name -> network, at least one", models)
    good = thresholds.keys() <= models.keys() and all(map(math.isfinite, thresholds.values()))
    expect(good, "thresholds: expected names of models, finite numbers", thresholds)
    expect(level is None or 0 <= level <= 1, "level: expected None or a number from 0 to 1", level)
    expect(start in range(len(images)), f"start: expected an index below {len(images)}", start)
    inputs, rows = tried(images), []
    image, shown = images[start : start + 1], {"drawing": images[start]}
    for name, model in models.items():
        layers = layers_of(model)
        try:
            shown[name] = run(layers, image).reshape(image.shape)
        except RuntimeError as error:  # of a layer that is too wide, or of as many pixels
            expected = f"a network for images of {tuple(image.shape[1:])}"
            raise ValueError(f"models: {name}: expected {expected}, got {error}") from error
        row = {"name": name, "threshold": thresholds.get(name)} | pack_network(layers, inputs)
        on_map = data["letters"] and level is None
        if on_map and isinstance(model, Autoencoder | VariationalAutoencoder):
            codes = pictures.codes_of(model, images, labels)
            plane = [dimension - 1 for dimension in _widest(codes)]
            bounds = pictures.code_bounds(model, codes)
            row["map"] = {"codes": _rounded(codes), "bounds": bounds, "plane": plane}
        rows.append(row)
    data |= {"models": rows, "level": level, "start": start, "ink": True}  # one draws with ink
    if classifier is not None:
        reader = pack_network(folded([*classifier, nn.Softmax(1)]), inputs)
        data |= {"classifier": reader["layers"]}
    still = pictures.panels(shown).quantize(32)
    description = f"The picture {labels[start]}, and what {', '.join(models)} make of it."
    most = 300_000 if data["letters"] else 1_500_000
    return Instrument("sketchpad", data, pictures.png(still, 9), description, most)


@torch.no_grad()
def film(
    images: Tensor,
    labels: Sequence[str],
    epochs: Sequence[int],
    runs: Mapping[str, tuple[Tensor, Tensor | None]],
    unit: str = "epoch",
) -> Instrument:
    """Trainings to watch, side by side on one slider: outputs, codes and errors, epoch by epoch.

    images (N, 1, H, W), labels: N names, of letters (all pixels 0 or 1) or others. epochs: E of
    them. runs: name -> (outputs, codes): pixel values (E, N, 1, H, W) and (E, N, d) numbers, or
    None for no map. Such are what ``fit(..., measure=...)`` takes: see `training.History`.
    Of a code of more than two numbers the map shows the two that differ most at the end; all maps
    have one scale. unit: what the epochs are called.
    Raises ValueError for what does not fit, and if the page would be larger than 300 KB.
    """
    data, count = _set_of(images, labels), len(images)
    epochs = [int(epoch) for epoch in epochs]
    good = len(epochs) >= 2 and sorted(set(epochs)) == epochs and runs
    expect(good, "epochs: expected two or more that grow, and a run", epochs)
    rows, maps, shown = [], list[tuple[dict, Tensor]](), {}
    for name, (outputs, codes) in runs.items():
        expected = (len(epochs), *images.shape)
        good = outputs.shape == expected and ((outputs >= 0) & (outputs <= 1)).all()
        got = f"{tuple(outputs.shape)}, {outputs.min():.2f} to {outputs.max():.2f}"
        expect(good, f"{name}: expected outputs {expected} in [0, 1]", got)
        errors = (outputs - images).square().flatten(1).mean(dim=1)
        if data["letters"]:
            errors = pixel_errors(outputs, images).sum(dim=1)
        row = {"name": name, "errors": [round(error, 5) for error in errors.tolist()]}
        # 16 grey values, as differences from epoch to epoch: most are 0. Cut at 0.5 none changes.
        row["outputs"] = _differences((15 * outputs).round())
        if codes is not None:
            shape, expected = tuple(codes.shape), f"({len(epochs)}, {count}, d), d >= 2"
            good = shape[:2] == (len(epochs), count) and len(shape) == 3 and shape[2] >= 2
            expect(good, f"{name}: expected codes {expected}", shape)
            expect(codes.isfinite().all(), f"{name}: expected finite codes", "NaN or inf")
            plane = [dimension - 1 for dimension in _widest(codes[-1])]
            row["plane"] = plane
            maps.append((row, codes[..., plane]))
        rows.append(row)
        shown[f"{name}\n{unit} {epochs[-1]}"] = pictures.sheet(outputs[-1])
    if maps:  # on one scale, so that they can be compared
        low, high = torch.cat([codes.flatten() for _, codes in maps]).aminmax()
        data["bounds"] = [round(low.item(), 2), round(high.item(), 2)]
        for row, codes in maps:
            places = (codes - low) / (high - low).clamp(min=1e-9)
            row["codes"] = _differences((4095 * places).round())
    data |= {"epochs": epochs, "unit": unit, "runs": rows}
    still = pictures.panels(shown, paper=pictures.paper_of(images)).quantize(16)
    names = " and ".join(runs)
    description = f"The {count} images as {names} give them back at {unit} {epochs[-1]}."
    return Instrument("film", data, pictures.png(still, 9), description, most=300_000)


def _differences(values):
    """Whole numbers (E, ...) as packed differences from epoch to epoch, (all others, E)."""
    rows = values.flatten(1).T
    return pack(rows.diff(dim=1, prepend=torch.zeros(len(rows), 1)))


def flipbook(
    name: str, values: Sequence[str], frames: Sequence[tuple[Image.Image, str]], start: int
) -> Instrument:
    """Pictures to leaf through with a slider: what a saved explorer of ipywidgets shows.

    name: of the slider, values: of it, one for each of the frames: a picture and a line of text.
    start: which is shown first. At most 80 KB: with fewer colours, or smaller, until it fits.
    """
    width, height = (max(picture.size[i] for picture, _ in frames) for i in (0, 1))
    sheet = Image.new("RGB", (width, height * len(frames)), "white")
    for i, (picture, _) in enumerate(frames):  # in one picture, where WebP finds what repeats
        sheet.paste(picture, (0, i * height))
    for colours, share in FLIPBOOK:
        across, down = size = width // share, height // share
        if down * len(frames) > MOST_OF_WEBP:
            continue
        small = sheet.resize((across, down * len(frames)), BOX).quantize(colours, dither=NO_DITHER)
        small.putpalette([255 if value > 244 else value for value in small.getpalette()])  # paper
        still = pictures.png(small.crop((0, down * start, across, down * (start + 1))), 9)
        webp = pictures.encoded(small.convert("RGB"), "webp", lossless=True)
        packed = base64.b64encode(webp).decode()
        if len(packed) + len(still) < 62_000:  # the rest: script and texts
            break
    data = {"name": name, "values": values, "texts": [text for _, text in frames], "start": start}
    data |= {"sheet": packed, "size": size, "width": width}
    words = f"{name} {values[start]}. {frames[start][1]}"
    return Instrument("flipbook", data, still, words, most=80_000)

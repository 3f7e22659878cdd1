"""Latent maps that live in the page: HTML with script and decoder inside; no kernel, no internet.

The decoder travels as its weights, rounded, without the units that are always 0. A sheet of decoded
pictures, to look them up, takes several times the bytes for the same error.
"""

import base64
import html
import json
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from helpers.models import Autoencoder, VariationalAutoencoder
from helpers.page import pictures

TEMPLATE = Path(__file__).with_name("latent_map.html")
ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Identity)
MOST_ERROR = 0.018  # of a pixel, at the codes tried here: it leaves room below 0.02 for all others
TRIED = 20_000  # codes


class LatentMap:
    """What `latent_map` gives: Jupyter shows it as a map that moves, also in a saved page.

    Until the map is alive a still picture stands below it, with a line that says what to do. It
    stays where scripts may not run; a notebook that was opened but not run shows nothing else.
    data: what the script reads. still: a PNG. description: of it, for people who can't see it.
    """

    def __init__(self, data: dict, still: bytes, description: str):
        self.data, self.still, self.description = data, still, description

    def page(self) -> str:
        """The map as a whole HTML page."""
        text = json.dumps(self.data, separators=(",", ":"), allow_nan=False)
        text = text.replace("<", "\\u003c")  # in a script: no name can end it or start a comment
        return TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/null", text)

    def _repr_html_(self) -> str:
        still, description = base64.b64encode(self.still).decode(), html.escape(self.description)
        hide = "<style>.latent-map.alive figure { display: none }</style>"
        size = "width: 100%; height: 620px; border: 0"
        return (
            f'<div class="latent-map">{hide}<iframe title="Latent map" style="{size}" '
            f'srcdoc="{html.escape(self.page())}"></iframe>'
            f'<figure><img alt="{description}" src="data:image/png;base64,{still}">'
            "<figcaption>A still picture. Run this cell to get the map.</figcaption></figure></div>"
        )

    def __repr__(self) -> str:
        return "Latent map. Run this cell in a notebook to get it."


@torch.no_grad()
def latent_map(
    model: nn.Module,
    images: Tensor,
    labels: Sequence[str],
    start: Sequence[float] | None = None,
    dimensions: Sequence[int] | None = None,
) -> LatentMap:
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
    if dimensions is None:
        dimensions = sorted((codes.std(dim=0).argsort(descending=True)[:2] + 1).tolist())
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
    layers = pack_decoder(model.decoder, bounds)

    right, up = (int(dimension) - 1 for dimension in dimensions)
    plane = codes[:, [right, up]]
    still, place = pictures.code_map(plane, images, labels, [bounds[right], bounds[up]])
    still = pictures.marked(still, [place(start[right], start[up])])
    shown, text = pictures.decoded(model, torch.tensor([start]), images, labels)
    beside = pictures.panels(shown, paper=pictures.paper_of(images))
    still = pictures.beside(still, beside).quantize(32)
    data = {
        "letters": pictures.are_letters(images),
        "labels": list(labels),
        "shape": images.shape[-2:],
        "images": pack((255 * images).round()),
        "codes": [[round(value, 5) for value in code] for code in codes.tolist()],
        "bounds": bounds,
        "start": start,
        "dimensions": [right, up],
        "layers": layers,
    }
    description = f"Map of the codes of {len(images)} images, and the image decoded at its cursor."
    return LatentMap(data, pictures.png(still, compress_level=9), f"{description} {text}")


@torch.no_grad()
def pack_decoder(decoder: nn.Sequential, bounds: Sequence[tuple[float, float]]) -> list[dict]:
    """The layers of a decoder for the page, good for codes within `bounds`: (low, high) for each.

    Weights are rounded to multiples of a step: the largest of 2^-6, 2^-6.5, ... with which no pixel
    of many decoded images is wrong by more than MOST_ERROR. Raises ValueError for weights that are
    not finite, for layers that the page does not know, or if the smallest step is not enough.
    """
    linear, activations = _layers(decoder)
    codes = _codes_within(bounds)
    values, alive = codes, [torch.ones(len(bounds), dtype=torch.bool)]
    for layer, activation in zip(linear, activations, strict=True):
        values = activation(layer(values))
        alive.append((values != 0).any(dim=0))
    alive[-1][:] = True  # all pixels
    exact = values
    weights = [
        (layer.weight[rows][:, columns], layer.bias[rows])
        for layer, (columns, rows) in zip(linear, pairwise(alive), strict=True)
    ]
    for half_steps in range(12, 49):
        step, values = 2.0 ** (-half_steps / 2), codes
        rounded = [[(numbers / step).round() for numbers in layer] for layer in weights]
        for (weight, bias), activation in zip(rounded, activations, strict=True):
            values = activation(values @ (weight * step).T + bias * step)
        if float((values - exact).abs().max()) <= MOST_ERROR:
            return [
                {"weight": pack(w), "bias": pack(b), "step": step, "activation": type(f).__name__}
                for (w, b), f in zip(rounded, activations, strict=True)
            ]
    raise ValueError(
        f"the weights can't be rounded with an error of at most {MOST_ERROR} in a pixel"
    )


def _layers(decoder):
    """Linear layers and the activation after each; after the last the sigmoid of the pixels."""
    layers = [*decoder, nn.Sigmoid()]
    linear, activations = layers[0::2], layers[1::2]
    known = all(isinstance(layer, nn.Linear) and layer.bias is not None for layer in linear)
    if not known or not all(isinstance(layer, ACTIVATIONS) for layer in activations):
        names = ", ".join(kind.__name__ for kind in ACTIVATIONS)
        got = [type(layer).__name__ for layer in decoder]
        raise ValueError(
            f"expected Linear layers, with biases, and {names} between them, got {got}"
        )
    if not all(weights.isfinite().all() for weights in decoder.parameters()):
        raise ValueError("the decoder: expected finite weights, got NaN or inf")
    return linear, activations


def _codes_within(bounds):
    """Codes to try a decoder with: a grid in two dimensions, random ones in more."""
    low, high = torch.tensor(bounds).T
    if len(bounds) == 2:
        side = torch.linspace(0, 1, int(TRIED**0.5))
        shares = torch.cartesian_prod(side, side)
    else:
        shares = torch.rand(TRIED, len(bounds), generator=torch.Generator().manual_seed(0))
    return low + shares * (high - low)


def pack(numbers: Tensor) -> str:
    """Whole numbers, below 2^31 in size, as text for the page; most bytes of weights are 0.

    Zigzag (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), then all lowest bytes, all second bytes, and
    so on; deflated.
    """
    integers = numbers.flatten().to(torch.int64).numpy()
    if integers.size and np.abs(integers).max() >= 2**31:
        raise ValueError(f"expected numbers below 2^31 in size, got {np.abs(integers).max()}")
    zigzag = np.where(integers < 0, -2 * integers - 1, 2 * integers).astype("<u4")
    planes = zigzag.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()

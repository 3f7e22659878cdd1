"""Latent maps that live in the page: HTML with script and decoder inside. They need no kernel and no network.

The decoder travels as its weights, rounded, without the units that are always 0. A sheet of decoded pictures, to look
them up, takes several times the bytes for the same error.
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

TEMPLATE = Path(__file__).with_name("latent_map.html")
ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.Sigmoid, nn.Identity)
MOST_ERROR = 0.018  # of a pixel, at the codes that are tried here: it leaves room below 0.02 for all the others
TRIED = 20_000  # codes


class LatentMap:
    """What `helpers.widgets.latent_map` gives: Jupyter shows it as a map that moves, also in a saved page.

    Until the map is alive a still picture stands below it, with a line that says what to do. It stays where scripts may
    not run; a notebook that was opened but not run yet shows nothing else.

    data: what the script of the page reads. still: a PNG. description: of the still picture, for people who can't see
    it.
    """

    def __init__(self, data: dict, still: bytes, description: str):
        self.data, self.still, self.description = data, still, description

    def page(self) -> str:
        """The map as a whole HTML page."""
        text = json.dumps(self.data, separators=(",", ":")).replace("</", "<\\/")  # a name can't end the script
        return TEMPLATE.read_text(encoding="utf-8").replace("/*DATA*/null", text)

    def _repr_html_(self) -> str:
        still, description = base64.b64encode(self.still).decode(), html.escape(self.description)
        return (
            '<div class="latent-map"><style>.latent-map.alive figure { display: none }</style>'
            f'<iframe title="Latent map" style="width: 100%; height: 620px; border: 0" '
            f'srcdoc="{html.escape(self.page())}"></iframe>'
            f'<figure><img alt="{description}" src="data:image/png;base64,{still}">'
            "<figcaption>A still picture. Run this cell to get the map.</figcaption></figure></div>"
        )

    def __repr__(self) -> str:
        return "Latent map. Run this cell in a notebook to get it."


@torch.no_grad()
def pack_decoder(decoder: nn.Sequential, bounds: Sequence[tuple[float, float]]) -> list[dict]:
    """The layers of a decoder for the page, good for codes within `bounds`: (low, high) for each of their numbers.

    Weights are rounded to multiples of a step: the largest of 2^-6, 2^-6.5, ... with which no pixel of many decoded
    images is wrong by more than MOST_ERROR. Raises ValueError for layers that the page does not know, or if the
    smallest step is not enough.
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
                {"weight": pack(weight), "bias": pack(bias), "step": step, "activation": type(activation).__name__}
                for (weight, bias), activation in zip(rounded, activations, strict=True)
            ]
    raise ValueError(f"the weights of the decoder can't be rounded with an error of at most {MOST_ERROR} in a pixel")


def _layers(decoder):
    """Linear layers and the activation after each of them; after the last the sigmoid that makes pixels of logits."""
    layers = [*decoder, nn.Sigmoid()]
    linear, activations = layers[0::2], layers[1::2]
    known = all(isinstance(layer, nn.Linear) and layer.bias is not None for layer in linear)
    if not known or not all(isinstance(layer, ACTIVATIONS) for layer in activations):
        raise ValueError(
            f"expected a decoder of Linear layers, with biases, and {', '.join(kind.__name__ for kind in ACTIVATIONS)} "
            f"between them, got {[type(layer).__name__ for layer in decoder]}"
        )
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
    """Whole numbers, below 2^31 in size, as text for the page. Most weights are small, so most of the bytes are 0.

    Zigzag (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), then all lowest bytes, all second bytes, and so on; deflated.
    """
    integers = numbers.flatten().to(torch.int64).numpy()
    if integers.size and np.abs(integers).max() >= 2**31:
        raise ValueError(f"expected numbers below 2^31 in size, got {np.abs(integers).max()}")
    zigzag = np.where(integers < 0, -2 * integers - 1, 2 * integers).astype("<u4")
    planes = zigzag.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()

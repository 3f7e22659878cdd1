"""The layers of a network as blocks, from left to right."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import nn

from helpers.inner.expect import expect
from helpers.models import Autoencoder, UNet, VariationalAutoencoder

ARROW = {"arrowstyle": "->"}
SKIP = ARROW | {"connectionstyle": "arc3,rad=-0.25", "linestyle": "--"}


def draw_blocks(ax: Axes, blocks: Sequence[tuple], skips: Sequence, colours: Sequence[str]) -> None:
    """Blocks (height, text, place in colours); an arrow between them, and one for each skip."""
    for x, (height, text, colour) in enumerate(blocks):
        style = {"color": colours[colour], "edgecolor": "black", "width": 0.5, "alpha": 0.75}
        ax.bar(x, height, bottom=-height / 2, **style)
        ax.text(x, -height / 2 - 0.15, text, ha="center", va="top", fontsize=8)
        if x:
            ax.annotate("", xy=(x - 0.27, 0), xytext=(x - 0.73, 0), arrowprops=ARROW)
    for start, end in skips:
        top = blocks[start][0] / 2
        ax.annotate("", xy=(end, top), xytext=(start, top), arrowprops=SKIP)
        ax.text((start + end) / 2, top + 1.25, "skip", ha="center", fontsize=8)
    highest = max(height for height, _, _ in blocks) / 2
    ax.set(xlim=(-0.6, len(blocks) - 0.4), ylim=(-highest - 1.5, highest + 0.2 + bool(skips)))
    ax.set_axis_off()


def blocks_of(model: nn.Module) -> tuple[list[tuple], list[tuple[int, int]]]:
    """The blocks of a network of `models`, and its skips: from which block to which."""
    if isinstance(model, UNet):
        return _unet(model), [(2, 6)]
    kinds = Autoencoder | VariationalAutoencoder
    expect(isinstance(model, kinds), "expected a network of helpers.models", type(model).__name__)
    return _dense(model), []


def _unet(model):
    half, quarter = model.down_1[1].out_channels, model.down_2[1].out_channels
    layers = [(1, 1), (4, 2), (half, 2), (quarter, 4), (quarter, 4), (quarter, 2)]
    layers += [(quarter + half, 2), (half, 2), (4, 2), (1, 1)]
    sides = {part: 28 // part for part in (1, 2, 4)}  # for images of MNIST
    return [(6 / part, f"{n} of\n{sides[part]} x {sides[part]}", 0) for n, part in layers]


def _dense(model):
    blocks = [[model.encoder[0].in_features, "\nimage", 0], *_half(model.encoder)]
    blocks[-1][2] = 1  # the code
    if isinstance(model, VariationalAutoencoder):
        blocks[-1][1] += "\nmu and\nlog variance"
        blocks.append([model.latent_dim, "\ncode z,\ndrawn", 1])
    else:
        blocks[-1][1] += "\ncode"
    blocks += _half(model.decoder)
    blocks[-1][1] += "\nlogits"
    return [(np.log2(width + 1), f"{width}{text}", colour) for width, text, colour in blocks]


def _half(layers):
    """A block for each linear layer, with the names of the layers that follow it."""
    blocks = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            blocks.append([layer.out_features, "", 0])
        elif not isinstance(layer, nn.Identity):
            blocks[-1][1] += f"\n{type(layer).__name__.removesuffix('1d')}"
    return blocks

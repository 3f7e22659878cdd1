"""Networks as they travel into the page: a list of layers for engine.js, with rounded weights."""

import base64
import copy
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from helpers import noise
from helpers.models import Autoencoder, UNet, VariationalAutoencoder

MOST_ERROR = 0.018  # of a pixel, at the inputs tried here: it leaves room below 0.02 for all others
TRIED = 400_000  # pixels of the images that a network is tried with
ACTIVATIONS = nn.Identity, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.Sigmoid, nn.Flatten
FUSED: dict = {nn.Linear: (nn.BatchNorm1d, fuse_linear_bn_eval)}
FUSED |= {nn.Conv2d: (nn.BatchNorm2d, fuse_conv_bn_eval)}
BY = {nn.PixelShuffle: "upscale_factor", nn.PixelUnshuffle: "downscale_factor"}
BY |= {nn.MaxPool2d: "kernel_size", nn.Upsample: "scale_factor"}


class Code(nn.Identity):
    """A mark: here the code is what goes through."""


class Keep(nn.Identity):
    """A mark: what goes through is kept for Concatenate."""


class Concatenate(nn.Identity):
    """A mark: here what was kept is put behind the channels."""


class Clip(nn.Hardtanh):
    """Cuts pixels to [0, 1]."""


def layers_of(model: nn.Module) -> list:
    """The layers from an image to its pixel values; batch norm goes into the layer before it.

    An ``nn.Sequential`` gives pixel values, which are cut to [0, 1]; the networks of
    `helpers.models` give logits. Raises ValueError for other networks, for layers that the page
    does not know, and for weights that are not finite.
    """
    if isinstance(model, UNet):
        way = [*model.down_1, Keep(), *model.down_2, *model.middle, Concatenate(), *model.up]
        return folded([*way, nn.Sigmoid()])
    if isinstance(model, nn.Sequential):
        return folded([*model, Clip(0, 1)])
    if not isinstance(model, Autoencoder | VariationalAutoencoder):
        raise ValueError(f"model: expected one of helpers.models, got {type(model).__name__}")
    encoder = [*model.encoder]
    if isinstance(model, VariationalAutoencoder):  # the code is mu, the first half
        last = encoder[-1]
        half = slice(model.latent_dim)
        encoder[-1] = _linear(last.weight[half], last.bias[half])
    return folded([nn.Flatten(), *encoder, Code(), *model.decoder, nn.Sigmoid()])


def folded(layers: Iterable[nn.Module]) -> list:
    """Copies of the layers, in evaluation mode, without batch norm. Raises ValueError."""
    result: list = []
    for layer in layers:
        layer = copy.deepcopy(layer).eval()
        before = type(result[-1]) if result else None
        batch_norm, fuse = FUSED.get(before, (None, None))
        if type(layer) is batch_norm and layer.track_running_stats and layer.affine:
            result[-1] = fuse(result[-1], layer)
            continue
        if not _is_known(layer):
            names = ", ".join(kind.__name__ for kind in (*FUSED, *ACTIVATIONS, *BY))
            expected = f"expected layers of {names}, with biases, convolutions 3 x 3, padded"
            raise ValueError(f"the network: {expected}; got {layer}")
        result.append(layer)
    if not all(w.isfinite().all() for layer in result for w in layer.parameters()):
        raise ValueError("the network: expected finite weights, got NaN or inf")
    return result


def _is_known(layer):
    if isinstance(layer, nn.Conv2d):
        like = nn.Conv2d(1, 1, 3, padding=1, device="meta")
        names = "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode"
        return all(getattr(layer, name) == getattr(like, name) for name in names)
    if type(layer) is nn.MaxPool2d:
        like = nn.MaxPool2d(layer.kernel_size)
        return str(layer) == str(like) and isinstance(layer.kernel_size, int)
    if type(layer) is nn.Upsample:
        return layer.mode == "nearest" and layer.scale_factor == int(layer.scale_factor or 0) > 0
    known = *ACTIVATIONS, *BY, Code, Keep, Concatenate, Clip, nn.Softmax
    return type(layer) in known or (type(layer) is nn.Linear and layer.bias is not None)


def _linear(weight, bias):
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer


def run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """What the page computes: the outputs for images (N, 1, H, W), or for codes (N, latent_dim)."""
    kept = x
    for layer in layers:
        kept = x if isinstance(layer, Keep) else kept
        x = torch.cat([x, kept], dim=1) if isinstance(layer, Concatenate) else layer(x)
    return x


@torch.no_grad()
def pack_network(layers: Sequence[nn.Module], inputs: Tensor) -> dict:
    """The layers for the page, and their largest `error` at `inputs`, (N, ...).

    Weights are rounded to multiples of a step: the largest of 2^-4, 2^-4.5, ... with which no pixel
    of the outputs is wrong by more than MOST_ERROR. Raises ValueError if none is small enough.
    """
    exact = run(layers, inputs)
    for half_steps in range(8, 49):
        step, rounded = 2.0 ** (-half_steps / 2), copy.deepcopy(layers)
        for weight in (weight for layer in rounded for weight in layer.parameters()):
            weight.div_(step).round_().mul_(step)
        error = float((run(rounded, inputs) - exact).abs().max())
        if error <= MOST_ERROR:
            return {"layers": [_packed(layer, step) for layer in rounded], "error": error}
    raise ValueError(
        f"the weights can't be rounded with an error of at most {MOST_ERROR} in a pixel"
    )


def _packed(layer, step):
    packed = {"type": type(layer).__name__}
    if isinstance(layer, nn.Linear | nn.Conv2d):
        weight, bias = (pack(numbers / step) for numbers in (layer.weight, layer.bias))
        packed |= {"weight": weight, "bias": bias, "step": step}
    if isinstance(layer, nn.LeakyReLU):
        packed["slope"] = layer.negative_slope
    if type(layer) in BY:
        packed["by"] = int(getattr(layer, BY[type(layer)]))
    return packed


@torch.no_grad()
def pack_decoder(decoder: nn.Sequential, bounds: Sequence[tuple[float, float]]) -> dict:
    """A decoder for codes within `bounds`, (low, high) for each number; see `pack_network`.

    Without the units that are 0 for all codes tried: a grid in two dimensions, else random ones.
    """
    (low, high), side = torch.tensor(bounds).T, torch.linspace(0, 1, 141)
    shares = torch.rand(len(side) ** 2, len(bounds), generator=torch.Generator().manual_seed(0))
    codes = low + (high - low) * (torch.cartesian_prod(side, side) if len(low) == 2 else shares)
    layers, values, columns = folded([*decoder, nn.Sigmoid()]), codes, low.isfinite()
    for i in range(0, len(layers), 2):
        linear, activation = layers[i : i + 2]
        values = activation(linear(values))
        rows = (values != 0).any(dim=0) | (i == len(layers) - 2)  # of the last all pixels
        layers[i] = _linear(linear.weight[rows][:, columns], linear.bias[rows])
        columns = rows
    return pack_network(layers, codes)


def tried(images: Tensor) -> Tensor:
    """Images to try a network with: copies of `images` with noise of all levels."""
    generator = torch.Generator().manual_seed(0)
    count = max(100, TRIED // images[0].numel())
    copies = images[torch.randint(len(images), (count,), generator=generator)]
    levels = torch.rand(count, 1, 1, 1, generator=generator)
    half = count // 2
    flipped = noise.salt_and_pepper(copies[:half], levels[:half], generator)
    return torch.cat([flipped, noise.gaussian(copies[half:], levels[half:], generator)])


def pack(numbers: Tensor) -> str:
    """Whole numbers, below 2^31 in size, as text for the page; most bytes of weights are 0.

    Zigzag (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), then all lowest bytes, all second bytes, and
    so on; deflated.
    """
    integers = numbers.detach().flatten().round().to(torch.int64).numpy()
    if integers.size and np.abs(integers).max() >= 2**31:
        raise ValueError(f"expected numbers below 2^31 in size, got {np.abs(integers).max()}")
    zigzag = np.where(integers < 0, -2 * integers - 1, 2 * integers).astype("<u4")
    planes = zigzag.view(np.uint8).reshape(-1, 4).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()

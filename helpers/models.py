"""The networks of the practical: small ``nn.Module``s made from a list of layer sizes.

Every network takes images (N, 1, H, W) and gives *logits* of the same shape: numbers without bounds
that `torch.sigmoid` turns into pixel values in [0, 1]. Sizes that are not whole numbers > 0, and
images of another shape raise ValueError.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from helpers.inner.expect import expect, expect_whole_numbers

LETTER = (7, 5)  # height and width of a letter


class _Dense(nn.Module):
    """What the two dense networks share: images of one shape, and codes that become images."""

    encoder: nn.Sequential
    decoder: nn.Sequential

    def __init__(self, pixels, latent_dim, shape):
        super().__init__()
        side = math.isqrt(pixels)
        self.shape = tuple(shape or (LETTER if pixels == math.prod(LETTER) else (side, side)))
        self.latent_dim = latent_dim
        good = len(self.shape) == 2 and math.prod(self.shape) == pixels
        expect(good, f"shape: expected height x width = {pixels}", self.shape)

    def rows(self, images: Tensor) -> Tensor:
        """images (..., N, 1, H, W) -> (..., N, pixels)."""
        height, width = self.shape
        good = images.dim() >= 4 and images.shape[-3:] == (1, height, width)
        expect(good, f"images: expected shape (N, 1, {height}, {width})", tuple(images.shape))
        return images.flatten(-3)

    def decode(self, codes: Tensor) -> Tensor:
        """codes (N, latent_dim) -> logits (N, 1, H, W)."""
        good = codes.dim() >= 2 and codes.shape[-1] == self.latent_dim
        expect(good, f"codes: expected shape (N, {self.latent_dim})", tuple(codes.shape))
        return self.decoder(codes).unflatten(-1, (1, *self.shape))


class Autoencoder(_Dense):
    """A dense autoencoder: `encode` squeezes an image into a short code, `decode` goes back.

    sizes: the width of every layer, from the image to the code (its size is `latent_dim`) and back,
        such as [35, 17, 2, 17, 35]; ValueError if they are not the same backwards.
    shape: (height, width) of the images; by default a square, and 7 x 5 for 35 pixels: a letter.
    activation: makes the activation after every hidden layer. code_activation: that after the code;
        ``nn.Sigmoid`` keeps it in (0, 1), ``nn.Identity`` leaves it free.
    batch_norm: ``nn.BatchNorm1d`` before every activation but the code's (Ioffe & Szegedy 2015).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        shape: tuple[int, int] | None = None,
        activation: Callable[[], nn.Module] = nn.Tanh,
        code_activation: Callable[[], nn.Module] = nn.Sigmoid,
        batch_norm: bool = False,
    ):
        sizes, middle = list(sizes), len(sizes) // 2
        expect_whole_numbers(sizes=sizes)
        good = len(sizes) >= 3 and len(sizes) % 2 == 1 and sizes == sizes[::-1]
        expect(good, "sizes: expected such as [35, 17, 2, 17, 35]", sizes)
        super().__init__(sizes[0], sizes[middle], shape)
        to_code, back = sizes[: middle + 1], sizes[middle:]
        self.encoder = _dense(to_code, activation, batch_norm).append(code_activation())
        self.decoder = _dense(back, activation, batch_norm)

    def encode(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W) -> codes (N, latent_dim)."""
        return self.encoder(self.rows(images))

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W) -> logits of the same shape."""
        return self.decode(self.encode(images))


class VariationalAutoencoder(_Dense):
    """A dense variational autoencoder (Kingma & Welling 2014): a code is a normal distribution.

    sizes: the width of every layer from the image on, without the code: [400, 300, 200, 100] goes
        400 -> 300 -> 200 -> 100 -> code, and back. shape, activation: as in `Autoencoder`.
    latent_dim: how many numbers a code has.
    While it trains (``self.training``) the code is drawn with the attribute `generator`, a
    ``torch.Generator`` that `fit` sets, or None for the global one; in evaluation mode it is mu.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        latent_dim: int,
        *,
        shape: tuple[int, int] | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        sizes = list(sizes)
        expect_whole_numbers(sizes=sizes, latent_dim=latent_dim)
        expect(len(sizes) >= 2, "sizes: expected at least two", sizes)
        super().__init__(sizes[0], latent_dim, shape)
        self.generator: torch.Generator | None = None
        self.encoder = _dense([*sizes, 2 * latent_dim], activation)
        self.decoder = _dense([latent_dim, *reversed(sizes)], activation)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (N, 1, H, W) -> mu and logvar, (N, latent_dim): mean and log of the variance."""
        return self.encoder(self.rows(images)).chunk(2, dim=-1)

    @staticmethod
    def reparameterize(mu: Tensor, logvar: Tensor, epsilon: Tensor) -> Tensor:
        """A draw of the code: mu + standard deviation * epsilon, with standard normal epsilon.

        All of one shape. The randomness comes from outside, so the gradient can pass through mu and
        logvar (Kingma & Welling, section 2.4). Raises ValueError if the shapes differ.
        """
        shapes = [tuple(value.shape) for value in (mu, logvar, epsilon)]
        expect(len({*shapes}) == 1, "mu, logvar, epsilon: expected one shape", shapes)
        return mu + torch.exp(0.5 * logvar) * epsilon

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (N, 1, H, W) -> logits of the same shape, mu, logvar."""
        mu, logvar = self.encode(images)
        codes = mu
        if self.training:
            codes = self.reparameterize(mu, logvar, normal_like(mu, self.generator))
        return self.decode(codes), mu, logvar


def normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers of the shape, the type and the device of x."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _dense(sizes, activation, batch_norm=False):
    """Linear layers through `sizes`, with an activation between them but none after the last."""
    layers = []
    for i, (width_in, width_out) in enumerate(pairwise(sizes)):
        if i:
            layers += [nn.BatchNorm1d(width_in), activation()] if batch_norm else [activation()]
        layers.append(nn.Linear(width_in, width_out))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """A small convolutional network, after Ronneberger, Fischer & Brox, U-Net (2015).

    It looks at the image at half and at a quarter of its resolution; what it saw at half is handed
    across (the *skip*) to the way back. There is no convolution at full resolution, where it would
    cost most: each block of 2x2 pixels becomes 4 channels first, and back at the end (Shi et al.,
    sub-pixel convolution, 2016).
    """

    def __init__(self):
        super().__init__()
        half, quarter = 32, 24  # channels at half and at a quarter of the resolution
        self.down_1 = nn.Sequential(nn.PixelUnshuffle(2), *_convolution(4, half))
        self.down_2 = nn.Sequential(nn.MaxPool2d(2), *_convolution(half, quarter))
        self.middle = nn.Sequential(*_convolution(quarter, quarter), nn.Upsample(scale_factor=2))
        last = nn.Conv2d(half, 4, 3, padding=1), nn.PixelShuffle(2)
        self.up = nn.Sequential(*_convolution(quarter + half, half), *last)
        self.to(memory_format=torch.channels_last)  # the order in memory that is faster on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W), H and W multiples of 4 -> logits of the same shape."""
        shape = tuple(images.shape)
        good = len(shape) == 4 and shape[1] == 1 and shape[2] % 4 == shape[3] % 4 == 0
        expect(good, "images: expected (N, 1, H, W), H and W multiples of 4", shape)
        seen = self.down_1(images)
        return self.up(torch.cat([self.middle(self.down_2(seen)), seen], dim=1))


def _convolution(channels_in, channels_out):
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(channels_out), nn.ReLU()

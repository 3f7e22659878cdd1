"""The networks of the practical: small ``nn.Module``s made from a list of layer sizes.

Every network gives *logits*: numbers without bounds that `torch.sigmoid` turns into pixel values in [0, 1].
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """``nn.Linear`` that also takes the stacked weights of S networks: weight (S, out, in), bias (S, out).

    The inputs then are (S, N, in), the result is (S, N, out): one batched matrix product in place of S small ones.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if self.weight.dim() == 2:
            return super().forward(inputs)
        return torch.baddbmm(self.bias.unsqueeze(1), inputs, self.weight.mT)


# With these layers alone a network can take stacked weights as it is: all but `Linear` treat each number for itself.
STACKABLE = {Linear, nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus}


class Autoencoder(nn.Module):
    """A dense autoencoder: `encode` squeezes an image into a short code, `decode` turns a code back into an image.

    sizes: the width of every layer, from the image to the code and back, for example [35, 17, 2, 17, 35]. It reads the
        same in both directions; the number in the middle is the size of the code (`latent_dim`).
    activation: makes the activation after every hidden layer, for example ``nn.Tanh``.
    code_activation: the same for the code; ``nn.Sigmoid`` keeps the code in (0, 1), ``nn.Identity`` leaves it free.
    batch_norm: put ``nn.BatchNorm1d`` before the activation of every hidden layer (Ioffe & Szegedy 2015).

    Raises ValueError if `sizes` is not symmetrical, is too short, or has a size that is not a whole number > 0.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Callable[[], nn.Module] = nn.Tanh,
        code_activation: Callable[[], nn.Module] = nn.Sigmoid,
        batch_norm: bool = False,
    ):
        super().__init__()
        sizes = list(sizes)
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"sizes: expected whole numbers > 0, got {sizes}")
        if len(sizes) < 3 or len(sizes) % 2 == 0 or sizes != sizes[::-1]:
            raise ValueError(
                f"sizes: expected the same list forwards and backwards, such as [35, 17, 2, 17, 35], got {sizes}"
            )
        middle = len(sizes) // 2
        self.pixels, self.latent_dim = sizes[0], sizes[middle]
        self.encoder = nn.Sequential(*_dense(sizes[: middle + 1], activation, batch_norm), code_activation())
        self.decoder = nn.Sequential(*_dense(sizes[middle:], activation, batch_norm))
        layers = {type(layer) for layer in (*self.encoder, *self.decoder)}
        self.takes_stacked_weights = type(self) is Autoencoder and layers <= STACKABLE

    def encode(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W), or rows (N, pixels) -> codes (N, latent_dim)."""
        return self.encoder(_rows(images, self.pixels))

    def decode(self, codes: Tensor) -> Tensor:
        """codes (N, latent_dim) -> logits (N, pixels)."""
        _check_codes(codes, self.latent_dim)
        return self.decoder(codes)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W), or rows (N, pixels) -> logits of the same shape."""
        return self.decode(self.encode(images)).reshape(images.shape)


class VariationalAutoencoder(nn.Module):
    """A dense variational autoencoder (Kingma & Welling 2014). Its code is a normal distribution, not a point.

    sizes: the width of every layer from the image on, without the code: [400, 300, 200, 100] goes 400 -> 300 -> 200 ->
        100 -> code, and back. latent_dim: how many numbers a code has. activation: as in `Autoencoder`.

    Raises ValueError for sizes or a latent_dim that are not whole numbers > 0.
    """

    def __init__(self, sizes: Sequence[int], latent_dim: int, *, activation: Callable[[], nn.Module] = nn.ReLU):
        super().__init__()
        sizes = list(sizes)
        if len(sizes) < 2 or not all(isinstance(size, int) and size > 0 for size in [*sizes, latent_dim]):
            raise ValueError(
                f"expected at least two sizes and a latent_dim, whole numbers > 0, got {sizes} and {latent_dim!r}"
            )
        self.pixels, self.latent_dim = sizes[0], latent_dim
        self.encoder = nn.Sequential(*_dense([*sizes, 2 * latent_dim], activation))
        self.decoder = nn.Sequential(*_dense([latent_dim, *reversed(sizes)], activation))
        layers = {type(layer) for layer in (*self.encoder, *self.decoder)}
        self.takes_stacked_weights = type(self) is VariationalAutoencoder and layers <= STACKABLE

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images (N, 1, H, W), or rows (N, pixels) -> mean and logarithm of the variance of the code: mu, logvar.

        Both have the shape (N, latent_dim).
        """
        return self.encoder(_rows(images, self.pixels)).chunk(2, dim=-1)

    @staticmethod
    def reparameterize(mu: Tensor, logvar: Tensor, epsilon: Tensor) -> Tensor:
        """A draw of the code: mu + standard deviation * epsilon, with standard normal numbers epsilon; same shapes.

        The randomness comes from outside, so the gradient can pass through mu and logvar (Kingma & Welling, sec. 2.4).
        Raises ValueError if the shapes differ.
        """
        if not mu.shape == logvar.shape == epsilon.shape:
            raise ValueError(
                "expected mu, logvar and epsilon of one shape, got "
                f"{tuple(mu.shape)}, {tuple(logvar.shape)} and {tuple(epsilon.shape)}"
            )
        return mu + torch.exp(0.5 * logvar) * epsilon

    def decode(self, codes: Tensor) -> Tensor:
        """codes (N, latent_dim) -> logits (N, pixels)."""
        _check_codes(codes, self.latent_dim)
        return self.decoder(codes)

    def forward(self, images: Tensor, epsilon: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """images (N, ...), epsilon (N, latent_dim) -> logits of the images' shape, mu, logvar.

        Without epsilon nothing is drawn: the image is decoded from mu.
        """
        mu, logvar = self.encode(images)
        codes = mu if epsilon is None else self.reparameterize(mu, logvar, epsilon)
        return self.decode(codes).reshape(images.shape), mu, logvar


def sampling_noise(latent_dim: int) -> Callable[..., tuple[Tensor, Tensor]]:
    """`noise` for `Batches` and `fit_ensemble` that makes the inputs of a VariationalAutoencoder: images, epsilon."""
    return partial(_with_epsilon, latent_dim)


def _with_epsilon(latent_dim, images, generator=None):
    shape = (*images.shape[:-3], latent_dim)
    return images, torch.randn(shape, generator=generator, dtype=images.dtype, device=images.device)


def _rows(images, pixels):
    rows = images.flatten(-3) if images.dim() > 3 else images
    if rows.shape[-1] != pixels:
        raise ValueError(
            f"expected images with {pixels} pixels, shape (N, 1, H, W) or (N, {pixels}), "
            f"got shape {tuple(images.shape)}, which has {rows.shape[-1]} each"
        )
    return rows


def _check_codes(codes, latent_dim):
    if codes.shape[-1] != latent_dim:
        raise ValueError(f"expected codes of shape (N, {latent_dim}), got {tuple(codes.shape)}")


def _dense(sizes, activation, batch_norm=False):
    """Linear layers through `sizes`, with an activation between them but none after the last."""
    layers = []
    for i, (width_in, width_out) in enumerate(pairwise(sizes)):
        if i:
            layers += [nn.BatchNorm1d(width_in), activation()] if batch_norm else [activation()]
        layers.append(Linear(width_in, width_out))
    return layers


class UNet(nn.Module):
    """A small convolutional network from image to image, after Ronneberger, Fischer & Brox, U-Net (2015).

    It looks at the image at half and at a quarter of its resolution; what it saw at half is handed across (the *skip*)
    to the way back. There is no convolution at full resolution, where it would cost most: each block of 2x2 pixels
    becomes 4 channels first, and back at the end (Shi et al., sub-pixel convolution, 2016).

    channels: at half and at a quarter of the resolution.
    Raises ValueError for channels that are not two whole numbers > 0.
    """

    def __init__(self, channels: Sequence[int] = (32, 24)):
        super().__init__()
        if len(channels) != 2 or not all(isinstance(width, int) and width > 0 for width in channels):
            raise ValueError(f"channels: expected two whole numbers > 0, got {channels}")
        half, quarter = channels
        self.down_1 = nn.Sequential(nn.PixelUnshuffle(2), *_convolution(4, half))
        self.down_2 = nn.Sequential(nn.MaxPool2d(2), *_convolution(half, quarter))
        self.middle = nn.Sequential(*_convolution(quarter, quarter), nn.Upsample(scale_factor=2))
        self.up = nn.Sequential(
            *_convolution(quarter + half, half), nn.Conv2d(half, 4, 3, padding=1), nn.PixelShuffle(2)
        )
        self.to(memory_format=torch.channels_last)  # the order of the numbers in memory that is faster on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W), H and W multiples of 4 -> logits of the same shape."""
        if images.dim() != 4 or images.shape[1] != 1 or images.shape[2] % 4 or images.shape[3] % 4:
            raise ValueError(
                f"expected images of shape (N, 1, H, W) with H and W multiples of 4, got {tuple(images.shape)}"
            )
        seen = self.down_1(images)
        return self.up(torch.cat([self.middle(self.down_2(seen)), seen], dim=1))


def _convolution(channels_in, channels_out):
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()

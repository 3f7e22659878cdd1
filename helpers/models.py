"""The networks of the practical: small ``nn.Module``s made from a list of layer sizes.

Every network gives *logits*: numbers without bounds that `torch.sigmoid` turns into pixel values in [0, 1].
"""

from collections.abc import Callable, Sequence
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

    Raises ValueError if `sizes` is not symmetrical, is too short, or has a size that is not a whole number > 0.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Callable[[], nn.Module] = nn.Tanh,
        code_activation: Callable[[], nn.Module] = nn.Sigmoid,
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
        self.encoder = nn.Sequential(*_dense(sizes[: middle + 1], activation), code_activation())
        self.decoder = nn.Sequential(*_dense(sizes[middle:], activation))
        layers = {type(layer) for layer in (*self.encoder, *self.decoder)}
        self.takes_stacked_weights = type(self) is Autoencoder and layers <= STACKABLE

    def encode(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W), or rows (N, pixels) -> codes (N, latent_dim)."""
        rows = images.flatten(-3) if images.dim() > 3 else images
        if rows.shape[-1] != self.pixels:
            raise ValueError(
                f"expected images with {self.pixels} pixels, shape (N, 1, H, W) or (N, {self.pixels}), "
                f"got shape {tuple(images.shape)}, which has {rows.shape[-1]} each"
            )
        return self.encoder(rows)

    def decode(self, codes: Tensor) -> Tensor:
        """codes (N, latent_dim) -> logits (N, pixels)."""
        if codes.shape[-1] != self.latent_dim:
            raise ValueError(f"expected codes of shape (N, {self.latent_dim}), got {tuple(codes.shape)}")
        return self.decoder(codes)

    def forward(self, images: Tensor) -> Tensor:
        """images (N, 1, H, W), or rows (N, pixels) -> logits of the same shape."""
        return self.decode(self.encode(images)).reshape(images.shape)


def _dense(sizes, activation):
    """Linear layers through `sizes`, with an activation between them but none after the last."""
    layers = []
    for i, (width_in, width_out) in enumerate(pairwise(sizes)):
        if i:
            layers.append(activation())
        layers.append(Linear(width_in, width_out))
    return layers

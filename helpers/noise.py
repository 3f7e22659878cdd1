"""The two kinds of noise: images in [0, 1] become new images in [0, 1] of the same type.

images: floating point, any shape; TypeError for others. The level, p or std, is a number or a
tensor that broadcasts to the images, such as (N, 1, 1, 1) for one level an image.
`generator` is a ``torch.Generator`` with a seed of its own. Give one wherever the noise must be the
same again, and in every slider: without it the noise comes from PyTorch's global generator.
"""

import torch
from torch import Tensor

from helpers.inner.expect import expect


def salt_and_pepper(
    images: Tensor, p: float | Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Replace every pixel, with probability p, by salt (1) or pepper (0), each with p/2.

    A pixel that is 0 or 1 therefore *flips* with probability p/2. ValueError for p outside [0, 1].
    """
    levels = torch.as_tensor(p)
    good = ((levels >= 0) & (levels <= 1)).all()
    expect(good, "p is a probability: expected a number in [0, 1]", p)
    u = _draw(torch.rand, images, generator)
    salt = u.clone().lt_(p / 2)  # in place all through: new memory costs as much as the arithmetic
    return u.ge_(p).mul_(images).add_(salt).to(images.dtype)


def gaussian(
    images: Tensor, std: float | Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Add normal noise with mean 0 and standard deviation `std` to every pixel, clip to [0, 1].

    std is in the unit of the pixels. ValueError if it is negative or not finite.
    """
    levels = torch.as_tensor(std)
    good = ((levels >= 0) & levels.isfinite()).all()
    expect(good, "std is a standard deviation: expected a finite number >= 0", std)
    normal = _draw(torch.randn, images, generator)
    return normal.mul_(std).add_(images).clamp_(0, 1).to(images.dtype)


def _draw(random, images, generator):
    """Random numbers for all pixels; 16 bits are too coarse for them (p = 0.001 became 0.003)."""
    if not images.is_floating_point():
        raise TypeError(f"images: expected floating point in [0, 1], got {images.dtype}")
    dtype = torch.promote_types(images.dtype, torch.float32)
    return random(images.shape, generator=generator, dtype=dtype, device=images.device)

"""The two kinds of noise. Both take images in [0, 1] and give new images in [0, 1]; the input is not changed.

`generator` is a ``torch.Generator`` with a seed of its own. Give one wherever the noise must be the same again, and in
every slider: without it the noise comes from PyTorch's global generator, which trainings use too.
"""

import torch
from torch import Tensor


def salt_and_pepper(images: Tensor, p: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Replace every pixel, with probability p, by salt (1) or pepper (0), each with probability p/2.

    A pixel that is 0 or 1 therefore *flips* with probability p/2. images: floating point, any shape, values in [0, 1].
    p: a number, or a tensor that broadcasts to the images, such as (N, 1, 1, 1) for one p an image.
    Raises TypeError for images that are not floating point, ValueError for p outside [0, 1].
    """
    _check_images(images)
    levels = torch.as_tensor(p)
    if not ((levels >= 0) & (levels <= 1)).all():
        raise ValueError(f"p is a probability: expected a number in [0, 1], got {p}")
    u = torch.rand(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    salt = u < p / 2
    return u.ge_(p).mul_(images).add_(salt)  # in place: new memory costs as much as the arithmetic


def gaussian(images: Tensor, std: float | Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Add normal noise with mean 0 and standard deviation `std` to every pixel, then clip to [0, 1].

    images: floating point, any shape, values in [0, 1]; std in the same unit, a number, or a tensor that broadcasts to
    the images, such as (N, 1, 1, 1) for one std an image.
    Raises TypeError for images that are not floating point, ValueError for a std that is negative or not finite.
    """
    _check_images(images)
    levels = torch.as_tensor(std)
    if not ((levels >= 0) & levels.isfinite()).all():
        raise ValueError(f"std is a standard deviation: expected a finite number >= 0, got {std}")
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    return noise.mul_(std).add_(images).clamp_(0, 1)  # in place: three passes over the memory fewer


def _check_images(images):
    if not images.is_floating_point():
        raise TypeError(
            f"images: expected floating point values in [0, 1], got {images.dtype}; try images.float() / 255"
        )

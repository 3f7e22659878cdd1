"""The data sets of the practical, all in the folder ``data``, all read without the internet.

Every loader gives an `ImageSet`: images, float32 (N, 1, height, width) in [0, 1], and one label for
each. A damaged file raises ValueError (a damaged picture OSError), a missing one FileNotFoundError.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from helpers.inner.expect import expect
from helpers.inner.files import read_gzip, read_lines, read_patterns

DATA_FOLDER = Path(__file__).with_name("_data")  # where `pip install .` puts a copy
if not DATA_FOLDER.exists():
    DATA_FOLDER = Path(__file__).resolve().parent.parent / "data"  # in the repository


class ImageSet(NamedTuple):
    """images: float32 (N, 1, H, W) in [0, 1]; labels: N names, or for digits int64 (N,)."""

    images: Tensor
    labels: tuple[str, ...] | Tensor


def load_letters() -> ImageSet:
    """The 32 letters, (32, 1, 7, 5), 0 is paper, 1 ink; names "`", "a" ... "z", "{" ... "DEL"."""
    return ImageSet(*read_patterns(DATA_FOLDER / "letters.txt", 32))


def load_capitals() -> ImageSet:
    """10 digits and 26 capitals of a like font, to test a network on what it never saw."""
    return ImageSet(*read_patterns(DATA_FOLDER / "capitals.txt", 36))


def load_emoji() -> ImageSet:
    """The 56 emoji faces: (56, 1, 20, 20), grey values, light on black; their Unicode names."""
    names = tuple(line.partition(" ")[2] for _, line in read_lines(DATA_FOLDER / "emoji.txt"))
    with Image.open(DATA_FOLDER / "emoji.png") as sheet:
        pixels, found = torch.from_numpy(np.array(sheet)), (len(names), sheet.size, sheet.mode)
    expected = (56, (160, 140), "L")
    expect(found == expected, f"emoji: expected names, pixels, mode {expected}", found)
    faces = pixels.reshape(7, 20, 8, 20).transpose(1, 2)  # 7 rows of 8
    return ImageSet(faces.reshape(56, 1, 20, 20).float() / 255, names)


def load_mnist(train: bool = True) -> ImageSet:
    """MNIST digits: (60000, 1, 28, 28), or the 10000 of the test with ``train=False``; 0 to 9.

    A missing file is fetched from torchvision's mirrors and kept; all are checked by their md5.
    """
    from torchvision.datasets import MNIST  # here: it takes longer to import than all the rest

    folder = DATA_FOLDER / "MNIST" / "raw"
    images, labels = (  # each with a header of its own length
        torch.frombuffer(read_gzip(folder / name, md5, MNIST.mirrors), dtype=torch.uint8)
        for name, md5 in MNIST.resources
        if name.startswith("train" if train else "t10k")
    )
    return ImageSet(images[16:].reshape(-1, 1, 28, 28).float().div_(255), labels[8:].long())

"""The three data sets of the practical, all in the folder ``data``, all read without a network.

Every loader gives the same thing: an `ImageSet` with images, float32 of shape (N, 1, height, width) and values in
[0, 1], and one label for each image.
"""

import contextlib
import gzip
import hashlib
import http.client
import io
import unicodedata
import urllib.request
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from helpers.files import write_atomically

DATA_FOLDER = Path(__file__).resolve().parent.parent / "data"

LETTER_COUNT, CAPITAL_COUNT, LETTER_ROWS, LETTER_COLUMNS = 32, 36, 7, 5
EMOJI_COUNT, EMOJI_SIDE, EMOJI_COLUMNS = 56, 20, 8
MNIST_TIMEOUT = 30  # seconds to wait for a mirror


class ImageSet(NamedTuple):
    """images: float32 (N, 1, H, W) in [0, 1]; labels: N names (letters, emoji) or an int64 tensor (N,) (MNIST)."""

    images: Tensor
    labels: tuple[str, ...] | Tensor


def load_letters(file: str | Path = DATA_FOLDER / "letters.txt") -> ImageSet:
    """The 32 letters: images (32, 1, 7, 5), each pixel 0 (paper) or 1 (ink); labels "`", "a" ... "z", "{" ... "DEL".

    Raises ValueError, with the file and the line, if a pattern has the wrong shape or a wrong character, if a name
    comes twice, or if there are not 32 letters.
    """
    return _read_patterns(Path(file), LETTER_COUNT)


def load_capitals(file: str | Path = DATA_FOLDER / "capitals.txt") -> ImageSet:
    """The 10 digits and 26 capitals of a like font, to test a network on what it never saw: images (36, 1, 7, 5).

    Raises ValueError like `load_letters`.
    """
    return _read_patterns(Path(file), CAPITAL_COUNT)


def _read_patterns(file, count):
    names, patterns, start = [], [], ""
    for number, line in _read_lines(file):
        where = f"{file}, line {number}"
        if line.startswith("letter "):
            _check_letter_is_complete(names, patterns, start)
            start = where
            name = line.removeprefix("letter ").strip()
            if name in names:
                raise ValueError(f"{where}: the letter {name!r} comes twice; expected {count} different names")
            names.append(name)
            patterns.append([])
        elif not names:
            raise ValueError(f"{where}: expected a line 'letter NAME' before the first pattern, got {line!r}")
        elif len(line) != LETTER_COLUMNS or set(line) - set("#."):
            row = len(patterns[-1]) + 1
            raise ValueError(
                f"{where}: letter {names[-1]!r}, row {row}: expected {LETTER_COLUMNS} characters, each '#' or '.', "
                f"or a line 'letter NAME'; got {line!r} ({len(line)} characters)"
            )
        else:
            patterns[-1].append([character == "#" for character in line])
    _check_letter_is_complete(names, patterns, start)
    if len(names) != count:
        raise ValueError(f"{file}: expected {count} letters, got {len(names)}")
    return ImageSet(torch.tensor(patterns, dtype=torch.float32).unsqueeze(1), tuple(names))


def _read_lines(file):
    """The numbered lines of a text file, without empty lines and comments."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()  # -sig: Windows editors may put a mark at the start
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected a text file in UTF-8: {error}") from error
    numbered = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    return [(number, line) for number, line in numbered if line and not line.startswith(";")]


def _check_letter_is_complete(names, patterns, where):
    if patterns and len(patterns[-1]) != LETTER_ROWS:
        raise ValueError(f"{where}: letter {names[-1]!r} has {len(patterns[-1])} rows, expected {LETTER_ROWS}")


def load_emoji(sheet: str | Path = DATA_FOLDER / "emoji.png", names: str | Path | None = None) -> ImageSet:
    """The 56 emoji faces: images (56, 1, 20, 20), grey values in [0, 1]; labels: their Unicode names.

    `sheet` is the picture with all faces, `names` the list of what is on it (by default emoji.txt beside the sheet).
    Raises ValueError if the sheet has another size or mode, or if the list does not fit it.
    """
    sheet = Path(sheet)
    names = sheet.with_name("emoji.txt") if names is None else Path(names)
    labels = _read_emoji_names(names)
    size = (EMOJI_COLUMNS * EMOJI_SIDE, EMOJI_COUNT // EMOJI_COLUMNS * EMOJI_SIDE)
    content = io.BytesIO(sheet.read_bytes())
    try:
        picture = Image.open(content)
        picture.load()
    except OSError as error:
        raise ValueError(f"{sheet}: expected a whole PNG picture, got one that cannot be read: {error}") from error
    if picture.size != size or picture.mode != "L":
        raise ValueError(
            f"{sheet}: expected {size[0]}x{size[1]} pixels of mode 'L' (8-bit grey), "
            f"got {picture.size[0]}x{picture.size[1]} of mode {picture.mode!r}"
        )
    pixels = torch.from_numpy(np.array(picture))
    rows, columns = EMOJI_COUNT // EMOJI_COLUMNS, EMOJI_COLUMNS
    faces = pixels.reshape(rows, EMOJI_SIDE, columns, EMOJI_SIDE).transpose(1, 2)
    return ImageSet(faces.reshape(EMOJI_COUNT, 1, EMOJI_SIDE, EMOJI_SIDE).float() / 255, labels)


def _read_emoji_names(file):
    labels = []
    for number, line in _read_lines(file):
        code, _, name = line.partition(" ")
        try:
            known = unicodedata.name(chr(int(code, 16)))
        except ValueError as error:
            raise ValueError(
                f"{file}, line {number}: expected 'CODE NAME' with a hexadecimal code, got {line!r}"
            ) from error
        if name != known:
            raise ValueError(f"{file}, line {number}: U+{code} is called {known!r} in Unicode, got {name!r}")
        labels.append(name)
    if len(labels) != EMOJI_COUNT:
        raise ValueError(f"{file}: expected {EMOJI_COUNT} faces, got {len(labels)}")
    return tuple(labels)


def load_mnist(train: bool = True, folder: str | Path = DATA_FOLDER / "MNIST" / "raw", mirrors=None) -> ImageSet:
    """MNIST digits: images (60000, 1, 28, 28), or (10000, 1, 28, 28) with `train=False`; labels: int64 (N,), 0 to 9.

    Reads the four .gz files as published and checks their md5 against ``torchvision.datasets.MNIST.resources``. A file
    that is missing is fetched from torchvision's mirrors (`mirrors` names others) and put into `folder`.
    Raises ValueError for a file with the wrong content, FileNotFoundError if one is missing and cannot be fetched.
    """
    from torchvision.datasets import MNIST  # here, because importing torchvision takes longer than all the rest

    return _load_idx(MNIST, train, folder, mirrors)


def load_fashion_mnist(train: bool = False, folder: str | Path = DATA_FOLDER / "FashionMNIST" / "raw", mirrors=None):
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): clothes in the format of MNIST; labels 0 to 9. See `load_mnist`.

    These files are not part of the practical: without them and without a network it raises FileNotFoundError.
    """
    from torchvision.datasets import FashionMNIST

    return _load_idx(FashionMNIST, train, folder, mirrors)


def _load_idx(published, train, folder, mirrors):
    mirrors = published.mirrors if mirrors is None else mirrors
    stem = "train" if train else "t10k"
    files = {name: md5 for name, md5 in published.resources if name.startswith(stem)}
    contents = {name: _read_checked(Path(folder) / name, md5, mirrors) for name, md5 in files.items()}
    pixels = torch.frombuffer(contents[f"{stem}-images-idx3-ubyte.gz"], dtype=torch.uint8, offset=16)
    digits = torch.frombuffer(contents[f"{stem}-labels-idx1-ubyte.gz"], dtype=torch.uint8, offset=8)
    return ImageSet(pixels.reshape(-1, 1, 28, 28).float().div_(255), digits.long())


def _read_checked(file, md5, mirrors):
    """The content of a .gz file whose md5 is known; fetched first if it is not there."""
    packed = file.read_bytes() if file.exists() else _fetch(file, md5, mirrors)
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(
            f"{file}: not the published file: expected md5 {md5}, got {found} ({len(packed)} bytes). "
            "It may be cut short. Delete it: it will be fetched again."
        )
    return bytearray(gzip.decompress(packed))  # bytearray: torch wants a buffer that it may write to


def _fetch(file, md5, mirrors):
    """Get a missing file from the first mirror that has it, and keep it; the file is never seen half written."""
    tried = []
    for mirror in mirrors:
        url = mirror + file.name
        try:
            with urllib.request.urlopen(url, timeout=MNIST_TIMEOUT) as answer:
                packed = answer.read()
        except (OSError, http.client.HTTPException) as error:  # the second: a mirror that hangs up half-way
            tried.append(f"  {url}: {error}")
            continue
        found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
        if found != md5:
            tried.append(f"  {url}: sent a file with md5 {found}")
            continue
        with contextlib.suppress(OSError):  # a read-only folder: the content is used, only not kept
            write_atomically(file, packed)
        return packed
    raise FileNotFoundError(
        f"The file {file.name} is missing and could not be fetched:\n" + "\n".join(tried) + "\n"
        "Get it from another computer (the repository of this practical has those of MNIST) "
        f"and put it into {file.parent} (md5 {md5})."
    )

"""Files of data: read, checked, and those of MNIST fetched if they are missing."""

import contextlib
import gzip
import hashlib
import http.client
import tempfile
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from helpers.inner.expect import expect


def read_patterns(file: Path, count: int) -> tuple[Tensor, tuple[str, ...]]:
    """Letters and their names: a line 'letter NAME', then 7 rows of 5 characters, '#' or '.'."""
    letters: dict[str, list] = {}
    rows: list | None = None
    for where, line in read_lines(file):
        if line.startswith("letter "):
            letter, rows = line.removeprefix("letter ").strip(), []
            expect(letter not in letters, f"{where}: expected a new name", f"{letter!r} again")
            letters[letter] = rows
        else:
            good = rows is not None and len(line) == 5 and set(line) <= set("#.")
            expect(good, f"{where}: expected 'letter NAME' or 5 times '#' or '.'", repr(line))
            rows.append([character == "#" for character in line])
    for letter, rows in letters.items():
        expect(len(rows) == 7, f"{file.name}: {letter!r}: expected 7 rows", len(rows))
    expect(len(letters) == count, f"{file.name}: expected {count} letters", len(letters))
    return torch.tensor([*letters.values()]).float().unsqueeze(1), tuple(letters)


def read_lines(file: Path) -> list[tuple[str, str]]:
    """Each line of a text file, and where it is; without empty lines and comments."""
    text = file.read_text(encoding="utf-8-sig")  # -sig: a mark of Windows editors
    numbered = [(f"{file.name}, line {i}", s.strip()) for i, s in enumerate(text.splitlines(), 1)]
    return [(where, line) for where, line in numbered if line and not line.startswith(";")]


def read_gzip(file: Path, md5: str, mirrors: Iterable[str]) -> bytearray:
    """What is in a packed file with this md5. ValueError if it is another one; if it is missing it
    is fetched, FileNotFoundError if no mirror has it."""
    packed = file.read_bytes() if file.exists() else _fetch(file, md5, mirrors)
    _check(packed, md5, f"{file} is damaged, delete it to fetch it again")
    return bytearray(gzip.decompress(packed))  # torch wants a buffer that it may write to


def _check(packed, md5, what):
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    expect(found == md5, f"{what}: expected md5 {md5}", found)


def _fetch(file, md5, mirrors):
    """A missing file from the first mirror that has it; kept, if the folder can be written."""
    tried = []
    for url in (mirror + file.name for mirror in mirrors):
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                packed = answer.read()
            _check(packed, md5, "another file")
        except (OSError, ValueError, http.client.HTTPException) as error:  # that: it hung up
            tried.append(f"{url}: {error}")
            continue
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=file.parent) as folder:
                half = Path(folder, file.name)
                half.write_bytes(packed)
                half.replace(file)  # nobody sees a file half written
        return packed
    raise FileNotFoundError(
        f"{file} is missing, copy it there; no mirror has it: {'; '.join(tried)}"
    )

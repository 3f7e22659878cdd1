"""Files as they were published: read, checked, fetched if they are missing."""

import contextlib
import gzip
import hashlib
import http.client
import tempfile
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from helpers.inner.expect import expect


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

"""Writing files so that nobody ever sees half of one."""

import os
import tempfile
from pathlib import Path


def write_atomically(file: str | Path, content: bytes) -> None:
    """Write `content` to a temporary file in the same folder, then rename it to `file`.

    Whatever goes wrong (a full disk, a read-only folder), an older `file` stays as it was: OSError is raised.
    Several processes may write the same file at the same time: the last one wins.
    """
    file = Path(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise

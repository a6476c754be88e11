"""Files that are replaced whole."""

import os
import tempfile
from pathlib import Path


def replace_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a 0600 file in one step, so that a reader or a crash never finds half of it.

    Args:
        durable: whether it must outlive a loss of power from now on; a disk takes some milliseconds for it.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

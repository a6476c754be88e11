"""Files that are replaced whole."""

import os
import tempfile
from pathlib import Path


def replace_whole(
    path: Path, content: str | bytes, *, durable: bool = False, unfinished: Path | None = None
) -> None:
    """Write a file in one step, so that a reader or a crash never finds half of it.

    Args:
        durable: whether it must outlive a loss of power from now on; a disk takes some milliseconds for it.
        unfinished: where it is written at first, for who finds by that name what a crash has left; the file
            may be read by whom the umask lets. Without, by a name that nobody else has, and it is 0600.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    if unfinished is None:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
        new = Path(name)
    else:
        new = unfinished
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise

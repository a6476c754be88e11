"""Where the workers of one service count: files that each maps into its memory, shared with nobody else.

In memory where there is /dev/shm. On a disk they would be at its mercy: a worker that starts while it is full
is ended by the kernel (SIGBUS) at its first count, and the next one too. Counts end with the service anyway.
"""

import errno
import hashlib
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client looks at it when a worker first imports it
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - see make_empty

WORKER_BYTES = 512 * 1024  # of the five files of one, with some growth

_made: list[Path] = []  # outlives a reload, which reads gunicorn's configuration anew


def candidates(state_dir: Path, bind: str) -> list[Path]:
    """Folders for the service that listens on `bind`, the best one first.

    Services may share a state folder, and with it the last known flags, but not the files that they count in.
    """
    own = state_dir.absolute() / f"metrics-{bind.replace('/', '_')}"
    name = f"canario-{os.getuid()}-{hashlib.sha256(os.fsencode(own)).hexdigest()[:16]}"
    return [IN_MEMORY / name, own] if IN_MEMORY.is_dir() else [own]


def make_empty(folders: list[Path], workers: int = 1) -> Path:
    """The first of `folders` that can be made anew, empty, for this user alone, with room for `workers`.

    What a former run left is removed; what belongs to another user stays, and the next folder is taken. The
    last one is taken without room too: workers can wait for it (service.metrics_files).

    Raises:
        OSError: of the last one.
    """
    *others, last = folders
    for folder in others:
        try:
            return _make(folder, workers * WORKER_BYTES)
        except OSError as error:
            log.warning("workers cannot count in %s: %s", folder, error)
    return _make(last)


def remove() -> None:
    """Remove the folders that this process has made."""
    while _made:
        shutil.rmtree(_made.pop(), ignore_errors=True)


def _make(folder: Path, room: int = 0) -> Path:
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    if room:
        found = os.statvfs(folder.parent)
        if found.f_bavail * found.f_frsize < room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    folder.mkdir(mode=0o700, parents=True)
    _made.append(folder)
    return folder

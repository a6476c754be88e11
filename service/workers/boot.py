"""What gunicorn's master keeps for its workers: the settings, a folder to count in, and who may start.

Nothing here, nor in what it imports, may import prometheus_client: that looks at COUNTS_VARIABLE when it is
first imported, and only a worker that imports it after the fork counts in the folder.
"""

import errno
import hashlib
import logging
import mmap
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import CanarioError
from service.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

log = logging.getLogger(__name__)

COUNTS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - see count_folders
WORKER_BYTES = 512 * 1024  # of the five files of one worker, with some growth
APP_LOAD_ERROR = 4  # as gunicorn.arbiter.Arbiter has it
# At these exit codes gunicorn's master ends the whole service, for it may be that no worker will ever start.
# That is right for a service that has never served, and for no other.
HALTING = (3, APP_LOAD_ERROR)  # 3: WORKER_BOOT_ERROR
REST_SECONDS = 5.0
RETRY = 1  # an exit code at which the master forks another worker

# They outlive a reload, which reads gunicorn's configuration anew.
_made: list[Path] = []
_settings: list[Settings] = []
_served: list[mmap.mmap] = []  # one byte, shared by the master and its workers: whether one has started


def count_folders(state_dir: Path, bind: str) -> list[Path]:
    """Folders to count in for the service that listens on `bind`, the best one first.

    In memory where there is /dev/shm. On a disk the files would be at its mercy: a worker that starts while
    it is full is ended by the kernel (SIGBUS) at its first count, and the next one too. Counts end with the
    service anyway.

    Services may share a state folder, and with it the last known flags, but not the files that they count in.
    """
    own = state_dir.absolute() / f"metrics-{bind.replace('/', '_')}"
    name = f"canario-{os.getuid()}-{hashlib.sha256(os.fsencode(own)).hexdigest()[:16]}"
    return [IN_MEMORY / name, own] if IN_MEMORY.is_dir() else [own]


def make_count_folder(folders: list[Path], workers: int = 1) -> Path:
    """The first of `folders` that can be made anew, empty, for this user alone, with room for `workers`.

    What a former run left is removed; what belongs to another user stays, and the next folder is taken. The
    last one is taken without room too: workers can wait for it (service.metrics.files).

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


def remove_count_folders() -> None:
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


def share() -> None:
    """Make what the workers share; called once, in the master, before it forks."""
    _served.append(mmap.mmap(-1, 1))


def worker_started() -> None:
    """This worker can answer."""
    if _served:
        _served[0][0] = 1


def keep(settings: Settings) -> Settings:
    """Note what the service was started with."""
    _settings[:] = [settings]
    return settings


def kept_settings() -> Settings | None:
    """What the service was started with; None outside of gunicorn."""
    return _settings[0] if _settings else None


def spare_siblings() -> None:
    """Called at a worker's end: if it could not start, and others could, end it so that the others live."""
    code = getattr(sys.exc_info()[1], "code", None)  # gunicorn's `finally` sees its own SystemExit
    if code not in HALTING or not _served or not _served[0][0]:
        return
    log.critical(
        "this worker cannot start; the others serve on, and it is tried again in %.0f s", REST_SECONDS
    )
    time.sleep(REST_SECONDS)
    os._exit(RETRY)


def make_app() -> "Flask":
    """What gunicorn serves: the app of one worker, made after the fork. Ends a worker that cannot start."""
    from service.app import create_app  # noqa: PLC0415 - it imports prometheus_client

    try:
        return create_app(kept_settings())
    except CanarioError as error:
        log.critical("the service cannot start: %s", error)
        sys.exit(APP_LOAD_ERROR)

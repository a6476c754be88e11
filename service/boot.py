"""What becomes of a worker that cannot start: it never ends the others, and is tried again after a rest.

Gunicorn's master ends the whole service when a worker ends with one of two exit codes, for it may be that
none will ever start. That is right for a service that has never served, and for no other.
"""

import logging
import mmap
import os
import sys
import time

from service.settings import Settings

log = logging.getLogger(__name__)

HALTING = (3, 4)  # gunicorn.arbiter.Arbiter.WORKER_BOOT_ERROR and APP_LOAD_ERROR
REST_SECONDS = 5.0
RETRY = 1  # an exit code at which the master forks another worker

_served: list[mmap.mmap] = []  # one byte, shared by the master and its workers: whether one has started
_settings: list[Settings] = []


def share() -> None:
    """Called once, in gunicorn's master, before it forks."""
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

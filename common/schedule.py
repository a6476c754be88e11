"""Work that goes on for ever, on a schedule or in a thread, and an end at once when a signal asks for it."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import NoReturn

TOLD_EVERY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Shutdown:
    """Ends the process on SIGTERM or SIGINT, in the middle of a query too; a rollback is finished first."""

    def __init__(self, exit_code: int | None = None) -> None:
        """`exit_code` is that of a process ended so; without it 128 + the signal's number, as in shells."""
        self._exit_code = exit_code
        self._held = False
        self._asked: int | None = None

    def install(self) -> None:
        """Take over both signals. To be called in the main thread."""
        for wanted in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wanted, self._handle)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put off the end of the process until the block is done."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
            if self._asked is not None:
                self._end(self._asked)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._asked = number
        else:
            self._end(number)

    def _end(self, number: int) -> NoReturn:
        raise SystemExit(128 + number if self._exit_code is None else self._exit_code)


def repeat(
    work: Callable[[], object],
    period: timedelta,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> NoReturn:
    """Do `work` every `period`, for ever. What it raises is logged, and the next time comes all the same."""
    every, start = period.total_seconds(), clock()
    while True:
        try:
            work()
        except Exception as error:
            _log.exception("the pass failed", extra={"error": f"{type(error).__name__}: {error}"})
        sleep(seconds_to_next(clock() - start, every))


def seconds_to_next(elapsed: float, every: float) -> float:
    """Seconds until the next multiple of `every`; those that a long pass has missed are left out."""
    return (math.floor(elapsed / every) + 1) * every - elapsed


def keep_running(
    name: str,
    work: Callable[[], object],
    *,
    again_after: float,
    until: Callable[[], bool] = lambda: False,
) -> threading.Thread:
    """A daemon thread that does `work`, and begins again when it ends or raises, `again_after` seconds later.

    Why is logged the first time, when it changes, and once a minute. `until`: whether it is to end for good.
    """

    def run() -> None:
        told, told_at = "", float("-inf")
        while True:
            try:
                work()
                why = "it has ended"
            except BaseException as error:  # also SystemExit: it would end the thread, and not the process
                why = f"{type(error).__name__}: {error}"
            if until():
                return
            if why != told or time.monotonic() - told_at >= TOLD_EVERY_SECONDS:
                told, told_at = why, time.monotonic()
                _log.error("%s: begins again", name, extra={"error": why, "again_after": again_after})
            time.sleep(again_after)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread

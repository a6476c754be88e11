"""Waiting for what other threads and processes do: as short as can be, and never without end."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 15, every: float = 0.02) -> None:
    """Return as soon as `condition` holds; fail if it does not within `seconds`.

    The deadline is for a machine that is busy: no test passes because of it, and none takes so long.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(every)  # what is waited for happens outside of this thread, which can do no more than look


def never(condition: Callable[[], object], seconds: float = 0.1, every: float = 0.01) -> None:
    """Fail if `condition` holds at any look within `seconds`: for what is not to happen there is no event."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert not condition(), "it came to pass"
        time.sleep(every)  # it would happen in another thread

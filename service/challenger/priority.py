"""The lowest priority, and few cores: without privileges none comes back from it.

A thread of the lowest priority still makes others wait for a moment when they want its core: up to a tick of
the clock, often 4 ms. So all that is lowered shares few cores, and the other cores are left alone.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

LOWEST: Final = 19
SHARE_OF_CORES: Final = 0.25  # for all that is lowered; at least one


def lower_this_thread() -> None:
    """For good. Threads that it starts inherit it, but for the cores."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


def confine_this_thread() -> None:
    """Let it, and what it starts, have few cores."""
    _confine(0)


def lower_group(leader: int) -> None:
    """All threads of the process group get the lowest priority, those of its leader few cores too."""
    with suppress(OSError):  # it has ended
        os.setpriority(os.PRIO_PGRP, leader, LOWEST)
        for thread in Path(f"/proc/{leader}/task").iterdir():
            _confine(int(thread.name))


def in_a_lowered_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises; the thread has ended by then."""
    with ThreadPoolExecutor(1, initializer=lower_this_thread) as one:
        return one.submit(work).result()


def few(cores: set[int]) -> set[int]:
    """Of these, those that what is lowered may have: the last ones, the same for all workers."""
    return set(sorted(cores)[-max(1, int(SHARE_OF_CORES * len(cores))) :])


def _confine(thread: int) -> None:
    with suppress(OSError):  # it has ended, or the container forbids it
        os.sched_setaffinity(thread, few(os.sched_getaffinity(0)))

"""The lowest priority, for one thread: without privileges none comes back from it, so others do the rest."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

LOWEST = 19


def lower_this_thread() -> None:
    """For good. Threads that it starts inherit it."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)


def in_a_lowered_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises; the thread has ended by then."""
    with ThreadPoolExecutor(1, initializer=lower_this_thread) as one:
        return one.submit(work).result()

"""Brings what the stack runs into the cache: each module makes one thing, whole or not at all."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from stack.paths import Cache


@contextmanager
def installing(cache: Cache) -> Iterator[None]:
    """Only one process installs at a time; what a killed one left unfinished is removed."""
    cache.root.mkdir(parents=True, exist_ok=True)
    with (cache.root / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in (cache.root, cache.root / "unleash"):
            for unfinished in folder.glob(".unfinished-*"):
                shutil.rmtree(unfinished, ignore_errors=True)
        yield

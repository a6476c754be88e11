"""64-bit words that a process shares with those forked from it after they were made."""

import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b


class SharedWords:
    """`count` words, 0 at first. Each is read and written whole; `locked` keeps several together.

    Args:
        name: of the file in memory, as it is seen in /proc.

    Attributes:
        hash: blake2b with a key of these processes, so that it is the same in all of them and no others.
    """

    def __init__(self, name: str, count: int) -> None:
        self.hash = partial(blake2b, key=os.urandom(16))
        # A file in memory, for the sake of its lock: the kernel frees that when a worker dies.
        self._file = os.memfd_create(name)
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, 8 * count)
        self.words = memoryview(mmap.mmap(self._file, 8 * count)).cast("Q")
        self._threads = threading.Lock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else is in such a block meanwhile, in any thread or process."""
        with self._threads:  # the file's lock keeps processes apart, not threads
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

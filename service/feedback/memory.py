"""What the workers of one service remember together: who was assigned lately, which outcomes were told.

The master makes this memory before it forks, so that it does not matter which worker gets a feedback. It is
of fixed size and holds hashes only: now and then a newer entry takes the place of an older one. It ends with
the service; ids that the service made need none of it (service.feedback.request_ids).
"""

import fcntl
import mmap
import os
import threading
import weakref
from hashlib import blake2b

SLOTS = 2**20  # 8 MiB; 90% of the entries outlive 110,000 newer ones, 37% a million
_VALUES = 0b11


class Table:
    """Small numbers by text, shared by this process and those forked from it after it was made.

    One slot is one 64-bit word, hash and value in one: a write is never seen half.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        if slots.bit_count() != 1:
            raise ValueError(f"{slots} is no power of two")
        self._mask, self._key = slots - 1, os.urandom(16)
        # A file in memory, for the sake of its lock: the kernel frees that when a worker dies.
        self._file = os.memfd_create("canario-memory")
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, 8 * slots)
        self._words = memoryview(mmap.mmap(self._file, 8 * slots)).cast("Q")
        self._threads = threading.Lock()

    def put(self, text: str, value: int) -> None:
        """Remember `value`, 1 to 3, for `text`."""
        word, slot = self._place(text)
        self._words[slot] = word | value

    def get(self, text: str) -> int | None:
        """The value for `text`; None when it was never put, or has been forgotten."""
        word, slot = self._place(text)
        found = self._words[slot]
        return found & _VALUES if found & ~_VALUES == word and found & _VALUES else None

    def add(self, text: str) -> bool:
        """Remember `text`; False when it was there already. Of several callers at once, one gets True."""
        with self._threads:  # the file's lock keeps processes apart, not threads
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                if self.get(text) is not None:
                    return False
                self.put(text, 1)
                return True
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _place(self, text: str) -> tuple[int, int]:
        hashed = int.from_bytes(blake2b(text.encode(), key=self._key, digest_size=8).digest(), "little")
        return hashed & ~_VALUES, (hashed >> 2) & self._mask


class Memory:
    """The tables of one service: who was assigned by request id and by user, and what was told."""

    def __init__(self) -> None:
        self.requests, self.users, self.told = Table(), Table(), Table()


_shared: list[Memory] = []


def share() -> None:
    """Make the memory of all workers; called once, in gunicorn's master."""
    _shared.append(Memory())


def memory() -> Memory:
    """The memory that the master made; where there is none, one of this process alone."""
    return _shared[0] if _shared else Memory()

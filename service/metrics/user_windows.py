"""Counts bad calls by user: the first of each user, with each model, in each ten minutes by the clock.

Calls of one user hang together, so ten of them that fail are hardly more evidence than one. The rollback job
weighs user-windows instead (docs/statistics.md), by bucket of the flag's hash.

Who was counted in this window is in a memory that the workers of a service share: the master makes it before
it forks. It is of fixed size and holds hashes only. A user for whom there is no room is not counted, which is
told. It is looked at when a call was bad, and only then.

Everybody is forgotten when the flag's switch or share changes. A stage is judged by what came since it began;
whose calls were bad just before, in a try that was rolled back, would be missing in the next one.
"""

import time
from collections.abc import Callable
from typing import Final

from common.names import Model
from service.workers.shared_words import SharedWords

SECONDS: Final = 600  # of a window; windows begin at multiples of it in Unix time, on all hosts
SLOTS: Final = 2**17  # 1 MiB; room for 100,000 users whose calls are bad within ten minutes
_REACH: Final = 16  # slots in which a user may stand
_WINDOWS: Final = 1 << 16  # are told apart, which is more than a year
_HASH_BITS: Final = 48
_ROUND, _STATE = -2, -1  # words behind the slots: how often everybody was forgotten, and what for


class SeenUsers:
    """Who was counted already, shared by this process and those forked from it after it was made.

    A slot is a 64-bit word: the number of the window above, a hash of user and model below. Slots of windows
    that are over are free.
    """

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._shared = SharedWords("canario-user-windows", slots + _REACH + 2)

    def is_new(self, model: str, user_id: str, window: int) -> bool | None:
        """Whether the user was not seen in this window yet, and is now; None where there is no room.

        Of several callers at once, one gets True.
        """
        words = self._shared.words
        text = f"{words[_ROUND]}\n{model}\n{user_id}"
        digest = self._shared.hash(text.encode(), digest_size=16).digest()
        begin = int.from_bytes(digest[:8], "little") % self._slots
        hashed = int.from_bytes(digest[8:14], "little") or 1
        word = (window % _WINDOWS) << _HASH_BITS | hashed
        with self._shared.locked():
            near = words[begin : begin + _REACH].tolist()
            if word in near:
                return False
            for place, found in enumerate(near):
                if found >> _HASH_BITS != window % _WINDOWS or not found:
                    words[begin + place] = word
                    return True
            return None

    def forget(self, state: str) -> None:
        """Forget everybody, unless `state` is what they were forgotten for last, by whichever worker."""
        words = self._shared.words
        told = int.from_bytes(self._shared.hash(state.encode(), digest_size=8).digest(), "little")
        with self._shared.locked():
            if told != words[_STATE]:
                words[_STATE] = told
                words[_ROUND] += 1


_shared: list[SeenUsers] = []


def share() -> None:
    """Make the memory of all workers; called once, in gunicorn's master."""
    _shared.append(SeenUsers())


class UserWindows:
    """Counts what the models did to users; without a master, in a memory of this process alone.

    Args:
        called: told a model and a bucket for each call.
        failed: the same for each user-window that was bad.
        dropped: called for each that found no room.
        clock: Unix time, which is the same on all hosts.
    """

    def __init__(
        self,
        called: Callable[[Model, int], None],
        failed: Callable[[Model, int], None],
        dropped: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._called, self._failed, self._dropped, self._clock = called, failed, dropped, clock
        self._seen = _shared[0] if _shared else SeenUsers()
        self._state: str | None = None

    def follow(self, state: str) -> None:
        """Switch and share of the flag are these, as this worker sees it."""
        if state != self._state:  # a worker that hears late of what others followed undoes nothing
            self._state = state
            self._seen.forget(state)

    def count(self, model: Model, user_id: str, bucket: int, *, bad: bool) -> bool:
        """A call of `model` for a user of this bucket is over; tells whether it made a user-window bad."""
        self._called(model, bucket)
        if not bad:
            return False
        new = self._seen.is_new(model, user_id, int(self._clock() // SECONDS))
        if new:
            self._failed(model, bucket)
        elif new is None:
            self._dropped()
        return bool(new)

"""The simplest toggle, for an exercise: CANARIO_CANARY_PERCENT of the users, without Unleash.

It changes by a restart only, nobody sees who changed it, and no job can roll it back: a flag can do all that.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

import mmh3

from common.names import Model
from service.assignment.assignment import BUCKETS, Assignment, Reason

GROUP: Final = "canary"  # as the flag's, so that a user keeps his model when a flag takes over


class FixedShare:
    """Assigns users to models by a hash of their id, as Unleash's gradual rollout of the same share does."""

    def __init__(self, percent: int) -> None:
        """`percent` of the users get the challenger."""
        self._percent = percent

    @property
    def fetched_at(self) -> float:
        """There is nothing to wait for: what is followed is always known."""
        return time.monotonic()

    @property
    def knows_flags(self) -> bool:
        """It needs none."""
        return True

    def start(self) -> None:
        """Nothing is to be followed."""

    def close(self) -> None:
        """Nothing is to be ended."""

    def assign(self, user_id: str, context: Mapping[str, Any]) -> Assignment:
        """The model for `user_id`, the same each time."""
        gets_it = self.bucket(user_id, context) <= self._percent
        return Assignment(Model.CHALLENGER if gets_it else Model.CHAMPION, Reason.CANARY_PERCENT)

    def shadowed(self, _user_id: str, _context: Mapping[str, Any]) -> bool:
        """Shadow is a flag's."""
        return False

    def bucket(self, user_id: str, _context: Mapping[str, Any]) -> int:
        """From 1 to 100, by the normalized hash of Unleash."""
        return int(mmh3.hash(f"{GROUP}:{user_id}".encode("utf-8", "replace"), signed=False)) % BUCKETS + 1

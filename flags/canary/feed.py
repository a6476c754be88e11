"""One question to Unleash tells for many flags whether anything has happened to them since they were read.

Whoever reads a hundred flags every few seconds asks for the last lines of the event log instead, and reads
whole only a flag of which they tell, and each now and then: not all that happens is an event.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from flags.canary.history import EVENTS
from flags.canary.lease_segment import segment_name
from flags.canary.share import read_state
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin, UnleashSettings
from flags.unleash.errors import AdminError
from flags.unleash.models import Event

SEGMENTS: Final = ("segment-created", "segment-updated", "segment-deleted")
LINES: Final = 50  # that are asked for; if more came since, every flag is read again
FRESH_SECONDS: Final = 1.0
WHOLE_SECONDS: Final = 30.0  # after which a flag is read whole in any case


class Feed:
    """The end of the event log, shared by the threads that read flags of one Unleash."""

    def __init__(
        self,
        admin: UnleashAdmin,
        *,
        fresh: float = FRESH_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked yet; `fresh`: seconds for which one answer counts for all who ask."""
        self._admin, self._fresh, self._clock = admin, fresh, clock
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._fault: AdminError | None = None
        self._seen: frozenset[int] = frozenset()
        """The lines of the last answer. Their numbers do not come in order: a transaction may wait."""
        self._gaps = 0
        """Answers before which lines were missed: they may have been about any flag."""
        self._of: Counter[str] = Counter()
        """Lines about each flag, and about each segment by its name."""

    def stamp(self, flag: str, environment: str) -> tuple[int, ...]:
        """Differs once something was logged about the flag or its lease.

        Raises AdminError: Unleash does not answer, or not so.
        """
        asked = self._clock()
        with self._lock:  # who waits here has the answer of who was before
            if asked - self._asked > self._fresh:
                self._ask()
            if self._fault:
                raise self._fault
            return self._gaps, self._of[flag], self._of[segment_name(flag, environment)]

    def _ask(self) -> None:
        try:
            found = self._admin.events.recent((*EVENTS, *SEGMENTS), limit=LINES)
        except AdminError as error:
            self._fault = error
        else:
            self._fault = None
            new = [one for one in found if one.id not in self._seen]
            self._gaps += len(new) == LINES
            self._of.update(map(_about, new))
            self._seen = frozenset(one.id for one in found)
        self._asked = self._clock()


class Feeds:
    """The feed of each Unleash that the rollouts of a process are in, as each user that asks there."""

    def __init__(self, *, fresh: float = FRESH_SECONDS) -> None:
        """Nothing is asked yet; `fresh`: as of `Feed`."""
        self._fresh = fresh
        self._feeds: dict[tuple[str, SecretStr | None], Feed] = {}

    def of(self, settings: UnleashSettings, admin: UnleashAdmin) -> Feed:
        """That which the settings mean; `admin` asks for it, unless another rollout's does already."""
        key = settings.unleash_url, settings.unleash_admin_token
        return self._feeds.setdefault(key, Feed(admin, fresh=self._fresh))


def _about(event: Event) -> str:
    if event.feature_name:
        return event.feature_name
    return str((event.data or event.pre_data or {}).get("name", ""))


@dataclass
class FollowedFlag:
    """One flag, read whole where the feed tells of it, and now and then."""

    admin: UnleashAdmin
    flag: str
    feed: Feed
    clock: Callable[[], float] = time.monotonic
    _state: CanaryState | None = None
    _stamp: tuple[int, ...] = ()
    _at: float = field(default=float("-inf"))

    def read(self) -> CanaryState:
        """What Unleash says now, as `flags.canary.share.read_state` does, with its errors."""
        stamp = self.feed.stamp(
            self.flag, self.admin.environment
        )  # first: what comes while it is read counts
        if self._state is None or stamp != self._stamp or self.clock() - self._at > WHOLE_SECONDS:
            state = read_state(self.admin, self.flag)
            self._state, self._stamp, self._at = state, stamp, self.clock()
        return self._state

    def forget(self) -> None:
        """Read it whole the next time."""
        self._state = None

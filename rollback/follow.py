"""The watch after the flag went off, from pass to pass. It holds up none: each pass looks once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from common.prometheus import Prometheus
from common.served import Arms
from flags.canary import CanaryState
from rollback.outcome import Pass
from rollback.stop import Off, Stop, StopState, look


@dataclass
class Watch:
    """Remembers the change that it looks at only to spare questions: a new one finds all of it again."""

    prometheus: Prometheus
    arms: Arms
    scrape: timedelta
    limit: timedelta
    _off: Off | None = None
    _verified: Stop | None = None

    def follow(self, done: Pass) -> Stop | None:
        """What is to be said of the stop at the end of a pass; None while users may get the challenger.

        A pass that has just turned the flag off does not look, because there can be nothing to see yet.
        """
        if done.dry_run:
            return None
        if done.rollback is not None:
            if not done.rollback.verified:
                return self._forget()
            self._begin(_change(done.rollback.after, done.rollback.ordered_at))
            assert self._off is not None  # noqa: S101 - begun above
            return Stop(
                StopState.PENDING, self._off, self.limit, datetime.now(UTC), "the flag has just gone off"
            )
        if done.state is not None:
            if done.state.exposed:
                return self._forget()
            self._begin(_change(done.state, None))
        # Where Unleash is silent the last change that was known counts: workers may not have heard of it.
        return self.look()

    def look(self) -> Stop | None:
        """Look once. What was seen to stop stays so until an answer is seen: not to see is no answer."""
        if self._off is None:
            return None
        stop = look(self.prometheus, self.arms, self._off, scrape=self.scrape, limit=self.limit)
        if stop.state is StopState.VERIFIED:
            self._verified = stop
        elif stop.state in {StopState.UNSEEN, StopState.PENDING} and self._verified:
            return self._verified
        return stop

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> Stop | None:
        """Look until the challenger is seen to stop, or the limit is over."""
        end = time.monotonic() + self.limit.total_seconds() + 2 * self.scrape.total_seconds()
        while True:
            stop = self.look()
            if stop is None or stop.state is not StopState.PENDING:
                return stop
            if time.monotonic() > end:  # by our clock, where that of Prometheus lags behind that of Unleash
                return replace(stop, state=StopState.UNSEEN)
            sleep(self.scrape.total_seconds() / 2)

    def _begin(self, off: Off) -> None:
        if self._off is None or (off.at, off.revision) != (self._off.at, self._off.revision):
            self._off, self._verified = off, None

    def _forget(self) -> Stop | None:
        self._off = self._verified = None
        return None


def _change(state: CanaryState | None, ordered_at: datetime | None) -> Off:
    """The change after which nobody gets the challenger; of a flag without a history, long ago."""
    if state is None or state.changed_at is None:
        return Off(ordered_at or datetime.fromtimestamp(0, UTC))
    return Off(state.changed_at, state.changed_by, state.revision)

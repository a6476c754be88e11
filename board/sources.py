"""The sources of one rollout: Unleash as a Viewer, Prometheus, the folder of decisions. All are only read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from board.history import History, Span, read_history
from board.numbers import Numbers, read_numbers
from board.series import Queries
from board.served import Served, read_served
from board.shown import Shown
from board.watch import Source
from common.every_rollout import phase
from common.prometheus import Prometheus
from flags.canary.feed import Feed, Feeds
from flags.rollout.situation import Rollout, Situation
from flags.unleash.errors import ChangedMeanwhile
from rollback.decisions.log import DecisionLog
from rollback.decisions.record import Decision

# Seconds from one reading to the next, at least. A page asks every 3, and shows a new share within 5.
UNLEASH_EVERY: Final = 0.5
NUMBERS_EVERY: Final = 2.5
DECISIONS_EVERY: Final = 0.5  # as Unleash: a page that shows a rollback shows its reason with it
SERVED_EVERY: Final = 30.0
WHOLE_AT_LEAST_EVERY: Final = timedelta(seconds=10)  # for what is no event, and for events of other kinds
WHOLE_OF_EACH: Final = timedelta(seconds=0.5)  # that, or so much for each rollout
MOST_BYTES: Final = 1  # of a log that is never written here


@dataclass(frozen=True)
class Told:
    """A decision, and what was seen of the stop that followed."""

    decision: Decision
    stop: Decision | None


class Shared:
    """What the sources of all rollouts have in common.

    Attributes:
        rollouts: how many there are.
        feeds: what has happened in Unleash.
    """

    def __init__(self) -> None:
        self.rollouts = 1
        self.feeds = Feeds(fresh=UNLEASH_EVERY)

    @property
    def whole_every(self) -> timedelta:
        """After which flags are read whole in any case."""
        return max(WHOLE_AT_LEAST_EVERY, self.rollouts * WHOLE_OF_EACH)


class FlagReader:
    """Reads the flags whole where something has happened to them; one small question for all finds out."""

    def __init__(self, rollout: Rollout, feed: Feed, shared: Shared, part: float = 0.0) -> None:
        """Nothing is read yet.

        Args:
            rollout: whose flags.
            feed: tells whether something has happened to them.
            shared: with the sources of other rollouts.
            part: of the time to the second reading in any case that is left out, from 0 to 1. All are first
                read at one moment; a hundred that are so again and again would wait for each other.
        """
        self._rollout = replace(rollout, prometheus=None)  # its numbers have a source of their own
        self._feed, self._shared, self._part = feed, shared, part
        self._last: Situation | None = None
        self._whole_at = datetime.min.replace(tzinfo=UTC)
        self._stamp: tuple[int, ...] = ()

    def __call__(self) -> Situation:
        """Raises AdminError, FlagError, ConfigError."""
        flags, environment = (self._rollout.flag, self._rollout.shadow_flag), self._rollout.arms.environment
        stamp = tuple(one for flag in flags if flag for one in self._feed.stamp(flag, environment))
        now, every = datetime.now(UTC), self._shared.whole_every
        if self._last and stamp == self._stamp and abs(now - self._whole_at) < every:
            return self._last
        first = self._last is None
        try:
            self._last, self._stamp = self._rollout.look(), stamp
            self._whole_at = now - self._part * every if first else now
        except ChangedMeanwhile:  # somebody is at it right now: the next second will tell
            if self._last is None:
                raise
        return self._last


class DecisionReader:
    """Reads the last rollback again only where a document is new, or has changed."""

    def __init__(self, folder: Path | None) -> None:
        self._log = DecisionLog(folder, most_bytes=MOST_BYTES) if folder else None
        self._seen: object = None
        self._told: Told | None = None

    def __call__(self) -> Told | None:
        """Raises DecisionError."""
        if self._log is None:
            return None
        every = self._log.ids()
        kept = [one for one in every if "-rollback-" in one or "-stop-" in one][-2:] or every[-1:]
        state = [(one, _changed(self._log.folder / f"{one}.json")) for one in kept]
        if state != self._seen:
            decision = self._log.latest() if every else None
            self._told = Told(decision, self._log.stop_of(decision)) if decision else None
            self._seen = state
        return self._told


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:  # pruned this moment
        return 0


class Sources:
    """All of one rollout; each begins to read when it is first asked."""

    def __init__(self, shown: Shown, shared: Shared) -> None:
        """Raises ConfigError: the address or token of Unleash cannot be used."""
        rollout = shown.planned.rollout()
        url = shown.settings.prometheus_url.get_secret_value()
        queries = Queries(shown.arms, shown.name, shown.policy.scrape_interval)
        self.plan = rollout.plan
        feed = shared.feeds.of(shown.settings, rollout.admin)
        self.unleash: Source[Situation] = Source(
            f"{shown.name}: Unleash",
            FlagReader(rollout, feed, shared, phase(shown.name)),
            every=UNLEASH_EVERY,
        )
        self.numbers: Source[Numbers] = Source(
            f"{shown.name}: Prometheus",
            lambda: read_numbers(rollout, self.unleash.latest().value, queries),
            every=NUMBERS_EVERY,
        )
        self.decisions: Source[Told | None] = Source(
            f"{shown.name}: the decisions log",
            DecisionReader(shown.settings.decisions_dir),
            every=DECISIONS_EVERY,
        )
        # A connection of its own: a long answer does not hold up the numbers.
        prometheus = Prometheus(url)
        self.served: Source[tuple[Served, ...]] = Source(
            f"{shown.name}: Prometheus, models",
            lambda: read_served(prometheus, shown.arms),
            every=SERVED_EVERY,
        )
        self.history: dict[Span, Source[History]] = {
            span: Source(
                f"{shown.name}: Prometheus, {span}",
                self._history(prometheus, span, queries),
                every=max(span.step.total_seconds() / 3, NUMBERS_EVERY),
            )
            for span in Span
        }

    @property
    def now(self) -> tuple[Source[Any], ...]:
        """All but the charts': what tells how the rollout is."""
        return self.unleash, self.numbers, self.decisions

    def close(self) -> None:
        """The rollout is not shown any more."""
        for source in (*self.now, self.served, *self.history.values()):
            source.close()

    def _history(self, prometheus: Prometheus, span: Span, queries: Queries) -> Callable[[], History]:
        def read() -> History:
            numbers = self.numbers.latest().value
            return read_history(prometheus, span, queries.arms, numbers.since if numbers else None, queries)

        return read

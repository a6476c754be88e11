"""The sources of the board: Unleash as a Viewer, Prometheus, the folder of decisions. All are only read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from board.history import History, Span, read_history
from board.numbers import Numbers, read_numbers
from board.settings import BoardSettings
from board.watch import Source
from common.prometheus import Prometheus
from common.served import Arms
from flags.errors import ChangedMeanwhile
from flags.people import EVENTS
from flags.rollout.look import Rollout
from flags.rollout.settings import rollout_of
from flags.rollout.situation import Situation
from rollback.decision import Decision
from rollback.decisions import DecisionLog

# Seconds from one reading to the next, at least. A page asks every 3, and shows a new share within 5.
UNLEASH_EVERY: Final = 0.5
NUMBERS_EVERY: Final = 2.5
DECISIONS_EVERY: Final = 2.5
WHOLE_AT_LEAST_EVERY: Final = timedelta(seconds=10)  # for what is no event, and for events of other kinds
SEGMENTS: Final = ("segment-created", "segment-updated", "segment-deleted")
MOST_BYTES: Final = 1  # of a log that is never written here


@dataclass(frozen=True)
class Told:
    """A decision, and what was seen of the stop that followed."""

    decision: Decision
    stop: Decision | None


class FlagReader:
    """Reads the flags whole where something has happened to them: one small question finds that out."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = replace(rollout, prometheus=None)  # its numbers have a source of their own
        self._last: Situation | None = None
        self._event: int | None = None

    def __call__(self) -> Situation:
        """Raises AdminError, FlagError, ConfigError."""
        last = self._rollout.admin.events.last((*EVENTS, *SEGMENTS))
        event, now = last.id if last else None, datetime.now(UTC)
        if self._last and event == self._event and abs(now - self._last.now) < WHOLE_AT_LEAST_EVERY:
            return self._last
        try:
            self._last, self._event = self._rollout.look(), event
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
    """All of them; each begins to read when it is first asked."""

    def __init__(self, settings: BoardSettings) -> None:
        """Raises ConfigError: the plan, or the address or token of Unleash, cannot be used."""
        rollout = rollout_of(settings)
        url = settings.prometheus_url.get_secret_value()
        self.plan = rollout.plan
        self.unleash: Source[Situation] = Source("Unleash", FlagReader(rollout), every=UNLEASH_EVERY)
        self.numbers: Source[Numbers] = Source(
            "Prometheus", lambda: read_numbers(rollout, self.unleash.latest().value), every=NUMBERS_EVERY
        )
        self.decisions: Source[Told | None] = Source(
            "the decisions log", DecisionReader(settings.decisions_dir), every=DECISIONS_EVERY
        )
        self.history: dict[Span, Source[History]] = {
            span: Source(
                f"Prometheus, {span}",
                self._history(url, span, rollout.arms),
                every=max(span.step.total_seconds() / 3, NUMBERS_EVERY),
            )
            for span in Span
        }

    def _history(self, url: str, span: Span, arms: Arms) -> Callable[[], History]:
        prometheus = Prometheus(url)  # a connection of its own: a long answer does not hold up the numbers

        def read() -> History:
            numbers = self.numbers.latest().value
            return read_history(prometheus, span, arms, numbers.since if numbers else None)

        return read

"""Whether the challenger has really stopped: its answers, counted in Prometheus after the flag went off.

A flag that is off says what should happen. What happens is in `predictions_total{model="challenger"}`: on
every instance of the service it must be seen to stand still at several scrapes in a row, all of them newer
than the last change of the flag. So must `assignments_total`: a challenger that fails, or whose breaker is
open, answers nobody although users are still sent to it. Raw samples are read, because a query that carries
old ones forward would take a service that nobody hears for one that stands still.

    verified  it stands still on every instance, also on those that have left since the flag went off
    pending   not yet, and the limit is not over
    rising    the limit is over, and an instance still counts answers of the challenger
    unseen    the limit is over, and it cannot be told: Prometheus or an instance does not answer, an
              instance does not count the answers, or left before it was seen to stand still

What is looked at begins with the change in Unleash's event log, so a job that was killed finds all of it
again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from common.answers import MARK, Series, marked
from common.arms import Arms
from common.durations import format_duration
from common.names import Model
from common.prometheus import BadAnswer, NotScraped, Prometheus, PrometheusError
from common.served import require_ours
from flags.canary.state import CanaryState
from rollback.actions.instances import Instance, by_instance, followed, instance, last_try, selector
from rollback.actions.turn_off import Rollback

FRESH_SCRAPES = 3
RECENT = timedelta(minutes=15)
REACH = timedelta(minutes=5)  # a challenger that answers once in some minutes should be found as well


class StopState(StrEnum):
    """The four findings."""

    VERIFIED = "verified"
    PENDING = "pending"
    RISING = "rising"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Off:
    """The change after which nobody is to get the challenger."""

    at: datetime
    by: str | None = None
    revision: int | None = None
    """Id of the change in Unleash's event log."""


@dataclass(frozen=True)
class Stop:
    """What one look found."""

    state: StopState
    off: Off
    limit: timedelta
    looked_at: datetime
    sentence: str
    instances: tuple[Instance, ...] = ()
    stopped_at: datetime | None = None
    """The scrape that completed the proof on the last instance; None unless verified."""

    @property
    def failed(self) -> bool:
        """Whether somebody must look.

        What was never seen to stop is told only for a while: a flag that is long off, and a Prometheus that
        went down today, is another fault, with an alert of its own.
        """
        recent = self.looked_at <= self.off.at + self.limit + RECENT
        return self.state is StopState.RISING or (self.state is StopState.UNSEEN and recent)

    @property
    def last_answer(self) -> datetime | None:
        """The last scrape that showed a new answer of the challenger after the change, on any instance."""
        seen = (
            one.last_answer for one in self.instances if one.last_answer and one.last_answer > self.off.at
        )
        return max(seen, default=None)


@dataclass
class StopVerifier:
    """Looks once an iteration, and holds up none.

    It remembers the change that it looks at only to spare questions: a new one finds all of it again.
    """

    prometheus: Prometheus
    arms: Arms
    scrape: timedelta
    limit: timedelta
    _off: Off | None = None
    _verified: Stop | None = None

    def verify(self, state: CanaryState | None, rollback: Rollback | None) -> Stop | None:
        """What is to be said of the stop at the end of an iteration; None while users may get the challenger.

        An iteration that has just turned the flag off does not look: there can be nothing to see yet.

        Args:
            state: the flag before the iteration; None where Unleash is silent.
            rollback: what the iteration itself did.
        """
        if rollback is not None:
            if not rollback.verified:
                self._forget()
                return None
            off = self._begin(_change(rollback.after, rollback.ordered_at))
            return Stop(StopState.PENDING, off, self.limit, datetime.now(UTC), "the flag has just gone off")
        if state is not None:
            if state.exposed:
                self._forget()
                return None
            self._begin(_change(state, None))
        # Where Unleash is silent the last change that was known counts: workers may not have heard of it.
        return self.look()

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

    def look(self) -> Stop | None:
        """Look once. What was seen to stop stays so until an answer is seen: not to see is no answer."""
        if self._off is None:
            return None
        stop = self.look_at(self._off)
        if stop.state is StopState.VERIFIED:
            self._verified = stop
        elif stop.state in {StopState.UNSEEN, StopState.PENDING} and self._verified:
            return self._verified
        return stop

    def look_at(self, off: Off) -> Stop:
        """Ask Prometheus in two requests, or three where an instance has left since the flag went off.

        An error of Prometheus is part of the answer; never raises one.
        """
        now = datetime.now(UTC)
        try:
            now, served = self._begin_look(off)
            targets = self._targets(off, now)
            gone = served - {one.name for one in targets}
            found = (*targets, *(self._gone(off, now, gone) if gone else ()))
            if not found:
                raise NotScraped(f"Prometheus has no fresh scrape of {self.arms.selector}")
            return judge(found, off, limit=self.limit, now=now)
        except PrometheusError as error:
            state = StopState.PENDING if now <= off.at + self.limit else StopState.UNSEEN
            return Stop(state, off, self.limit, now, str(error))

    def _begin_look(self, off: Off) -> tuple[datetime, frozenset[str]]:
        """The clock of Prometheus, and the instances that served a challenger when the flag went off."""
        lately = f"[{format_duration(FRESH_SCRAPES * self.scrape)}] @ {off.at.timestamp():.3f}"
        arms, versions = self.arms, self.arms.signals.versions
        if versions:
            served = f"max_over_time({arms.of(versions.metric, arms.only(Model.CHALLENGER))}{lately}) == 1"
        else:  # any instance that counted a call
            served = f"count_over_time({arms.of(arms.signals.calls)}{lately})"
        found = self.prometheus.vector(
            f"{marked('vector(time())', 'time')} or group by (instance) ({served})"
        )
        times = [one.value for one in found if MARK in one.labels]
        if not times:
            raise BadAnswer("Prometheus does not tell its time")
        return datetime.fromtimestamp(times[0], UTC), frozenset(
            one.labels.get("instance", "") for one in found if MARK not in one.labels
        )

    def _targets(self, off: Off, now: datetime) -> list[Instance]:
        """The instances that Prometheus tries to scrape now."""
        fresh = (now - FRESH_SCRAPES * self.scrape).timestamp()
        found = by_instance(self._raw(max(self.limit, REACH), now), self.arms)
        targets = {name: own for name, own in found.items() if last_try(own) >= fresh}
        require_ours(self.arms, {flag for own in targets.values() for flag in followed(own)})
        return [self._instance(name, own, off, fresh=fresh) for name, own in targets.items()]

    def _gone(self, off: Off, now: datetime, names: frozenset[str]) -> list[Instance]:
        """Instances that are no targets any more, by what was seen of them for some time after the change."""
        then = min(now, off.at + self.limit + REACH)
        found = by_instance(self._raw(self.limit + 2 * REACH, then, names), self.arms)
        return [self._instance(name, found.get(name, []), off, fresh=None) for name in sorted(names)]

    def _raw(self, reach: timedelta, at: datetime, names: frozenset[str] = frozenset()) -> tuple[Series, ...]:
        return self.prometheus.raw(selector(self.arms, reach, names), at)

    def _instance(self, name: str, own: list[Series], off: Off, *, fresh: float | None) -> Instance:
        return instance(name, own, off.at, fresh=fresh, counter=str(self.arms.signals.of("answers")))

    def _begin(self, off: Off) -> Off:
        if self._off is None or (off.at, off.revision) != (self._off.at, self._off.revision):
            self._off, self._verified = off, None
        return self._off

    def _forget(self) -> None:
        self._off = self._verified = None


def _change(state: CanaryState | None, ordered_at: datetime | None) -> Off:
    """The change after which nobody gets the challenger; of a flag without a history, long ago."""
    if state is None or state.changed_at is None:
        return Off(ordered_at or datetime.fromtimestamp(0, UTC))
    return Off(state.changed_at, state.changed_by, state.revision)


def judge(instances: tuple[Instance, ...], off: Off, *, limit: timedelta, now: datetime) -> Stop:
    """Judge what the instances counted."""
    end = off.at + limit
    over = now > end
    unproved = [one for one in instances if one.still_at is None]
    # An answer counts as late only if the scrape before it was: after an outage of Prometheus the first
    # scrape brings up all that was answered in the meantime, also before the change. One that is not heard
    # any more may have stopped within the limit.
    heard = [one for one in unproved if one.fault is None]
    rising = [
        one
        for one in instances
        if one.last_answer_after
        and (one.last_answer_after >= end or (one in heard and one.last_answer_after >= off.at))
    ]
    if rising and over:
        sentence = "; ".join(_still_answers(one, off) for one in rising)
        return Stop(StopState.RISING, off, limit, now, sentence, instances)
    if unproved:
        state = StopState.UNSEEN if over else StopState.PENDING
        sentence = "; ".join(f"{one.name}: {one.fault or 'not yet seen to stand still'}" for one in unproved)
        return Stop(state, off, limit, now, sentence, instances)
    names = ", ".join(one.name for one in instances)
    sentence = f"the challenger's answers stand still on {names}"
    stopped = max(one.still_at for one in instances if one.still_at)
    return Stop(StopState.VERIFIED, off, limit, now, sentence, instances, stopped)


def _still_answers(one: Instance, off: Off) -> str:
    text = f"{one.name}: {one.answers:.0f} requests still went to the challenger since the flag went off"
    if one.last_answer:
        text += f", the last before {one.last_answer:%H:%M:%S} UTC"
    if one.heard_from_unleash and one.heard_from_unleash < off.at:
        text += f"; a worker last heard from Unleash at {one.heard_from_unleash:%H:%M:%S} UTC, before that"
    return text

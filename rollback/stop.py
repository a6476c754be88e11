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

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from common.answers import MARK, marked
from common.durations import format_duration
from common.names import Metric, Model
from common.prometheus import BadAnswer, NotScraped, Prometheus, PrometheusError
from common.served import Arms, require_ours
from rollback.instances import Instance, by_instance, followed, instance, last_try, selector

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


def look(prometheus: Prometheus, arms: Arms, off: Off, *, scrape: timedelta, limit: timedelta) -> Stop:
    """Ask Prometheus once, in two requests, or three where an instance has left since the flag went off.

    A fault of Prometheus is part of the answer; never raises one.
    """
    now, question = datetime.now(UTC), _Question(prometheus, arms, off, scrape, limit)
    try:
        now, served = question.begin()
        targets = question.targets(now)
        gone = served - {one.name for one in targets}
        found = (*targets, *(question.gone(now, gone) if gone else ()))
        if not found:
            raise NotScraped(f"Prometheus has no fresh scrape of {arms.selector}")
        return find(found, off, limit=limit, now=now)
    except PrometheusError as error:
        state = StopState.PENDING if now <= off.at + limit else StopState.UNSEEN
        return Stop(state, off, limit, now, str(error))


def find(instances: tuple[Instance, ...], off: Off, *, limit: timedelta, now: datetime) -> Stop:
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


@dataclass(frozen=True)
class _Question:
    """What is asked of Prometheus about one change."""

    prometheus: Prometheus
    arms: Arms
    off: Off
    scrape: timedelta
    limit: timedelta

    def begin(self) -> tuple[datetime, frozenset[str]]:
        """The clock of Prometheus, and the instances that served a challenger when the flag went off."""
        served = self.arms.of(Metric.MODEL_INFO, f'model="{Model.CHALLENGER}"')
        lately = f"[{format_duration(FRESH_SCRAPES * self.scrape)}] @ {self.off.at.timestamp():.3f}"
        found = self.prometheus.vector(
            f"{marked('vector(time())', 'time')}"
            f" or group by (instance) (max_over_time({served}{lately}) == 1)"
        )
        times = [one.value for one in found if MARK in one.labels]
        if not times:
            raise BadAnswer("Prometheus does not tell its time")
        return datetime.fromtimestamp(times[0], UTC), frozenset(
            one.labels.get("instance", "") for one in found if MARK not in one.labels
        )

    def targets(self, now: datetime) -> list[Instance]:
        """The instances that Prometheus tries to scrape now."""
        fresh = (now - FRESH_SCRAPES * self.scrape).timestamp()
        found = by_instance(self.prometheus.raw(selector(self.arms.selector, max(self.limit, REACH)), now))
        targets = {name: own for name, own in found.items() if last_try(own) >= fresh}
        require_ours(self.arms, {flag for own in targets.values() for flag in followed(own)})
        return [instance(name, own, self.off.at, fresh=fresh) for name, own in targets.items()]

    def gone(self, now: datetime, names: frozenset[str]) -> list[Instance]:
        """Instances that are no targets any more, by what was seen of them for some time after the change."""
        then = min(now, self.off.at + self.limit + REACH)
        asked = selector(self.arms.selector, self.limit + 2 * REACH, names)
        found = by_instance(self.prometheus.raw(asked, then))
        return [instance(name, found.get(name, []), self.off.at, fresh=None) for name in sorted(names)]

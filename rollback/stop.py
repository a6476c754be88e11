"""Whether the challenger has really stopped: its answers, counted in Prometheus after the flag went off.

A flag that is off says what should happen. What happens is in `predictions_total{model="challenger"}`: on
every instance of the service it must stand still at several scrapes in a row, all of them newer than the last
change of the flag. So must `assignments_total`: a challenger that fails, or whose breaker is open, answers
nobody although users are still sent to it. Raw samples are read, because a query that carries old ones
forward would take a service that nobody hears for one that stands still.

    verified  it stands still on every instance
    pending   not yet, and the limit is not over
    rising    the limit is over, and an instance still counts answers of the challenger
    unseen    the limit is over, and it cannot be told: Prometheus or an instance does not answer

What is looked at begins with the change in Unleash's event log, so a job that was killed finds all of it
again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from common.answers import Series
from common.durations import format_duration
from common.names import Metric, Model
from common.prometheus import Prometheus, PrometheusError
from rollback.measure import SERVICE_JOB

COUNTED = (Metric.PREDICTIONS, Metric.ASSIGNMENTS)
STILL_SCRAPES = 3  # 15 s at the usual interval; a canary of 1% of 50 requests a second has 7 answers in them
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
class Instance:
    """What one instance of the service counted."""

    name: str
    still_scrapes: int
    """Successful scrapes in a row without a new answer, all after the change."""
    answers: float
    """Of the challenger, or requests sent to it if those were more; after the change and within reach."""
    last_answer_after: datetime | None
    """The scrape before the one at which the count last rose, within reach."""
    last_answer: datetime | None
    """The scrape at which it last rose: the answer was given between the two."""
    still_at: datetime | None
    """The scrape that completed the proof."""
    heard_from_unleash: datetime | None
    """When the worker that waited longest last did."""
    fault: str | None = None
    """Why nothing is known of it now."""


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


def look(prometheus: Prometheus, off: Off, *, scrape: timedelta, limit: timedelta) -> Stop:
    """Ask Prometheus once, in two requests. A fault of Prometheus is part of the answer; never raises one."""
    now = datetime.now(UTC)
    try:
        now = prometheus.now()
        series = prometheus.raw(_selector(max(limit, REACH)), now)
    except PrometheusError as error:
        state = StopState.PENDING if now <= off.at + limit else StopState.UNSEEN
        return Stop(state, off, limit, now, str(error))
    return find(_instances(series, off, now, scrape), off, limit=limit, now=now)


def find(instances: tuple[Instance, ...], off: Off, *, limit: timedelta, now: datetime) -> Stop:
    """Judge what the instances counted."""
    end = off.at + limit
    over = now > end
    unproved = [one for one in instances if one.still_at is None]
    # An answer counts as late only if the scrape before it was: after an outage of Prometheus the first
    # scrape brings up all that was answered in the meantime, also before the change.
    rising = [
        one
        for one in instances
        if one.last_answer_after
        and (one.last_answer_after >= end or (one in unproved and one.last_answer_after >= off.at))
    ]
    if rising and over:
        sentence = "; ".join(_still_answers(one, off) for one in rising)
        return Stop(StopState.RISING, off, limit, now, sentence, instances)
    if not instances or unproved:
        state = StopState.UNSEEN if over else StopState.PENDING
        sentence = "; ".join(
            f"{one.name}: {one.fault or 'not yet seen to stand still'}" for one in unproved
        ) or (f'Prometheus has no fresh scrape of the job "{SERVICE_JOB}"')
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


def _selector(reach: timedelta) -> str:
    names = "|".join(("up", *COUNTED, Metric.FLAG_FETCHED))
    # `up` and the time of the last fetch have no label `model`.
    matchers = f'__name__=~"{names}", job="{SERVICE_JOB}", model=~"{Model.CHALLENGER}|"'
    return f"{{{matchers}}}[{format_duration(reach)}]"


def _instances(series: Iterable[Series], off: Off, now: datetime, scrape: timedelta) -> tuple[Instance, ...]:
    """Those that Prometheus still tries to scrape: one that was taken off its list has no new `up`."""
    by_name: dict[str, list[Series]] = {}
    for one in series:
        by_name.setdefault(one.labels.get("instance", ""), []).append(one)
    fresh = (now - FRESH_SCRAPES * scrape).timestamp()
    found = []
    for name, own in sorted(by_name.items()):
        tries = sorted(point for one in own if one.labels["__name__"] == "up" for point in one.points)
        if tries and tries[-1][0] >= fresh:
            found.append(_instance(name, own, tries, off, fresh))
    return tuple(found)


def _instance(
    name: str, own: list[Series], tries: list[tuple[float, float]], off: Off, fresh: float
) -> Instance:
    scrapes = [stamp for stamp, up in tries if up == 1]
    rises_of = {
        name: [rise for one in own if one.labels["__name__"] == name for rise in _rises(one.points, scrapes)]
        for name in COUNTED
    }
    rises = sorted(
        (rise for found in rises_of.values() for rise in found),
        key=lambda rise: rise.at,
    )
    since = max(off.at.timestamp(), rises[-1].at if rises else 0.0)
    still = [stamp for stamp in scrapes if stamp > since]
    heard = [one.points[-1][1] for one in own if one.labels["__name__"] == Metric.FLAG_FETCHED and one.points]
    fault = None
    if not scrapes or scrapes[-1] < fresh:
        last = f"since {_moment(scrapes[-1]):%H:%M:%S} UTC" if scrapes else "in the last minutes"
        fault = f"no successful scrape {last}"
    proved = fault is None and len(still) >= STILL_SCRAPES
    return Instance(
        name=name,
        still_scrapes=len(still),
        answers=max(
            sum(rise.amount for rise in found if rise.at > off.at.timestamp()) for found in rises_of.values()
        ),
        last_answer_after=_moment(rises[-1].after) if rises else None,
        last_answer=_moment(rises[-1].at) if rises else None,
        still_at=_moment(still[STILL_SCRAPES - 1]) if proved else None,
        heard_from_unleash=_moment(min(heard)) if heard and min(heard) > 0 else None,
        fault=fault,
    )


class _Rise(NamedTuple):
    after: float
    """The scrape before."""
    at: float
    amount: float


def _rises(points: tuple[tuple[float, float], ...], scrapes: list[float]) -> list[_Rise]:
    """The scrapes at which a counter rose.

    A fall is a restart, after which it counts from 0; a counter that appears while its instance was already
    scraped counts from 0 as well.
    """
    earlier = [stamp for stamp in scrapes if points and stamp < points[0][0]]
    before = (earlier[-1], 0.0) if earlier else None
    found = []
    for stamp, value in points:
        if before is not None and value != before[1]:
            amount = value - before[1] if value > before[1] else value
            if amount > 0:
                found.append(_Rise(before[0], stamp, amount))
        before = (stamp, value)
    return found


def _moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)

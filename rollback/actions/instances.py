"""What each instance of the service counted after the flag went off, from raw samples. Pure.

A scrape counts only if the answers were in it: one that brought `up` and no `predictions_total` says nothing
about the challenger, and neither does an instance that left Prometheus's list of targets while it answered.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pydantic import AwareDatetime, ConfigDict
from pydantic.dataclasses import dataclass

from common.answers import Series
from common.arms import Arms
from common.durations import format_duration
from common.names import Metric, Model

COUNTED = (Metric.PREDICTIONS, Metric.ASSIGNMENTS)
NEEDED = ("up", *COUNTED, Metric.MODEL_INFO, Metric.ROLLOUT_INFO, Metric.FLAG_FETCHED)
STILL_SCRAPES = 3  # 15 s at the usual interval; a canary of 1% of 50 requests a second has 7 answers in them


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Instance:
    """What one instance of the service counted after the flag went off; kept as it is with the decision."""

    name: str
    still_scrapes: int
    """Scrapes in a row that showed the count without a new answer, all after the change."""
    answers: float
    """Of the challenger, or requests sent to it if those were more; after the change and within reach."""
    last_answer_after: AwareDatetime | None
    """The scrape before the one at which the count last rose, within reach."""
    last_answer: AwareDatetime | None
    """The scrape at which it last rose: the answer was given between the two."""
    still_at: AwareDatetime | None
    """The scrape that completed the proof."""
    heard_from_unleash: AwareDatetime | None
    """When the worker that waited longest last did."""
    fault: str | None = None
    """Why nothing is known of it now."""


def selector(arms: Arms, reach: timedelta, instances: Iterable[str] = ()) -> str:
    """PromQL for all raw samples that `instance` needs; of these instances alone where some are named."""
    names = "|".join(arms.names(NEEDED))
    only = "|".join(re.escape(each) for each in sorted(instances)).replace("\\", "\\\\")
    of_some = f', instance=~"{only}"' if only else ""
    return f'{{__name__=~"{names}", {arms.selector}{of_some}}}[{format_duration(reach)}]'


def by_instance(series: Iterable[Series], arms: Arms) -> dict[str, list[Series]]:
    """The series of each instance, by Canario's names of them."""
    found: dict[str, list[Series]] = {}
    for one in arms.canonical(series, NEEDED):
        found.setdefault(one.labels.get("instance", ""), []).append(one)
    if arms.signals.up is None:
        for own in found.values():
            own.append(_up(own))
    return dict(sorted(found.items()))


def _up(own: Iterable[Series]) -> Series:
    """Where no target's `up` is known: the scrapes that brought calls."""
    stamps = {stamp for one in own for stamp, _ in one.points}
    return Series({"__name__": "up"}, tuple((stamp, 1.0) for stamp in sorted(stamps)))


def last_try(own: Iterable[Series]) -> float:
    """When Prometheus last tried to scrape the instance; 0 where it never did."""
    return max((one.points[-1][0] for one in own if one.labels["__name__"] == "up" and one.points), default=0)


def followed(own: Iterable[Series]) -> set[tuple[str, str]]:
    """The flag that the instance follows, and its environment, as far as it says so."""
    return {
        (one.labels.get("flag", ""), one.labels.get("environment", ""))
        for one in own
        if one.labels["__name__"] == Metric.ROLLOUT_INFO and one.points and one.points[-1][1] == 1
    }


def instance(
    name: str,
    own: list[Series],
    off_at: datetime,
    *,
    fresh: float | None,
    counter: str = Metric.PREDICTIONS,
) -> Instance:
    """Judge one instance.

    Args:
        own: its series.
        off_at: when the flag went off.
        fresh: how old its last scrape may be, in Unix seconds; None of one that is no target any more: then
            it must have stood still before it left.
        counter: what the service calls its answers, for sentences.
    """
    scrapes = sorted(
        stamp for one in own if one.labels["__name__"] == "up" for stamp, up in one.points if up == 1
    )
    told = _told(own, scrapes)
    rises_of = {
        each: [rise for one in own if _is(one, each) for rise in _rises(one.points, told)] for each in COUNTED
    }
    rises = sorted((rise for found in rises_of.values() for rise in found), key=lambda rise: rise.at)
    since = max(off_at.timestamp(), rises[-1].at if rises else 0.0)
    still = [stamp for stamp in told if stamp > since]
    heard = [one.points[-1][1] for one in own if one.labels["__name__"] == Metric.FLAG_FETCHED and one.points]
    fault = _fault(scrapes, told, fresh, counter)
    stands = len(still) >= STILL_SCRAPES
    if fresh is None:
        fault = None if stands else f"{fault or 'it left'}, and was not seen to stand still before"
    return Instance(
        name=name,
        still_scrapes=len(still),
        answers=max(
            sum(rise.amount for rise in found if rise.at > off_at.timestamp()) for found in rises_of.values()
        ),
        last_answer_after=_moment(rises[-1].after) if rises else None,
        last_answer=_moment(rises[-1].at) if rises else None,
        still_at=_moment(still[STILL_SCRAPES - 1]) if stands and fault is None else None,
        heard_from_unleash=_moment(min(heard)) if heard and min(heard) > 0 else None,
        fault=fault,
    )


def _told(own: Iterable[Series], scrapes: Iterable[float]) -> list[float]:
    """The scrapes that showed how often the challenger answered, or that there is none to answer.

    The service makes the counters of each model at 0 when it takes it. The champion's alone are enough only
    where no challenger is served: one that was never counted cannot be seen to stand still.
    """
    champion, challenger, served = set[float](), set[float](), set[float]()
    for one in own:
        if _is(one, Metric.PREDICTIONS):
            challenger.update(stamp for stamp, _ in one.points)
        elif _is(one, Metric.PREDICTIONS, Model.CHAMPION):
            champion.update(stamp for stamp, _ in one.points)
        elif _is(one, Metric.MODEL_INFO):
            served.update(stamp for stamp, value in one.points if value == 1)
    return [stamp for stamp in scrapes if stamp in challenger or stamp in champion - served]


def _fault(scrapes: list[float], told: list[float], fresh: float | None, counter: str) -> str | None:
    if fresh is None:
        return f"no target of Prometheus since {_clock(scrapes[-1])}" if scrapes else None
    if not scrapes or scrapes[-1] < fresh:
        return f"no successful scrape {'since ' + _clock(scrapes[-1]) if scrapes else 'in the last minutes'}"
    if not told or told[-1] < fresh:
        since = f" since {_clock(told[-1])}" if told else ""
        return f"no {counter} of the challenger in its scrapes{since}, so nobody sees its answers"
    return None


def _is(one: Series, name: str, model: Model = Model.CHALLENGER) -> bool:
    return one.labels["__name__"] == name and one.labels.get("model") == model


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


def _clock(stamp: float) -> str:
    return f"{_moment(stamp):%H:%M:%S} UTC"

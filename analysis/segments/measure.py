"""Users of a test by properties of their context: counts, means and variances, from the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import ibis
from ibis import Deferred, _
from ibis.expr import types as ir

from analysis.errors import LogError
from analysis.log import Log, contexts, moment
from analysis.log.columns import ROLES
from analysis.log.left_out import LeftOut, left_out
from analysis.metric import Metric
from analysis.statistics.effect import Sample, pooled
from analysis.statistics.simpson import Part
from analysis.users import Period, first_requests, in_test, with_measure, with_segments
from common.terminal import printable

MOST_PROPERTIES: Final = 20
NOT_GIVEN: Final = "not given"
MOST_VALUES: Final = 20
"""Of one property, that are read by themselves: the more there are, the less each of them finds."""
LEAST: Final = 100
"""Users of each arm for an effect of a segment; below, a normal approximation is no good."""
NAMED: Final = 50
"""Values of which it is told that they were put together."""

_OF_ARM: Final = {"users": int, "mean": float, "variance": float}


@dataclass(frozen=True)
class Others:
    """Values that are one segment, because each has too few users or is beyond MOST_VALUES.

    Attributes:
        count: how many values.
        largest: the NAMED largest of them.
    """

    count: int
    largest: tuple[str, ...]


@dataclass(frozen=True)
class Segment(Part):
    """Users whose first request in the test had this value of the property `key`.

    `value` is None where they had none, or one of `others`.
    """

    key: str = ""
    value: str | None = None
    others: Others | None = None

    @property
    def name(self) -> str:
        """country=NO."""
        if self.others:
            text = f"{self.key}: other ({self.others.count:,})"
        else:
            text = f"{self.key}={self.value}" if self.value is not None else f"without {self.key}"
        return printable(text)  # clients send what they like, line ends too


@dataclass(frozen=True)
class Divided:
    """Segments by property, the largest first; those of one property hold every user once.

    `left_out`: feedback on the metric that does not count.
    """

    segments: dict[str, tuple[Segment, ...]]
    left_out: LeftOut = field(default_factory=lambda: LeftOut(0))


def divided(  # noqa: PLR0913, PLR0917 - one for each part of what is asked
    log: Log,
    metric: Metric,
    period: Period,
    came_before: datetime,
    names: tuple[str, ...],
    least: int = LEAST,
) -> Divided:
    """The segments of each property; values with less than `least` users in an arm are put together.

    Args:
        names: of properties; none: the MOST_PROPERTIES that most users brought with the first request.

    Raises:
        LogError: no user has a property, or one of such a name.
    """
    came = in_test(log, period).filter(_["first"] < moment(came_before))
    users = log.keep(came.select("user", "assigned", "first"))
    asked = log.keep(first_requests(log, period, users))
    columns = {f"segment_{number}": name for number, name in enumerate(names or _properties(log, asked))}
    measured = with_segments(with_measure(log, metric, period, users), asked, columns)
    came_users, users = users, log.keep(measured.select("assigned", "measure", *columns))
    everybody = int(log.rows(users.aggregate(users=_.count()))[0]["users"])
    found = {
        name: _of_property(
            log, users.select("assigned", "measure", segment=users[column]), everybody, name, least
        )
        for column, name in columns.items()
    }
    known = {
        name: segments for name, segments in found.items() if not all(_unknown(each) for each in segments)
    }
    missing = [name for name in found if name not in known]
    if missing and (names or not known):
        raise LogError(f"no user of that time has {missing[0]!r} in the context: is that its name there?")
    return Divided(known, left_out(log, metric, period, came_users))


def _properties(log: Log, asked: ir.Table) -> tuple[str, ...]:
    """Properties of the first requests, the most common first.

    Raises:
        LogError: there are none.
    """
    alike = asked.group_by("context").aggregate(requests=_.count())
    opened = alike.mutate(context=contexts(alike))
    each = opened.mutate(property=opened.context.keys().unnest())
    rows = log.rows(
        each.filter(each.context.get(each.property).notnull())  # Parquet has a column for what came ever
        .group_by("property")
        .aggregate(requests=_.requests.sum())
        .order_by(ibis.desc("requests"), "property")
        .limit(MOST_PROPERTIES)
    )
    if not rows:
        raise LogError(
            "no user's first request of that time has a context, so there are no segments: send properties"
            ' such as {"context": {"country": "NO"}} with the requests, or look at --since and --until'
        )
    return tuple(row["property"] for row in rows)


def _unknown(segment: Segment) -> bool:
    if segment.others:
        return segment.others.largest == (NOT_GIVEN,)
    return segment.value is None


def _of_property(log: Log, users: ir.Table, everybody: int, name: str, least: int) -> tuple[Segment, ...]:
    """The segments of one property, of `users` with assigned, measure and segment."""
    # A property may have a value for every user, so only the large ones ever leave the engine.
    sizes = users.group_by("segment").aggregate(users=_.count(), **_each_arm())
    order = [ibis.desc("users"), ibis.asc("segment", nulls_first=True)]
    large = sizes.filter([_[f"{role}_users"] >= least for role in ROLES]).order_by(order).limit(MOST_VALUES)
    segments = [Segment(*_arms(row), name, row["segment"]) for row in log.rows(large)]
    if sum(each.users for each in segments) < everybody:
        values = [each.value for each in segments]
        rest, left = users.filter(~_has(users, values)), sizes.filter(~_has(sizes, values))
        row = log.rows(
            rest.aggregate(values=_.segment.nunique(), missing=_.segment.isnull().sum(), **_each_arm())
        )[0]
        largest = log.rows(left.select("segment", "users").order_by(order).limit(NAMED))
        others = Others(
            row["values"] + bool(row["missing"]),
            tuple(NOT_GIVEN if each["segment"] is None else each["segment"] for each in largest),
        )
        segments.append(Segment(*_arms(row), name, None, others))
    return tuple(sorted(segments, key=lambda each: (-each.users, each.name)))


def _has(table: ir.Table, values: Sequence[str | None]) -> ir.BooleanValue:
    """Whether the segment is one of the values."""
    given = [value for value in values if value is not None]
    found = table.segment.isin(given).fill_null(False) if given else ibis.literal(value=False)
    return found | table.segment.isnull() if None in values else found


def _each_arm() -> dict[str, Deferred]:
    """Aggregations of users: their number in each arm, with mean and variance of the measure."""
    found: dict[str, Deferred] = {}
    for role in ROLES:
        is_there = _.assigned == role
        found |= {
            f"{role}_users": is_there.sum(),
            f"{role}_mean": _.measure.mean(where=is_there),
            f"{role}_variance": _.measure.var(how="sample", where=is_there),
        }
    return found


def _arms(row: Mapping[str, Any]) -> tuple[Sample, Sample]:
    """Champion and challenger, of a row of `_each_arm`; an arm of nobody is all zeros."""
    champion, challenger = (
        Sample(*(kind(row[f"{role}_{what}"] or 0) for what, kind in _OF_ARM.items())) for role in ROLES
    )
    return champion, challenger


def whole(segments: tuple[Segment, ...]) -> Segment:
    """All users, from the segments of one property: each user is in one of them."""
    return Segment(pooled([s.champion for s in segments]), pooled([s.challenger for s in segments]))

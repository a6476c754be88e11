"""Users of a test by properties of their context: counts, means and variances, from the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.errors import LogError
from analysis.log import Log, moment
from analysis.measures.experiment import Question
from analysis.measures.metric import Metric
from analysis.measures.users import per_user
from common.names import Model

MOST_PROPERTIES: Final = 20
NOT_GIVEN: Final = "not given"
MOST_VALUES: Final = 20
"""Of one property, that are read by themselves: the more there are, the less each of them finds."""
LEAST: Final = 100
"""Users of each arm for an effect of a segment; below, a normal approximation is no good."""
NAMED: Final = 50
"""Values of which it is told that they were put together."""


@dataclass(frozen=True)
class Arm:
    """Users of one arm in one segment, with mean and variance of the measure."""

    users: int
    mean: float
    variance: float


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
class Segment:
    """Users whose first request in the test had this value of the property `key`.

    `value` is None where they had none, or one of `others`.
    """

    key: str
    value: str | None
    champion: Arm
    challenger: Arm
    others: Others | None = None

    @property
    def name(self) -> str:
        """country=NO."""
        if self.others:
            return f"{self.key}: other ({self.others.count:,})"
        return f"{self.key}={self.value}" if self.value is not None else f"without {self.key}"

    @property
    def users(self) -> int:
        """In both arms."""
        return self.champion.users + self.challenger.users


@dataclass(frozen=True)
class Divided:
    """Segments by property, the largest first; those of one property hold every user once."""

    segments: dict[str, tuple[Segment, ...]]


def properties(log: Log, question: Question) -> tuple[str, ...]:
    """Properties of the contexts of the test's requests, the most common first.

    Raises:
        LogError: there are none.
    """
    requests = log.predictions.filter(
        _.user.notnull(), _.time >= moment(question.since), _.time < moment(question.now)
    )
    names = requests.select(property=_.context.keys().unnest())
    rows = log.rows(
        names.group_by("property")
        .aggregate(requests=_.count())
        .order_by(ibis.desc("requests"), "property")
        .limit(MOST_PROPERTIES)
    )
    if not rows:
        raise LogError(
            "no request of that time has a context, so there are no segments: send properties such as"
            ' {"context": {"country": "NO"}} with the requests, or look at --since and --until'
        )
    return tuple(row["property"] for row in rows)


def divided(  # noqa: PLR0913, PLR0917 - one for each part of what is asked
    log: Log,
    metric: Metric,
    question: Question,
    came_before: datetime,
    names: tuple[str, ...],
    least: int = LEAST,
) -> Divided:
    """The segments of each property; values with less than `least` users in an arm are put together.

    Raises:
        LogError: no user has a property of such a name.
    """
    found = {name: _of_property(log, metric, question, came_before, name, least) for name in names}
    for name, segments in found.items():
        if all(_unknown(each) for each in segments):
            raise LogError(f"no user of that time has {name!r} in the context: is that its name there?")
    return Divided(found)


def _unknown(segment: Segment) -> bool:
    if segment.others:
        return segment.others.largest == (NOT_GIVEN,)
    return segment.value is None


def _of_property(  # noqa: PLR0913, PLR0917 - as above
    log: Log, metric: Metric, question: Question, came_before: datetime, name: str, least: int
) -> tuple[Segment, ...]:
    table = per_user(
        log,
        metric,
        since=question.since,
        until=question.now,
        window=question.window,
        segment=name,
        from_first=True,
    ).filter(_["first"] < moment(came_before))
    users = log.keep(table.select("segment", "assigned", "measure"))
    # A property may have a value for every user, so only the large ones ever leave the engine.
    in_arm = {role.value: (_.assigned == role.value).sum() for role in Model}
    sizes = users.group_by("segment").aggregate(users=_.count(), **in_arm)
    order = [ibis.desc("users"), ibis.asc("segment", nulls_first=True)]
    large = sizes.filter([_[role.value] >= least for role in Model]).order_by(order).limit(MOST_VALUES)
    values = [row["segment"] for row in log.rows(large)]
    segments = [Segment(name, value, *_arms(log, users.filter(_has(users, [value])))) for value in values]
    rest = users.filter(~_has(users, values))
    count = log.rows(rest.aggregate(values=_.segment.nunique(), missing=_.segment.isnull().any()))[0]
    distinct = count["values"] + bool(count["missing"])
    if distinct:
        left = sizes.filter(~_has(sizes, values)).order_by(order).limit(NAMED)
        largest = tuple(NOT_GIVEN if row["segment"] is None else row["segment"] for row in log.rows(left))
        segments.append(Segment(name, None, *_arms(log, rest), Others(distinct, largest)))
    return tuple(sorted(segments, key=lambda each: (-each.users, each.name)))


def _has(table: ir.Table, values: Sequence[str | None]) -> ir.BooleanValue:
    """Whether the segment is one of the values."""
    given = [value for value in values if value is not None]
    found = table.segment.isin(given).fill_null(False) if given else ibis.literal(value=False)
    return found | table.segment.isnull() if None in values else found


def _arms(log: Log, users: ir.Table) -> tuple[Arm, Arm]:
    """Champion and challenger."""
    grouped = users.group_by("assigned").aggregate(
        users=_.count(), mean=_.measure.mean(), variance=_.measure.var(how="sample")
    )
    found = {
        row["assigned"]: Arm(row["users"], float(row["mean"]), float(row["variance"] or 0.0))
        for row in log.rows(grouped)
    }
    nobody = Arm(0, 0.0, 0.0)
    return found.get(Model.CHAMPION.value, nobody), found.get(Model.CHALLENGER.value, nobody)


def whole(segments: tuple[Segment, ...]) -> Segment:
    """All users, from the segments of one property: each user is in one of them."""
    return Segment(
        "", None, _together([s.champion for s in segments]), _together([s.challenger for s in segments])
    )


def _together(arms: list[Arm]) -> Arm:
    """Counts, means and sums of squares add up."""
    users = sum(arm.users for arm in arms)
    if not users:
        return Arm(0, 0.0, 0.0)
    mean = sum(arm.users * arm.mean for arm in arms) / users
    squares = sum(
        (arm.users - 1) * arm.variance + arm.users * (arm.mean - mean) ** 2 for arm in arms if arm.users
    )
    return Arm(users, mean, squares / (users - 1) if users > 1 else 0.0)

"""Users of a test by properties of their context: counts, means and variances, from the engine."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import ibis
from ibis import _

from analysis.errors import LogError
from analysis.log import Log, moment
from analysis.measures.experiment import Question
from analysis.measures.metric import Metric
from analysis.measures.users import per_user
from common.names import Model

MOST_PROPERTIES: Final = 20
MOST_VALUES: Final = 50
"""Of one property. What has more (a postcode, an id) is not told apart user by user: the largest are."""


@dataclass(frozen=True)
class Arm:
    """Users of one arm in one segment, with mean and variance of the measure."""

    users: int
    mean: float
    variance: float


@dataclass(frozen=True)
class Segment:
    """Users whose first request in the test had this value (None: had none)."""

    key: str
    value: str | None
    champion: Arm
    challenger: Arm

    @property
    def name(self) -> str:
        """country=NO."""
        return f"{self.key}={self.value}" if self.value is not None else f"without {self.key}"

    @property
    def users(self) -> int:
        """In both arms."""
        return self.champion.users + self.challenger.users


@dataclass(frozen=True)
class Divided:
    """Segments by property, the largest first; what is beyond MOST_VALUES is counted in `rest`."""

    segments: dict[str, tuple[Segment, ...]]
    rest: dict[str, int]


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


def divided(
    log: Log, metric: Metric, question: Question, came_before: datetime, names: tuple[str, ...]
) -> Divided:
    """The segments of each property."""
    found: dict[str, tuple[Segment, ...]] = {}
    rest: dict[str, int] = {}
    for name in names:
        segments = _of_property(log, metric, question, came_before, name)
        found[name], over = segments[:MOST_VALUES], segments[MOST_VALUES:]
        if over:
            rest[name] = sum(each.users for each in over)
    return Divided(found, rest)


def _of_property(
    log: Log, metric: Metric, question: Question, came_before: datetime, name: str
) -> tuple[Segment, ...]:
    users = per_user(
        log,
        metric,
        since=question.since,
        until=question.now,
        window=question.window,
        segment=name,
        from_first=True,
    ).filter(_["first"] < moment(came_before))
    grouped = users.group_by("segment", "assigned").aggregate(
        users=_.count(), mean=_.measure.mean(), variance=_.measure.var(how="sample")
    )
    arms: dict[str | None, dict[str, Arm]] = {}
    for row in log.rows(grouped):
        arm = Arm(row["users"], float(row["mean"]), float(row["variance"] or 0.0))
        arms.setdefault(row["segment"], {})[row["assigned"]] = arm
    nobody = Arm(0, 0.0, 0.0)
    segments = [
        Segment(name, value, of.get(Model.CHAMPION.value, nobody), of.get(Model.CHALLENGER.value, nobody))
        for value, of in arms.items()
    ]
    return tuple(sorted(segments, key=lambda each: (-each.users, each.name)))


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

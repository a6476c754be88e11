"""What a registered test reads from a log: who came when, and what came of the users of each arm.

Everything is aggregated in the engine: arrivals in at most a few hundred steps of time, arms as counts,
means, variances and covariances, counts per user as value counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

import ibis
import numpy as np
from ibis import _
from ibis.expr import types as ir
from tea_tasting.aggr import Aggregates, read_aggregates

from analysis.log import Log, context_of, moment
from analysis.measures.left_out import LeftOut, left_out
from analysis.measures.metric import Kind, Metric
from analysis.measures.users import Period, in_test, per_user
from analysis.statistics.counts import ValueCounts
from common.names import Model

MEASURE, BEFORE = "measure", "before"
PREDICTIONS = ("request_id", "time", "user", "assigned", "model", "model_name", "model_version")
FEEDBACK = ("request_id", "time", "user", "outcome", "value")
_STEPS = 200


@dataclass(frozen=True)
class Question:
    """Which users of which time are asked about.

    Attributes:
        since: requests from here on are in the test; aware.
        now: nothing is known of the time after this; aware.
        window: how long a user is watched from the first request on.
        segment: property and value of the context in the first request; None: all users.
    """

    since: datetime
    now: datetime
    window: timedelta
    segment: tuple[str, str] | None = None

    def within(self, users: ir.Table) -> ir.Table:
        """Those of the segment."""
        return users if self.segment is None else users.filter(_.segment == self.segment[1])

    @property
    def property(self) -> str | None:
        """Of the context, that the segment is about."""
        return self.segment[0] if self.segment else None


def loaded(log: Log, *, segment: bool) -> Log:
    """What of a log a test needs, read once."""
    context = ("context",) if segment else ()
    return log.loaded(predictions=(*PREDICTIONS, *context), feedback=FEEDBACK)


@dataclass(frozen=True)
class Arrived:
    """Users of the test by time.

    Attributes:
        days: moments since the beginning, in days, ascending.
        champion, challenger: different users until each of them.
        changed: users whom the flag gave both arms; they count in the first.
    """

    days: tuple[float, ...]
    champion: tuple[int, ...]
    challenger: tuple[int, ...]
    changed: int

    @property
    def users(self) -> tuple[int, int]:
        """Of the champion and of the challenger, until now."""
        return (self.champion[-1], self.challenger[-1]) if self.days else (0, 0)


def users_of(log: Log, question: Question) -> ir.Table:
    """The users of the test: user, assigned, assignments, first; kept by the engine."""
    users = in_test(log, Period(question.since, question.now, question.window), question.property)
    return log.keep(question.within(users).select("user", "assigned", "assignments", "first"))


def arrived(log: Log, users: ir.Table, question: Question) -> Arrived:
    """Count `users_of` the test as they come."""
    span = (question.now - question.since).total_seconds()
    step = max(span / _STEPS, 1.0)
    # Whole seconds since 1970 in every engine; Unix seconds of a step's end fit a float exactly.
    begin = moment(question.since).epoch_seconds()
    steps = users.mutate(step=((_["first"].epoch_seconds() - begin) / step).floor().cast("int64"))
    rows = log.rows(
        steps.group_by("step", "assigned").aggregate(users=_.count(), changed=(_.assignments > 1).sum())
    )
    size = ceil(span / step)  # also of the steps in which nobody came
    new = {role: np.zeros(size, dtype=np.int64) for role in Model}
    for row in rows:
        new[Model(row["assigned"])][min(max(row["step"], 0), size - 1)] += row["users"]
    ends = np.minimum((np.arange(size) + 1) * step, span) / 86_400
    return Arrived(
        tuple(float(end) for end in ends),
        tuple(int(count) for count in new[Model.CHAMPION].cumsum()),
        tuple(int(count) for count in new[Model.CHALLENGER].cumsum()),
        sum(row["changed"] for row in rows),
    )


def reached(log: Log, users: ir.Table, champion: int, challenger: int) -> datetime | None:
    """When that user came with whom both arms had so many; None: they have not yet."""
    rank = ibis.row_number().over(ibis.window(group_by="assigned", order_by=["first", "user"]))
    needed = {Model.CHAMPION: champion, Model.CHALLENGER: challenger}
    last = [(_.assigned == role.value) & (_.rank == count - 1) for role, count in needed.items()]
    rows = log.rows(users.mutate(rank=rank).filter(last[0] | last[1]).select("assigned", "first"))
    if len(rows) < len(needed):
        return None
    latest: datetime = max(row["first"] for row in rows)
    return latest.replace(tzinfo=UTC)


def sizes(log: Log, users: ir.Table, came_before: datetime) -> tuple[int, int]:
    """Users of the champion and of the challenger whose first request came before that time."""
    users = users.filter(_["first"] < moment(came_before))
    rows = log.rows(users.group_by("assigned").aggregate(users=_.count()))
    found = {row["assigned"]: int(row["users"]) for row in rows}
    return found.get(Model.CHAMPION.value, 0), found.get(Model.CHALLENGER.value, 0)


@dataclass(frozen=True)
class ArmReading:
    """One arm.

    Attributes:
        users: in it.
        aggregates: of MEASURE and, where a covariate was asked for, BEFORE (0 for who was not there).
        counts: how many users have each value; only for counts.
        heard: share of users of whom any feedback came at all, of any name; None where nobody looked.
    """

    users: int
    aggregates: Aggregates
    counts: ValueCounts | None
    heard: float | None


@dataclass(frozen=True)
class Arms:
    """Both arms, in one measure."""

    champion: ArmReading
    challenger: ArmReading


@dataclass(frozen=True)
class Covariate:
    """The time before the test: from `since` on, and before `until`."""

    since: datetime
    until: datetime


def covariate_time(log: Log, question: Question, back: timedelta) -> Covariate | None:
    """The time before the test in which nobody had the challenger; None where there is none.

    What users did with the challenger is no covariate: the test would take away a part of its own effect.
    """
    begin = question.since - back
    requests = log.predictions.filter(_.time >= moment(begin), _.time < moment(question.since))
    exposed = _.assigned == Model.CHALLENGER.value
    row = log.rows(requests.aggregate(first=_.time.min(), exposed=_.time.min(where=exposed)))[0]
    first, until = row["first"], row["exposed"] or question.since.astimezone(UTC).replace(tzinfo=None)
    return Covariate(begin, until.replace(tzinfo=UTC)) if first and first < until else None


def measured(  # noqa: PLR0913 - a measure, whose, from when, and what else to look at
    log: Log,
    metric: Metric,
    question: Question,
    came_before: datetime,
    *,
    covariate: Covariate | None = None,
    heard: bool = False,
) -> Arms:
    """The arms, of users whose first request came before `came_before`; each is watched for the window.

    Args:
        covariate: the time before the test to read BEFORE from; None: it is 0.
        heard: whether to look for feedback of any name, too.
    """
    table = per_user(
        log,
        metric,
        since=question.since,
        until=question.now,
        window=question.window,
        segment=question.property,
        before=question.since - covariate.since if covariate else timedelta(microseconds=1),
        from_first=True,
        before_until=covariate.until if covariate else None,
    )
    users = question.within(table).filter(_["first"] < moment(came_before))
    users = log.keep(users.select("user", "assigned", MEASURE, before=_.before.fill_null(0.0)))
    columns = [MEASURE, BEFORE]
    found = read_aggregates(
        users, "assigned", has_count=True, mean_cols=columns, var_cols=columns, cov_cols=[(BEFORE, MEASURE)]
    )
    counts = _value_counts(log, users) if metric.kind is Kind.COUNT else {}
    told = _heard(log, users, question) if heard else {}

    def arm(role: Model) -> ArmReading:
        aggregates = found.get(role.value, Aggregates(0, {MEASURE: 0.0, BEFORE: 0.0}))
        return ArmReading(aggregates.count(), aggregates, counts.get(role), told.get(role))

    return Arms(arm(Model.CHAMPION), arm(Model.CHALLENGER))


def left_out_of(log: Log, metric: Metric, question: Question, came_before: datetime) -> LeftOut:
    """The feedback of the metric's name that `measured` does not count."""
    period = Period(question.since, question.now, question.window, from_first=True)
    users = question.within(in_test(log, period, question.property)).filter(_["first"] < moment(came_before))
    return left_out(log, metric, period, users)


def _value_counts(log: Log, users: ir.Table) -> dict[Model, ValueCounts]:
    rows = log.rows(users.group_by("assigned", MEASURE).aggregate(users=_.count()).order_by(MEASURE))
    return {role: _counted([row for row in rows if row["assigned"] == role.value]) for role in Model}


def _counted(rows: Sequence[dict[str, float]]) -> ValueCounts:
    return ValueCounts(
        np.array([row[MEASURE] for row in rows], dtype=np.float64),
        np.array([row["users"] for row in rows], dtype=np.int64),
    )


def _heard(log: Log, users: ir.Table, question: Question) -> dict[Model, float]:
    """The share of each arm's users of whom there is any feedback from the test's time."""
    told = log.feedback.filter(_.time >= moment(question.since))
    asked = log.predictions.filter(_.user.notnull(), _.time >= moment(question.since))
    named = told.filter(_.request_id.notnull()).select("request_id")
    by_request = named.inner_join(asked.select("request_id", "user"), "request_id").select("user")
    by_user = told.filter(_.request_id.isnull(), _.user.notnull()).select("user")
    known = by_request.union(by_user).distinct().mutate(known=1)
    joined = users.left_join(known, "user").select(users.assigned, heard=known.known.fill_null(0))
    rows = log.rows(joined.group_by("assigned").aggregate(heard=_.heard.mean()))
    return {Model(row["assigned"]): float(row["heard"]) for row in rows}


@dataclass(frozen=True)
class Answered:
    """Requests of one arm that one model answered."""

    assigned: str
    model: str
    name: str
    version: str
    requests: int


def answered(log: Log, question: Question) -> tuple[Answered, ...]:
    """Who answered whom in the time of the test, the most requests first."""
    requests = log.predictions.filter(
        _.user.notnull(), _.time >= moment(question.since), _.time < moment(question.now)
    )
    if question.segment:
        requests = requests.filter(context_of(requests, question.segment[0]) == question.segment[1])
    keys = ["assigned", "model", "model_name", "model_version"]
    rows = log.rows(requests.group_by(keys).aggregate(requests=_.count()))
    found = [Answered(*(row[key] for key in [*keys, "requests"])) for row in rows]
    return tuple(sorted(found, key=lambda each: (-each.requests, each.assigned, each.name, each.version)))

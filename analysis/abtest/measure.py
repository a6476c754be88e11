"""What a registered test reads from a log: who came when, and what came of the users of each arm.

Everything is aggregated in the engine: arrivals in at most a few hundred steps of time, arms as counts,
means, variances and covariances, counts per user as value counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import cast

import ibis
import numpy as np
from ibis import _
from ibis.expr import types as ir
from tea_tasting.aggr import Aggregates, read_aggregates

from analysis.log import Log, context_of, moment
from analysis.metric import Kind, Metric
from analysis.stages import Stages
from analysis.statistics.counts import ValueCounts
from analysis.statistics.effect import Sample
from analysis.users import Covariate, Period, requests_of, with_measure
from common.names import Model

MEASURE, BEFORE = "measure", "before"
PREDICTIONS = ("request_id", "time", "user", "assigned", "share", "model", "model_name", "model_version")
FEEDBACK = ("request_id", "time", "user", "outcome", "value")
_STEPS = 200
LEAST_USERS = 2
"""Of each arm of a stage, for any comparison."""


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


def arrived(log: Log, users: ir.Table, period: Period) -> Arrived:
    """Count the `users` of the test as they come."""
    span = (period.until - period.since).total_seconds()
    step = max(span / _STEPS, 1.0)
    # Whole seconds since 1970 in every engine; Unix seconds of a step's end fit a float exactly.
    begin = moment(period.since).epoch_seconds()
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


def until(users: ir.Table, came_before: datetime) -> ir.Table:
    """Those whose first request came before that time."""
    return users.filter(_["first"] < moment(came_before))


def sizes(log: Log, users: ir.Table, came_before: datetime, stages: Stages) -> tuple[tuple[int, int], ...]:
    """By stage: users of champion and challenger whose first request came before that time."""
    rows = log.rows(until(users, came_before).group_by("stage", "assigned").aggregate(users=_.count()))
    found = {(row["stage"], row["assigned"]): int(row["users"]) for row in rows}
    champion, challenger = Model.CHAMPION.value, Model.CHALLENGER.value
    return tuple(
        (found.get((place, champion), 0), found.get((place, challenger), 0))
        for place in range(max(len(stages.shares), 1))
    )


def stages_of(
    log: Log, period: Period, usual: float, given: tuple[tuple[datetime, float], ...] = ()
) -> Stages:
    """The shares in the time of a test: as given (when each began), or by the log, or the `usual` one."""
    if given:
        later = [share for at, share in given if period.since < at < period.until]
        first = next((share for at, share in reversed(given) if at <= period.since), usual)
        return Stages.among((first, *later), usual, given)
    asked = requests_of(log, period)
    if "share" not in asked.columns:
        return Stages.among((usual,), usual)
    known = Stages((), usual)
    rows = log.rows(asked.select(share=known.of(asked)).distinct())
    return Stages.among([float(row["share"]) for row in rows] or [usual], usual)


@dataclass(frozen=True)
class ArmReading:
    """One arm.

    Attributes:
        aggregates: of MEASURE and of BEFORE (0 for who was not there, or where no covariate was asked for).
        counts: how many users have each value; only for counts, and where there are any.
        heard: share of users of whom any feedback came at all, of any name; None where nobody looked.
    """

    aggregates: Aggregates
    counts: ValueCounts | None = None
    heard: float | None = None

    @property
    def users(self) -> int:
        """In it."""
        return self.aggregates.count()

    @property
    def sample(self) -> Sample:
        """Of MEASURE."""
        return Sample(self.users, float(self.aggregates.mean(MEASURE)), float(self.aggregates.var(MEASURE)))


@dataclass(frozen=True)
class ArmReadings:
    """Both arms, in one measure.

    `by_stage` are the arms of each stage in which both have two users or more, `places` those of these stages
    among all; none: there are no stages.
    """

    champion: ArmReading
    challenger: ArmReading
    by_stage: tuple[tuple[ArmReading, ArmReading], ...] = ()
    places: tuple[int, ...] = (0,)

    @property
    def samples(self) -> tuple[tuple[Sample, Sample], ...]:
        """Champion and challenger, of each stage that can be compared."""
        pairs = self.by_stage or ((self.champion, self.challenger),)
        return tuple((champion.sample, challenger.sample) for champion, challenger in pairs)


def covariate_time(log: Log, period: Period, back: timedelta) -> Covariate | None:
    """The time before the test in which nobody had the challenger; None where there is none.

    What users did with the challenger is no covariate: the test would take away a part of its own effect.
    """
    begin = period.since - back
    requests = log.predictions.filter(_.time >= moment(begin), _.time < moment(period.since))
    exposed = _.assigned == Model.CHALLENGER.value
    row = log.rows(requests.aggregate(first=_.time.min(), exposed=_.time.min(where=exposed)))[0]
    first, until = row["first"], row["exposed"] or period.since.astimezone(UTC).replace(tzinfo=None)
    return Covariate(begin, until.replace(tzinfo=UTC)) if first and first < until else None


def measured(  # noqa: PLR0913 - a measure, of whom, from when, and what else to look at
    log: Log,
    metric: Metric,
    period: Period,
    users: ir.Table,
    *,
    covariate: Covariate | None = None,
    heard: bool = False,
) -> ArmReadings:
    """The arms of the `users` of the test (user, assigned, first); each user is watched for the window.

    Args:
        covariate: the time before the test to read BEFORE from; None: it is 0.
        heard: whether to look for feedback of any name, too.
    """
    table = with_measure(log, metric, period, users, covariate)
    before = table[BEFORE].fill_null(0.0) if covariate else ibis.literal(0.0)
    cell = (2 * _.stage + (_.assigned == Model.CHALLENGER.value).ifelse(1, 0)).cast("int64")
    read = log.keep(table.select("user", "assigned", MEASURE, before=before, cell=cell))
    columns = [MEASURE, BEFORE]
    found = cast(
        "dict[int, Aggregates]",
        read_aggregates(
            read, "cell", has_count=True, mean_cols=columns, var_cols=columns, cov_cols=[(BEFORE, MEASURE)]
        ),
    )
    nobody = Aggregates(0, dict.fromkeys(columns, 0.0), dict.fromkeys(columns, 0.0), {(BEFORE, MEASURE): 0.0})
    counts = _value_counts(log, read) if metric.kind is Kind.COUNT else {}
    told = _heard(log, read, period) if heard else {}
    stages = range(max(found, default=0) // 2 + 1)
    cells = {
        place: ArmReading(found.get(place, nobody), counts.get(place))
        for stage in stages
        for place in (2 * stage, 2 * stage + 1)
    }
    champion, challenger = (
        replace(together([cells[2 * stage + arm] for stage in stages]), heard=told.get(role))
        for arm, role in enumerate((Model.CHAMPION, Model.CHALLENGER))
    )
    pairs = tuple((cells[2 * stage], cells[2 * stage + 1]) for stage in stages)
    places = tuple(
        place for place, pair in enumerate(pairs) if min(each.users for each in pair) >= LEAST_USERS
    )
    enough = tuple(pairs[place] for place in places)
    return ArmReadings(champion, challenger, enough or pairs[:1], places)


def together(readings: Sequence[ArmReading]) -> ArmReading:
    """One arm over several stages."""
    if len(readings) == 1:
        return readings[0]
    some = [each for each in readings if each.users] or readings[:1]
    aggregates = some[0].aggregates
    for each in some[1:]:
        aggregates += each.aggregates
    counts = [each.counts for each in some if each.counts is not None]
    return ArmReading(aggregates, ValueCounts.merged(counts) if counts else None)


def _value_counts(log: Log, users: ir.Table) -> dict[int, ValueCounts]:
    rows = log.rows(users.group_by("cell", MEASURE).aggregate(users=_.count()).order_by(MEASURE))
    cells = {row["cell"] for row in rows}
    return {cell: _counted([row for row in rows if row["cell"] == cell]) for cell in cells}


def _counted(rows: Sequence[dict[str, float]]) -> ValueCounts:
    return ValueCounts(
        np.array([row[MEASURE] for row in rows], dtype=np.float64),
        np.array([row["users"] for row in rows], dtype=np.int64),
    )


def _heard(log: Log, users: ir.Table, period: Period) -> dict[Model, float]:
    """The share of each arm's users of whom there is any feedback from the test's time."""
    told = log.feedback.filter(_.time >= moment(period.since))
    asked = log.predictions.filter(_.user.notnull(), _.time >= moment(period.since))
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


def answered(log: Log, period: Period) -> tuple[Answered, ...]:
    """Who answered whom in the time of the test, the most requests first."""
    requests = requests_of(log, period)
    if period.segment:
        name, value = period.segment
        requests = requests.filter(context_of(requests, name) == value)
    keys = ["assigned", "model", "model_name", "model_version"]
    rows = log.rows(requests.group_by(keys).aggregate(requests=_.count()))
    found = [Answered(*(row[key] for key in [*keys, "requests"])) for row in rows]
    return tuple(sorted(found, key=lambda each: (-each.requests, each.assigned, each.name, each.version)))

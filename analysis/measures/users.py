"""Users as the unit of an experiment: one row for each, with the arm, the requests and what came of them.

Requests of one user depend on each other; what a flag assigns at random are users. So a test counts users,
and what it counts is summed by user first, here, in the engine.

What counts, for a test from `since` to `until`:

- a user is in it from the first request in that time on, in the arm assigned then, also where the flag gave
  the other arm later (`assignments` is 2), and whoever answered (intention to treat);
- an outcome that names a request counts when that request was in the test and the outcome came no later
  than `window` after it, also after `until`; it may carry an earlier time, by the clock of another host;
- an outcome that names only a user counts when it came within `window` after the user's first request, or
  before that by no more than SLACK, by which clocks of hosts may differ;
- `before` is the same measure of the requests and outcomes before `since`, which the test cannot have
  changed; it is null for users who were not there before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.log import Log, context_of, moment
from analysis.measures.metric import Kind, Metric
from common.names import Model

SLACK: Final = timedelta(seconds=5)
"""Between clocks of hosts that log: as much as the alert ClocksDiffer allows."""


@dataclass(frozen=True)
class Period:
    """The time of a test, and how long an outcome may take.

    Attributes:
        since, until: aware times; requests from the first on and before the second are in the test.
        window: after a request.
        before: how far the time before the test goes back for `before`; None: to the log's beginning.
        from_first: the window runs from the user's first request in the test, also for outcomes that name a
            later one: every user is watched for the same time, and a user's measure is final after it.
        before_until: where the time before the test ends; None: at `since`.
    """

    since: datetime
    until: datetime
    window: timedelta
    before: timedelta | None = None
    from_first: bool = False
    before_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise ValueError(f"a test until {self.until} that begins at {self.since}")
        if self.window <= timedelta(0):
            raise ValueError("a window of no length")


def per_user(  # noqa: PLR0913 - one for each part of the period
    log: Log,
    metric: Metric,
    *,
    since: datetime,
    until: datetime,
    window: timedelta,
    segment: str | None = None,
    before: timedelta | None = None,
    from_first: bool = False,
    before_until: datetime | None = None,
) -> ir.Table:
    """One row for each user of the test; the arguments are those of `Period`.

    Columns:
        user: string.
        assigned: arm of the first request.
        assignments: distinct arms seen, 1 or 2.
        requests: in the test.
        first: time of the first request.
        segment: with `segment`, that property of the context in the first request, or null.
        outcomes: number of outcomes that count.
        total: sum of their values (those without one are 0).
        converted: 1 with an outcome, else 0.
        measure: the one of these three that `metric` means, float64.
        before: the measure before the test, float64; null where the user was not there.
    """
    period = Period(since, until, window, before, from_first, before_until)
    measured = with_measure(log, metric, period, in_test(log, period, segment))
    earlier = _before(log, metric, period)
    return measured.left_join(earlier, "user").select(
        *[measured[name] for name in measured.columns], before=earlier.measure
    )


def in_test(log: Log, period: Period, segment: str | None = None) -> ir.Table:
    """Users of the test: user, assigned, assignments, requests, first and, with `segment`, segment."""
    # Two minima by arm instead of the arm at the minimum: the same in every engine, also for equal times.
    arms = {role.value: _.time.min(where=_.assigned == role.value) for role in Model}
    users = _requests(log, period).group_by("user").aggregate(requests=_.count(), first=_.time.min(), **arms)
    challenger, champion = users[Model.CHALLENGER.value], users[Model.CHAMPION.value]
    is_challenger = challenger.notnull() & (champion.isnull() | (challenger < champion))
    users = users.select(
        "user",
        assigned=is_challenger.ifelse(Model.CHALLENGER.value, Model.CHAMPION.value),
        assignments=(champion.notnull() & challenger.notnull()).ifelse(2, 1),
        requests=_.requests,
        first=_.first,
    )
    if segment is None:
        return users
    return with_segments(users, first_requests(log, period, users), {"segment": segment})


def first_requests(log: Log, period: Period, users: ir.Table) -> ir.Table:
    """user and context of the first request of each of the `users`, which have user and first.

    A user with several at the same moment has a row for each. Only of these are contexts opened: most users
    come again and again.
    """
    firsts = users.select("user", time=_.first)
    asked = _requests(log, period).select("user", "time", "context")
    return asked.semi_join(firsts, ["user", "time"]).select("user", "context")


def with_segments(users: ir.Table, asked: ir.Table, properties: Mapping[str, str]) -> ir.Table:
    """`users` and a column for each of `properties`, null where the first request had none.

    Args:
        asked: their `first_requests`.
        properties: name of the column -> property of the context.
    """
    each = asked.select("user", **{column: context_of(asked, name) for column, name in properties.items()})
    # Of requests at the same moment the least value counts, none before any: no engine has an order.
    least = {
        column: each[column].isnull().any().ifelse(ibis.null("string"), each[column].min())
        for column in properties
    }
    found = each.group_by("user").aggregate(**least)
    return users.left_join(found, "user").select(
        *[users[name] for name in users.columns], *[found[column] for column in properties]
    )


def with_measure(log: Log, metric: Metric, period: Period, users: ir.Table) -> ir.Table:
    """`users` of the test with outcomes, total, converted and measure; see `per_user`."""
    joined = users.left_join(_earned(log, metric, period, users), "user").select(
        *[users[name] for name in users.columns],
        outcomes=_.outcomes.fill_null(0),
        total=_.total.fill_null(0.0),
    )
    return _measuring(joined, metric)


def _requests(log: Log, period: Period) -> ir.Table:
    return log.predictions.filter(
        _.user.notnull(), _.time >= moment(period.since), _.time < moment(period.until)
    )


def _earned(log: Log, metric: Metric, period: Period, users: ir.Table) -> ir.Table:
    """user, outcomes, total of the test."""
    told = log.feedback.filter(_.outcome == metric.outcome)
    by_request = _of_requests(told, _requests(log, period), period.window)
    if period.from_first:
        firsts = users.select("user", "first")
        by_request = by_request.inner_join(firsts, "user").filter(
            _.time <= _.first + ibis.literal(period.window)
        )
    by_user = (
        told.filter(_.request_id.isnull(), _.user.notnull())
        .inner_join(users.select("user", "first"), "user")
        .filter(_.time >= _.first - ibis.literal(SLACK), _.time <= _.first + ibis.literal(period.window))
        .select("user", "value")
    )
    return _summed(by_request.select("user", "value").union(by_user))


def _before(log: Log, metric: Metric, period: Period) -> ir.Table:
    """user, measure in the time before the test."""
    end = moment(period.before_until or period.since)
    requests = log.predictions.filter(_.user.notnull(), _.time < end)
    told = log.feedback.filter(_.outcome == metric.outcome, _.time < end)
    if period.before is not None:
        begin = moment(period.since - period.before)
        requests, told = requests.filter(_.time >= begin), told.filter(_.time >= begin)
    by_user = told.filter(_.request_id.isnull(), _.user.notnull()).select("user", "value")
    by_request = _of_requests(told, requests, period.window).select("user", "value")
    earned = _summed(by_request.union(by_user))
    seen = requests.select("user").distinct()
    joined = seen.left_join(earned, "user").select(
        seen.user, outcomes=_.outcomes.fill_null(0), total=_.total.fill_null(0.0)
    )
    return _measuring(joined, metric).select("user", "measure")


def _of_requests(told: ir.Table, requests: ir.Table, window: timedelta) -> ir.Table:
    """user, time, value of the outcomes that name one of `requests` and came within `window` of it.

    The name says that it came after the request; its time is of another clock perhaps, and says less.
    """
    asked = requests.select("request_id", "user", asked=requests.time)
    named = told.filter(_.request_id.notnull()).select("request_id", "time", "value")
    joined = named.inner_join(asked, "request_id").filter(_.time <= _.asked + ibis.literal(window))
    # A client may send a request id again; the outcome is that of the first request then, and counts once.
    rank = ibis.row_number().over(ibis.window(group_by="request_id", order_by=["asked", "user"]))
    return joined.mutate(rank=rank).filter(_.rank == 0).select("user", "time", "value")


def _summed(outcomes: ir.Table) -> ir.Table:
    return outcomes.group_by("user").aggregate(outcomes=_.count(), total=_.value.fill_null(0.0).sum())


def _measuring(table: ir.Table, metric: Metric) -> ir.Table:
    converted = (table.outcomes > 0).ifelse(1, 0)
    measure = {Kind.PROPORTION: converted, Kind.MEAN: table.total, Kind.COUNT: table.outcomes}[metric.kind]
    return table.mutate(converted=converted, measure=measure.cast("float64"))

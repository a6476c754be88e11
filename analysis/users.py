"""Users as the unit of an experiment: one row for each, with the arm, the requests and what came of them.

Requests of one user depend on each other; what a flag assigns at random are users. So a test counts users,
and what it counts is summed by user first, here, in the engine.

What counts, for a test from `since` to `until`:

- a user is in it from the first request in that time on, in the arm assigned then, also where the flag gave
  the other arm later (`assignments` is 2), and whoever answered (intention to treat); requests while the flag
  gave one model to all are none of the test, where that is known (`stages`);
- an outcome counts when it came within `window` after the user's first request in the test, also after
  `until`: every user is watched for the same time, and a user's measure is final after it;
- an outcome that names a request counts when that request was in the test; it may carry an earlier time, by
  the clock of another host;
- an outcome that names only a user may come before the first request by no more than SLACK, by which clocks
  of hosts may differ;
- `before` is the same measure of the requests and outcomes of a time before the test, which it cannot have
  changed: there an outcome counts within `window` after its request. It is null for users who were not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import ibis
from ibis import _
from ibis.expr import types as ir

from analysis.log import Log, context_of, moment
from analysis.metric import Kind, Metric
from analysis.stages import WHOLE, Stages
from common.names import Model

SLACK: Final = timedelta(seconds=5)
"""Between clocks of hosts that log: as much as the alert ClocksDiffer allows."""


@dataclass(frozen=True)
class Period:
    """The time of a test, how long an outcome may take, and of whom.

    Attributes:
        since, until: aware times; requests from the first on and before the second are in the test.
        window: how long a user is watched, from the first request in the test on.
        segment: property and value of the context in the first request; None: all users.
    """

    since: datetime
    until: datetime
    window: timedelta
    segment: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.until <= self.since:
            raise ValueError(f"a test until {self.until} that begins at {self.since}")
        if self.window <= timedelta(0):
            raise ValueError("a window of no length")


@dataclass(frozen=True)
class Covariate:
    """The time before a test in which its measure is read too: from `since` on, and before `until`; aware."""

    since: datetime
    until: datetime


def in_test(log: Log, period: Period, stages: Stages | None = None) -> ir.Table:
    """Users of the test.

    Columns:
        user: string.
        assigned: arm of the first request.
        assignments: distinct arms seen from then on and within the window, 1 or 2.
        first: time of the first request.
        stage: place of the share at the first request among those of `stages`; 0 without.
    """
    asked = requests_of(log, period)
    asked = asked.mutate(share=stages.of(asked) if stages else ibis.literal(WHOLE / 2))
    both = (_.share > 0) & (_.share < WHOLE)
    # Minima by arm and stage instead of those at the minimum: the same in every engine, also for equal times.
    firsts = {role.value: _.time.min(where=both & (_.assigned == role.value)) for role in Model}
    ever = {f"ever_{role.value}": _.time.min(where=_.assigned == role.value) for role in Model}
    last = {f"last_{role.value}": _.time.max(where=_.assigned == role.value) for role in Model}
    shares = stages.shares if stages and stages.is_ramp else ()
    at = {f"stage_{place}": _.time.min(where=_.share == share) for place, share in enumerate(shares)}
    users = (
        asked.group_by("user")
        .aggregate(first=_.time.min(where=both), **firsts, **ever, **last, **at)
        .filter(_.first.notnull())
    )
    challenger, champion = users[Model.CHALLENGER.value], users[Model.CHAMPION.value]
    is_challenger = challenger.notnull() & (champion.isnull() | (challenger < champion))
    others_first = is_challenger.ifelse(users.ever_champion, users.ever_challenger)
    others_last = is_challenger.ifelse(users.last_champion, users.last_challenger)
    changed = (others_last >= users["first"]) & (others_first <= users["first"] + ibis.literal(period.window))
    places = [(users[name] == users["first"], place) for place, name in enumerate(at)]
    users = users.select(
        "user",
        assigned=is_challenger.ifelse(Model.CHALLENGER.value, Model.CHAMPION.value),
        assignments=changed.fill_null(False).ifelse(2, 1),
        first=_.first,
        stage=ibis.cases(*places, else_=0) if places else ibis.literal(0),
    )
    if period.segment is None:
        return users
    name, value = period.segment
    found = with_segments(users, first_requests(log, period, users), {"segment": name})
    return found.filter(_.segment == value).drop("segment")


def first_requests(log: Log, period: Period, users: ir.Table) -> ir.Table:
    """user and context of the first request of each of the `users`, which have user and first.

    A user with several at the same moment has a row for each. Only of these are contexts opened: most users
    come again and again.
    """
    firsts = users.select("user", time=_.first)
    asked = requests_of(log, period).select("user", "time", "context")
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


def with_measure(
    log: Log, metric: Metric, period: Period, users: ir.Table, covariate: Covariate | None = None
) -> ir.Table:
    """`users` of the test and what came of them.

    Columns, beside those of `users`, which have user and first:
        outcomes: number of outcomes that count.
        total: sum of their values (those without one are 0).
        measure: what `metric` means by them, float64.
        before: with `covariate`, the measure in that time, float64; null where the user was not there.
    """
    measured = _measured(users, _earned(log, metric, period, users), metric)
    if covariate is None:
        return measured
    earlier = _before(log, metric, period.window, covariate)
    return measured.left_join(earlier, "user").select(
        *[measured[name] for name in measured.columns], before=earlier.measure
    )


def requests_of(log: Log, period: Period) -> ir.Table:
    """Predictions for users in that time."""
    return log.predictions.filter(
        _.user.notnull(), _.time >= moment(period.since), _.time < moment(period.until)
    )


def _earned(log: Log, metric: Metric, period: Period, users: ir.Table) -> ir.Table:
    """user, outcomes, total of the test."""
    told, firsts = log.feedback.filter(_.outcome == metric.outcome), users.select("user", "first")
    in_time = _.time <= _.first + ibis.literal(period.window)
    by_request = (
        _of_requests(told, requests_of(log, period), period.window)
        .inner_join(firsts, "user")
        .filter(_.asked >= _.first)
    )
    by_user = (
        told.filter(_.request_id.isnull(), _.user.notnull())
        .inner_join(firsts, "user")
        .filter(_.time >= _.first - ibis.literal(SLACK))
    )
    return _summed(*(each.filter(in_time).select("user", "value") for each in (by_request, by_user)))


def _before(log: Log, metric: Metric, window: timedelta, covariate: Covariate) -> ir.Table:
    """user, measure in the time of the covariate."""
    begin, end = moment(covariate.since), moment(covariate.until)
    requests = log.predictions.filter(_.user.notnull(), _.time >= begin, _.time < end)
    told = log.feedback.filter(_.outcome == metric.outcome, _.time >= begin, _.time < end)
    by_request = _of_requests(told, requests, window).select("user", "value")
    by_user = told.filter(_.request_id.isnull(), _.user.notnull()).select("user", "value")
    seen = requests.select("user").distinct()
    return _measured(seen, _summed(by_request, by_user), metric).select("user", "measure")


def _of_requests(told: ir.Table, requests: ir.Table, window: timedelta) -> ir.Table:
    """user, time, value, asked of the outcomes that name one of `requests` and came within `window` of it.

    The name says that it came after the request; its time is of another clock perhaps, and says less.
    """
    asked = requests.select("request_id", "user", asked=requests.time)
    named = told.filter(_.request_id.notnull()).select("request_id", "time", "value")
    joined = named.inner_join(asked, "request_id").filter(_.time <= _.asked + ibis.literal(window))
    # A client may send a request id again; the outcome is that of the first request then, and counts once.
    rank = ibis.row_number().over(ibis.window(group_by="request_id", order_by=["asked", "user"]))
    return joined.mutate(rank=rank).filter(_.rank == 0).select("user", "time", "value", "asked")


def _summed(by_request: ir.Table, by_user: ir.Table) -> ir.Table:
    """user, outcomes, total, from the user and value of each outcome."""
    outcomes = by_request.union(by_user)
    return outcomes.group_by("user").aggregate(outcomes=_.count(), total=_.value.fill_null(0.0).sum())


def _measured(users: ir.Table, earned: ir.Table, metric: Metric) -> ir.Table:
    """`users` with outcomes, total and measure; zeros for who has nothing."""
    joined = users.left_join(earned, "user").select(
        *[users[name] for name in users.columns],
        outcomes=_.outcomes.fill_null(0),
        total=_.total.fill_null(0.0),
    )
    measure = {
        Kind.PROPORTION: (joined.outcomes > 0).ifelse(1, 0),
        Kind.MEAN: joined.total,
        Kind.COUNT: joined.outcomes,
    }[metric.kind]
    return joined.mutate(measure=measure.cast("float64"))

"""Aggregations of shadow records, each a query or two of the engine.

`scored` are records with `champion`, `challenger` (the scores) and `valid`; `answered` are the valid ones.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import ibis
import numpy as np
from ibis import _
from ibis.expr import types as ir

from analysis.log import Log, contexts
from analysis.log.columns import ROLES
from analysis.statistics.requests import Clusters

FINE: Final = 1000  # bins between the least and the greatest score
QUANTILES: Final = (0.5, 0.95, 0.99)
MOST_DIFFERENT: Final = 20
MOST_SEGMENTS: Final = 200
LEAST_IN_SEGMENT: Final = 30


@dataclass(frozen=True)
class AgreementSegment:
    """Requests with this value of a property of the context, `key`; `difference` is a mean of scores."""

    key: str
    value: str
    requests: int
    agreements: int
    difference: float

    @property
    def name(self) -> str:
        """country=NO."""
        return f"{self.key}={self.value}"


@dataclass(frozen=True)
class ShadowDay:
    """One day, UTC; the models' mean scores are NaN where nothing was answered."""

    day: date
    records: int
    answered: int
    agreements: int
    champion: float
    challenger: float


def errors(log: Log, scored: ir.Table) -> dict[str, int]:
    """Copies without a usable answer by kind, the most common first."""
    kind = _.error.fill_null("no number")
    rows = log.rows(scored.filter(~_.valid).group_by(kind=kind).aggregate(count=_.count()))
    return {row["kind"]: row["count"] for row in sorted(rows, key=lambda row: (-row["count"], row["kind"]))}


def moments(log: Log, answered: ir.Table) -> dict[str, float]:
    """Means by role, `absolute` difference, `correlation`, `least` and `greatest` score; NaN of nothing."""
    row = log.rows(
        answered.aggregate(
            champion=_.champion.mean(),
            challenger=_.challenger.mean(),
            absolute=(_.challenger - _.champion).abs().mean(),
            # Engines differ in which correlation they have; the two are the same number.
            correlation=_.champion.cov(_.challenger, how="pop")
            / (_.champion.std(how="pop") * _.challenger.std(how="pop")).nullif(0.0),
            least=ibis.least(_.champion, _.challenger).min(),
            greatest=ibis.greatest(_.champion, _.challenger).max(),
        )
    )[0]
    return {name: _number(value) for name, value in row.items()}


def clusters(log: Log, answered: ir.Table) -> dict[str, Clusters]:
    """Sums over users for the mean `agreement` and `difference` of requests, which hang together by user."""
    # Who has no name is a user alone: nobody knows better.
    users = answered.group_by(who=ibis.coalesce(_.user, _.request_id)).aggregate(
        n=_.count().cast("float64"),
        agreement=_.agree.cast("int64").sum().cast("float64"),
        difference=(_.challenger - _.champion).sum(),
    )
    names = ("agreement", "difference")
    sums = {"users": _.count(), "n": _.n.sum(), "nn": (_.n * _.n).sum()}
    for name in names:
        sums |= {f"{name}_y": _[name].sum(), f"{name}_ny": (_[name] * _.n).sum()}
        sums |= {f"{name}_yy": (_[name] * _[name]).sum()}
    row = {name: value or 0 for name, value in log.rows(users.aggregate(**sums))[0].items()}
    return {
        name: Clusters(
            users=row["users"],
            n=float(row["n"]),
            nn=float(row["nn"]),
            **{part: float(row[f"{name}_{part}"]) for part in ("y", "ny", "yy")},
        )
        for name in names
    }


def ks(log: Log, answered: ir.Table) -> float:
    """Exact, of all values, however many: the greatest distance of the cumulative distributions."""
    # One sort of all scores, where equal ones are one step; grouping them first takes three times as long.
    until = ibis.range_window(order_by="score", preceding=None, following=0)
    risen = _stacked(answered).select(risen=(_.ours - _.theirs).sum().over(until))
    row = log.rows(risen.aggregate(most=_.risen.abs().max(), n=_.count()))[0]
    return row["most"] / (row["n"] / 2) if row["n"] else math.nan


def histograms(
    log: Log, answered: ir.Table, low: float, high: float
) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    """Edges of FINE bins between the least and the greatest score, with the counts of both models."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return (0.0, 1.0), (0,), (0,)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0  # of probabilities: the same bins in each report
    width = (high - low) / FINE or 1.0
    bins = ((_.score - low) / width).floor().cast("int64").clip(0, FINE - 1)
    counts = np.zeros((2, FINE), dtype=np.int64)
    for row in log.rows(
        _stacked(answered).group_by(bin=bins).aggregate(ours=_.ours.sum(), theirs=_.theirs.sum())
    ):
        counts[:, row["bin"]] = row["ours"], row["theirs"]
    edges = tuple(float(low + width * place) for place in range(FINE + 1))
    return edges, tuple(counts[0].tolist()), tuple(counts[1].tolist())


def _stacked(answered: ir.Table) -> ir.Table:
    """Scores below each other: score, ours (1 of the champion), theirs (1 of the challenger)."""
    one, none = ibis.literal(1, "int64"), ibis.literal(0, "int64")
    return answered.select(score=_.champion, ours=one, theirs=none).union(
        answered.select(score=_.challenger, ours=none, theirs=one)
    )


def latency(log: Log, answered: ir.Table) -> dict[str, tuple[float, ...]]:
    """QUANTILES of both models' seconds."""
    quantiles = {
        f"{role}_{place}": answered[f"{role}_seconds"].quantile(quantile)
        for role in ROLES
        for place, quantile in enumerate(QUANTILES)
    }
    row = log.rows(answered.aggregate(**quantiles))[0]
    return {role: tuple(_number(row[f"{role}_{place}"]) for place in range(len(QUANTILES))) for role in ROLES}


def confusion(log: Log, answered: ir.Table) -> dict[tuple[str, str], int]:
    """Requests by the class of the champion and that of the challenger."""
    classes = answered.filter(_.champion_class_name.notnull(), _.challenger_class_name.notnull())
    keys = ["champion_class_name", "challenger_class_name"]
    rows = log.rows(classes.group_by(keys).aggregate(count=_.count()))
    return {(row[keys[0]], row[keys[1]]): row["count"] for row in rows}


def segments(log: Log, answered: ir.Table) -> tuple[AgreementSegment, ...]:
    """The largest segments. A property that tells requests apart one by one has none of any size."""
    alike = answered.group_by("context").aggregate(
        requests=_.count(),
        agreements=_.agree.cast("int64").sum(),
        differences=(_.challenger - _.champion).sum(),
    )
    opened = alike.mutate(context=contexts(alike))
    each = opened.mutate(key=opened.context.keys().unnest())
    grouped = (
        each.mutate(value=each.context.get(each.key))
        .filter(_.value.notnull())
        .group_by("key", "value")
        .aggregate(
            requests=_.requests.sum(),
            agreements=_.agreements.sum(),
            difference=_.differences.sum() / _.requests.sum(),
        )
        .filter(_.requests >= LEAST_IN_SEGMENT)
        .order_by(ibis.desc("requests"), "key", "value")
        .limit(MOST_SEGMENTS)
    )
    found = [AgreementSegment(**row) for row in log.rows(grouped)]
    alone = {each.key for each in found if sum(one.key == each.key for one in found) == 1}
    whole = int(log.rows(answered.aggregate(n=_.count()))[0]["n"])
    # A property that all requests share tells none apart.
    return tuple(each for each in found if each.key not in alone or each.requests < whole)


def days(log: Log, scored: ir.Table) -> tuple[ShadowDay, ...]:
    """Day by day, the first first."""
    daily = scored.group_by(day=_.time.date()).aggregate(
        records=_.count(),
        answered=_.valid.cast("int64").sum(),
        agreements=(_.agree & _.valid).fill_null(False).cast("int64").sum(),
        champion=_.champion.mean(where=_.valid),
        challenger=_.challenger.mean(where=_.valid),
    )
    return tuple(
        ShadowDay(**row | {role: _number(row[role]) for role in ROLES} | {"day": _date(row["day"])})
        for row in sorted(log.rows(daily), key=lambda row: row["day"])
    )


def most_different(log: Log, answered: ir.Table) -> tuple[dict[str, Any], ...]:
    """The MOST_DIFFERENT requests whose scores are `far` apart, as rows of the log."""
    far = answered.mutate(far=(_.challenger - _.champion).abs()).order_by(ibis.desc("far"), "request_id")
    names = ("request_id", "time", "context", *ROLES, "far", *(f"{role}_class_name" for role in ROLES))
    most = far.select(*names).limit(MOST_DIFFERENT)
    rows = log.rows(most.mutate(context=contexts(most)))
    # Engines give a map as pairs or as a dictionary.
    return tuple(row | {"context": dict(sorted(dict(row["context"] or {}).items()))} for row in rows)


def _date(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)

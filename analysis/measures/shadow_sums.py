"""Aggregations of scored shadow records, each a query or two; analysis.measures.shadow has the columns."""

import math
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final

import ibis
import numpy as np
from ibis import _
from ibis.expr import types as ir

from analysis.log import Log, contexts
from analysis.measures.shadow_reading import FINE, MOST_DIFFERENT, QUANTILES, ROLES, Day, Segment
from analysis.statistics.rates import Clusters

MOST_SEGMENTS: Final = 200
LEAST_IN_SEGMENT: Final = 30


def errors(log: Log, scored: ir.Table) -> dict[str, int]:
    kind = _.error.fill_null("no number")
    rows = log.rows(scored.filter(~_.valid).group_by(kind=kind).aggregate(count=_.count()))
    return {row["kind"]: row["count"] for row in sorted(rows, key=lambda row: (-row["count"], row["kind"]))}


def sums(log: Log, answered: ir.Table) -> tuple[dict[str, Any], Clusters, Clusters]:
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
    # Who has no name is a user alone: nobody knows better.
    users = answered.group_by(who=ibis.coalesce(_.user, _.request_id)).aggregate(
        n=_.count().cast("float64"),
        agreed=_.agree.cast("int64").sum().cast("float64"),
        differed=(_.challenger - _.champion).sum(),
    )
    found = log.rows(
        users.aggregate(
            users=_.count(),
            n=_.n.sum(),
            nn=(_.n * _.n).sum(),
            **{
                f"{name}_{what}": value
                for name in ("agreed", "differed")
                for what, value in (
                    ("y", _[name].sum()),
                    ("ny", (_[name] * _.n).sum()),
                    ("yy", (_[name] * _[name]).sum()),
                )
            },
        )
    )[0]

    def clusters(name: str) -> Clusters:
        y, ny, yy = (float(found[f"{name}_{what}"] or 0) for what in ("y", "ny", "yy"))
        return Clusters(found["users"], float(found["n"] or 0), y, float(found["nn"] or 0), ny, yy)

    return row, clusters("agreed"), clusters("differed")


def _long(answered: ir.Table) -> ir.Table:
    """Scores below each other: score, first (1 of the champion), second (1 of the challenger)."""
    one, none = ibis.literal(1, "int64"), ibis.literal(0, "int64")
    return answered.select(score=_.champion, first=one, second=none).union(
        answered.select(score=_.challenger, first=none, second=one)
    )


def ks(log: Log, answered: ir.Table) -> float:
    """Exact, of all values, however many: the greatest distance of the cumulative distributions."""
    # One sort of all scores, where equal ones are one step; grouping them first takes three times as long.
    until = ibis.range_window(order_by="score", preceding=None, following=0)
    risen = _long(answered).select(risen=(_["first"] - _["second"]).sum().over(until))
    row = log.rows(risen.aggregate(most=_.risen.abs().max(), n=_.count()))[0]
    return row["most"] / (row["n"] / 2) if row["n"] else math.nan


def histograms(
    log: Log, answered: ir.Table, sums: dict[str, Any]
) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    low, high = number(sums["least"]), number(sums["greatest"])
    if not (np.isfinite(low) and np.isfinite(high)):
        return (0.0, 1.0), (0,), (0,)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0  # of probabilities: the same bins in each report
    width = (high - low) / FINE or 1.0
    places = ((_.score - low) / width).floor().cast("int64").clip(0, FINE - 1)
    rows = log.rows(_long(answered).group_by(place=places).aggregate(a=_["first"].sum(), b=_["second"].sum()))
    counts = np.zeros((2, FINE), dtype=np.int64)
    for row in rows:
        counts[:, row["place"]] = row["a"], row["b"]
    edges = tuple(float(low + width * place) for place in range(FINE + 1))
    return edges, tuple(counts[0].tolist()), tuple(counts[1].tolist())


def latency(log: Log, answered: ir.Table) -> dict[str, tuple[float, ...]]:
    row = log.rows(
        answered.aggregate(
            **{
                f"{role}_{place}": answered[f"{role}_seconds"].quantile(quantile)
                for role in ROLES
                for place, quantile in enumerate(QUANTILES)
            }
        )
    )[0]
    return {role: tuple(number(row[f"{role}_{place}"]) for place in range(len(QUANTILES))) for role in ROLES}


def confusion(log: Log, answered: ir.Table) -> dict[tuple[str, str], int]:
    classes = answered.filter(_.champion_class_name.notnull(), _.challenger_class_name.notnull())
    keys = ["champion_class_name", "challenger_class_name"]
    rows = log.rows(classes.group_by(keys).aggregate(count=_.count()))
    return {(row[keys[0]], row[keys[1]]): row["count"] for row in rows}


def segments(log: Log, answered: ir.Table) -> tuple[Segment, ...]:
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
    rows = log.rows(grouped)
    found = [Segment(**row) for row in rows]
    alone = {each.key for each in found if sum(one.key == each.key for one in found) == 1}
    whole = int(log.rows(answered.aggregate(n=_.count()))[0]["n"])
    # A property that all requests share tells none apart.
    return tuple(each for each in found if each.key not in alone or each.requests < whole)


def days(log: Log, scored: ir.Table) -> tuple[Day, ...]:
    daily = scored.group_by(day=_.time.date()).aggregate(
        records=_.count(),
        answered=_.valid.cast("int64").sum(),
        agreements=(_.agree & _.valid).fill_null(False).cast("int64").sum(),
        champion=_.champion.mean(where=_.valid),
        challenger=_.challenger.mean(where=_.valid),
    )
    rows = sorted(log.rows(daily), key=lambda row: row["day"])
    return tuple(
        Day(**row | {role: number(row[role]) for role in ROLES} | {"day": _date(row["day"])}) for row in rows
    )


def unlike(log: Log, answered: ir.Table) -> tuple[dict[str, Any], ...]:
    far = answered.mutate(far=(_.challenger - _.champion).abs()).order_by(ibis.desc("far"), "request_id")
    names: Sequence[str] = ("request_id", "time", "context", *ROLES, "far")
    more = [f"{role}_class_name" for role in ROLES]
    most = far.select(*names, *more).limit(MOST_DIFFERENT)
    rows = log.rows(most.mutate(context=contexts(most)))
    # Engines give a map as pairs or as a dictionary.
    return tuple(row | {"context": dict(sorted(dict(row["context"] or {}).items()))} for row in rows)


def _date(value: date | datetime) -> date:
    return value.date() if isinstance(value, datetime) else value


def number(value: float | None) -> float:
    return float("nan") if value is None else float(value)

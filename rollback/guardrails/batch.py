"""Several queries in one request, each with an answer or a fault of its own.

Prometheus takes one expression a request, so queries are joined by `or`, each marked with a label that
says which it is. When the whole is refused, the queries are asked one by one: one of them is at fault.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.answers import MARK, Sample, marked
from common.prometheus import Prometheus, PrometheusError, Unreachable
from rollback.guardrails.kinds.question import Reading


@dataclass(frozen=True)
class Answer:
    """What one request brought."""

    readings: list[Reading]
    """One for each query."""
    others: list[Sample]
    """All series of the selector that was asked for beside them."""
    fault: PrometheusError | None = None
    """Why there are no others."""


def at_once(prometheus: Prometheus, queries: Sequence[str], at: datetime, also: str | None = None) -> Answer:
    """One number of each query at one moment, and beside them all series of the selector `also`.

    Raises:
        Unreachable: Prometheus does not answer at all.
    """
    terms = [marked(query, str(number)) for number, query in enumerate(queries)] + ([also] if also else [])
    if not terms:
        return Answer([], [])
    try:
        samples = prometheus.vector(" or ".join(terms), at)
    except Unreachable:
        raise
    except PrometheusError:
        return _one_by_one(prometheus, queries, at, also)
    numbers: list[list[float]] = [[] for _ in queries]
    for sample in samples:
        if MARK in sample.labels:
            numbers[int(sample.labels[MARK])].append(sample.value)
    readings = [
        _reading(query, [(value,) for value in found], 1)
        for query, found in zip(queries, numbers, strict=True)
    ]
    return Answer(readings, [sample for sample in samples if MARK not in sample.labels])


def over_time(
    prometheus: Prometheus, queries: Sequence[tuple[str, tuple[datetime, ...]]], step: timedelta
) -> list[Reading]:
    """The numbers of each query at its looks; all looks are `step` apart and end at the same moment.

    Raises:
        Unreachable: Prometheus does not answer at all.
    """
    if not queries:
        return []
    longest = max((looks for _, looks in queries), key=len)
    joined = " or ".join(marked(query, str(number)) for number, (query, _) in enumerate(queries))
    try:
        series = prometheus.matrix(joined, longest[0], step, len(longest))
    except Unreachable:
        raise
    except PrometheusError:
        return [_alone(prometheus, query, looks) for query, looks in queries]
    found: list[list[tuple[float, ...]]] = [[] for _ in queries]
    for each in series:
        # Where a series has no sample it is NaN, as one that was computed: there is a series all the same.
        found[int(each.labels[MARK])].append(tuple(map(float, each.values)))
    return [
        _reading(query, [points[-len(looks) :] for points in mine], len(looks))
        for (query, looks), mine in zip(queries, found, strict=True)
    ]


def _one_by_one(prometheus: Prometheus, queries: Sequence[str], at: datetime, also: str | None) -> Answer:
    readings = [_alone(prometheus, query, (at,)) for query in queries]
    try:
        return Answer(readings, prometheus.vector(also, at) if also else [])
    except Unreachable:
        raise
    except PrometheusError as error:
        return Answer(readings, [], error)


def _reading(query: str, found: Sequence[tuple[float | None, ...]], looks: int) -> Reading:
    if len(found) > 1:
        return Reading(query, (), f"the query gives {len(found)} series where one is needed: {query}")
    return Reading(query, found[0] if found else (None,) * looks)


def _alone(prometheus: Prometheus, query: str, looks: tuple[datetime, ...]) -> Reading:
    try:
        return Reading(query, prometheus.series(query, looks))
    except Unreachable:
        raise
    except PrometheusError as error:
        return Reading(query, (), fault=str(error))

"""Which edges of a histogram's buckets tell a slow call from a fast one. Pure.

Only at an edge is known how many calls were slower. So the times that a guardrail names become edges: the
champion's own quantile before the stage, the margin on it, or a fixed time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from common.durations import format_duration
from rollback.kinds.sequential import TailLimit, TailRatio
from rollback.tail import tail_edges

Buckets = Mapping[str, float]
"""Calls by the label `le`, that is by the edge up to which they are counted."""

FEWEST_CALLS = 1000  # the p99 of so many is known to within a bucket


@dataclass(frozen=True)
class Edges:
    """The values of the label `le` up to which a call is fast, for each model."""

    champion: str
    challenger: str


def ladder(edges: Buckets) -> list[tuple[float, str]]:
    """Finite edges in seconds, ascending, with their labels as they are: to a query 1 is not 1.0."""
    return sorted((float(label), label) for label in edges if float(label) < float("inf"))


def calls(cumulative: Buckets) -> float:
    """All calls of a histogram, which is given as counts by the label `le`."""
    return max(cumulative.values(), default=0.0)


def quantile(share: float, cumulative: Buckets) -> float:
    """The time that `share` of the calls did not exceed, as histogram_quantile() finds it, in seconds."""
    rank, lower, before = share * calls(cumulative), 0.0, 0.0
    for edge, label in ladder(cumulative):
        upto = cumulative[label]
        if upto >= rank:
            inside = upto - before
            return lower + (edge - lower) * ((rank - before) / inside if inside > 0 else 1)
        lower, before = edge, upto
    return lower


def ratio_edges(guardrail: TailRatio, champion: Buckets) -> Edges:
    """The edges for a comparison with the champion, whose calls before the stage are `champion`.

    Raises:
        ValueError: the champion is too slow for these buckets.
    """
    steps = ladder(champion)
    labels = dict(steps)
    floor = guardrail.floor.total_seconds() if guardrail.floor else 0.0
    mine = quantile(guardrail.quantile, champion)
    theirs, allowed = tail_edges([edge for edge, _ in steps], mine, margin=guardrail.margin, floor=floor)
    return Edges(champion=labels[theirs], challenger=labels[allowed])


def limit_edges(guardrail: TailLimit, known: Buckets) -> Edges:
    """The same edge for both models: the first one that is no faster than the guardrail's time.

    Raises:
        ValueError: there is none.
    """
    wanted = guardrail.slower_than.total_seconds()
    for edge, label in ladder(known):
        if edge >= wanted:
            return Edges(label, label)
    named = format_duration(guardrail.slower_than)
    raise ValueError(
        f"{guardrail.histogram} has no bucket that ends at {named} or later, so no call would count"
    )

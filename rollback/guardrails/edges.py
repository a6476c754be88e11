"""Which edges of a histogram's buckets tell a slow call from a fast one. Pure.

Only at an edge is known how many calls were slower. So the times that a guardrail names become edges: the
champion's own quantile before the stage, the margin on it, or a fixed time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Buckets = Mapping[str, float]
"""Calls by the label `le`, that is by the edge up to which they are counted."""

FEWEST_CALLS = 1000  # the p99 of so many is known to within a bucket


@dataclass(frozen=True)
class Edges:
    """The values of the label `le` up to which a call is fast, for each model."""

    champion: str
    challenger: str


def ladder(edges: Buckets) -> list[tuple[float, str]]:
    """Finite edges in the histogram's unit, ascending, with their labels as they are: 1 is not 1.0."""
    return sorted((float(label), label) for label in edges if float(label) < float("inf"))


def calls(cumulative: Buckets) -> float:
    """All calls of a histogram, which is given as counts by the label `le`."""
    return max(cumulative.values(), default=0.0)


def quantile(share: float, cumulative: Buckets) -> float:
    """The time that `share` of the calls did not exceed, as histogram_quantile() finds it."""
    rank, lower, before = share * calls(cumulative), 0.0, 0.0
    for edge, label in ladder(cumulative):
        upto = cumulative[label]
        if upto >= rank:
            inside = upto - before
            return lower + (edge - lower) * ((rank - before) / inside if inside > 0 else 1)
        lower, before = edge, upto
    return lower


@lru_cache(maxsize=1024)  # of a hundred rollouts that are asked every few seconds
def tail_edges(
    edges: tuple[float, ...], before: float, *, margin: float, floor: float = 0.0
) -> tuple[float, float]:
    """The edges above which a call is slow: the champion's b_k, then the challenger's b_j.

    b_k is the edge nearest to the champion's quantile, or the first one that is not below the floor. b_j is
    the edge nearest to margin * b_k, as ratios go. The first edge above it would not do: the service's edges
    grow by 1.197, so a margin of 1.2 would become 1.43, and a challenger that is 1.3 times slower pass.

    Args:
        edges: finite upper edges in seconds, ascending.
        before: the champion's own quantile, in seconds.
        margin: how many times slower the challenger may be, at least 1.
        floor: faster calls are never slow, in seconds.

    Raises:
        ValueError: the champion is so slow that no edge is left for the challenger, or there is none.
    """
    if not edges:
        raise ValueError("the histogram has no bucket but +Inf, so no call could count as slow")
    steps = np.asarray(edges, dtype=np.float64)
    champion = max(_nearest(steps, before), int(np.searchsorted(steps, floor)))
    if champion < len(steps):
        challenger = _nearest(steps, margin * steps[champion])
        if margin > 1:
            challenger = max(challenger, champion + 1)
        # Beyond the last edge the nearest one is no longer near, and there is no "slower than" to count.
        if challenger < len(steps) and margin * steps[champion] < steps[-1] * 1.1:
            return float(steps[champion]), float(steps[challenger])
    raise ValueError(
        f"the champion's {before:g} s times {margin:g} lie above the last edge of the buckets,"
        f" {steps[-1]:g} s: no call could count as slow"
    )


def _nearest(steps: NDArray[np.float64], value: float) -> int:
    return int(np.argmin(np.abs(np.log(steps / max(value, steps[0] / 2)))))


@dataclass(frozen=True)
class SlowShare:
    """A limit on the time of the slowest calls, as one on the share of calls beyond an edge.

    Attributes:
        edge: the label `le` up to which a call is fast, for both models.
        times: the share of slow calls of a champion that is slower by the margin, over the champion's.
        index: how fast the tail falls: twice as long a time is exceeded by 2 ** -index as many calls.
    """

    edge: str
    times: float
    index: float

    def in_time(self, share: float) -> float:
        """How many times slower a model is that has so many times as many slow calls."""
        return float(share ** (1 / self.index))


def slow_share(
    champion: Buckets, *, margin: float, floor: float = 0.0, scale: float = 1.0, of: float = 0.99
) -> SlowShare:
    """What "slower by `margin` at most" means for calls beyond the edge nearest the quantile.

    The margin lies between two edges, which are further apart than it. Between them the tail is taken to fall
    by a power of the time: how many calls the champion has beyond both of them tells which.

    Args:
        champion: its calls, as counts by the label `le`.
        margin: how many times slower the challenger may be, over 1.
        floor: faster calls are never slow, in seconds.
        scale: seconds in one unit of an edge.
        of: the quantile.

    Raises:
        ValueError: the champion's calls do not tell it.
    """
    steps = ladder(champion)
    every, before = calls(champion), quantile(of, champion)
    beyond = [every - champion[label] for _, label in steps]
    if len(steps) < 2 or not every:
        raise ValueError("the histogram has too few buckets to tell how slow the slowest calls are")
    edges = np.array([edge for edge, _ in steps])
    at = max(_nearest(edges, before), 1)
    while at > 1 and not beyond[at]:
        at -= 1
    if not beyond[at] or beyond[at] >= beyond[at - 1] or edges[at - 1] <= 0:
        raise ValueError("the champion's calls do not tell how its slowest ones are spread over the buckets")
    index = float(np.log(beyond[at - 1] / beyond[at]) / np.log(edges[at] / edges[at - 1]))
    place = max(_nearest(edges, before), int(np.searchsorted(edges * scale, floor)))
    if place >= len(steps):
        raise ValueError(f"no bucket ends at {floor:g} s or later, so no call would count as slow")
    return SlowShare(steps[place][1], margin**index, index)

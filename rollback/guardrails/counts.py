"""What counters counted in each step, from their raw readings: resets, gaps and several instances. Pure.

    reset       the counter fell, so its process began anew: all that it shows now was counted since
    gap         no reading (a failed scrape, an outage of Prometheus): nothing, and all of it once it is back
    late birth  a series that begins within the stage counts from 0 if its instance was seen before (the
                first event with that label), else from its first reading (an instance that came late may
                have counted long before it was scraped)

Raw readings instead of increase(): that one extrapolates, so its counts are no whole numbers, and the steps
would not add up to what happened.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.answers import Track

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Counted:
    """One series' increments: what it counted in each step."""

    labels: Mapping[str, str]
    steps: Values


def count_all(readings: Iterable[Track]) -> list[Counted]:
    """Turn readings at n + 1 moments, the same for all, into counts in n steps."""
    readings = list(readings)
    seen: dict[str, int] = {}
    for series in readings:
        there = np.flatnonzero(~np.isnan(series.values))
        if len(there):
            instance = series.labels.get("instance", "")
            seen[instance] = min(seen.get(instance, int(there[0])), int(there[0]))
    return [
        Counted(series.labels, increments(series.values, seen.get(series.labels.get("instance", ""), 0)))
        for series in readings
    ]


def increments(values: Values, seen: int = 0) -> Values:
    """Counts in each step of one series.

    Args:
        values: readings at n + 1 moments, NaN where there is none.
        seen: the moment at which the series' instance was first read.

    Returns:
        n numbers, none of them negative.
    """
    steps = np.zeros(max(len(values) - 1, 0))
    there = np.flatnonzero(~np.isnan(values))
    if not len(there):
        return steps
    read = values[there]
    grown = np.diff(read)
    grown[grown < 0] = read[1:][grown < 0]
    steps[there[1:] - 1] = grown
    born = int(there[0])
    if seen < born:
        steps[born - 1] += read[0]
    return steps


def add_up(counted: Iterable[Counted], fits: Callable[[Mapping[str, str]], bool]) -> Values | None:
    """The sum of all series whose labels fit; None when there is no such series."""
    chosen = [each.steps for each in counted if fits(each.labels)]
    total: Values | None = np.sum(chosen, axis=0) if chosen else None
    return total

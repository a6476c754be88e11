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
    if not readings:
        return []
    values = np.array([series.values for series in readings])
    instances = [series.labels.get("instance", "") for series in readings]
    there = ~np.isnan(values)
    firsts = np.where(there.any(axis=1), there.argmax(axis=1), values.shape[1])
    seen: dict[str, int] = {}
    for instance, first in zip(instances, firsts.tolist(), strict=True):
        seen[instance] = min(seen.get(instance, first), first)
    steps = increments(values, np.array([seen[instance] for instance in instances]))
    return [Counted(series.labels, mine) for series, mine in zip(readings, steps, strict=True)]


def increments(values: Values, seen: NDArray[np.intp]) -> Values:
    """Counts in each step of several series.

    Args:
        values: readings at n + 1 moments, NaN where there is none, (series, n + 1).
        seen: the moment at which each series' instance was first read.

    Returns:
        (series, n), no number negative.
    """
    there = ~np.isnan(values)
    moments = np.arange(values.shape[1])
    latest = np.maximum.accumulate(np.where(there, moments, -1), axis=1)[:, :-1]  # before the step's end
    now, before = values[:, 1:], np.take_along_axis(values, np.maximum(latest, 0), axis=1)
    grown = np.where(now >= before, now - before, now)
    born = (latest < 0) & (seen[:, None] < moments[1:])
    return np.where(there[:, 1:] & ((latest >= 0) | born), np.where(born, now, grown), 0.0)


def add_up(counted: Iterable[Counted], fits: Callable[[Mapping[str, str]], bool]) -> Values | None:
    """The sum of all series whose labels fit; None when there is no such series."""
    chosen = [each.steps for each in counted if fits(each.labels)]
    total: Values | None = np.sum(chosen, axis=0) if chosen else None
    return total

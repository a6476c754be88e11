"""Answers of Prometheus with many series, from the JSON of its query API, and what tells them apart. Pure.

All functions raise KeyError, IndexError, TypeError, ValueError or AttributeError on what is no such answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARK = "canario_query"


def marked(query: str, mark: str) -> str:
    """The query's series with `mark` in the label MARK: several joined by `or` are then told apart."""
    return f'label_replace({query}, "{MARK}", "{mark}", "", "")'


@dataclass(frozen=True)
class Sample:
    """One series at one moment."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Track:
    """One series over evenly spaced moments; NaN where it has no sample."""

    labels: Mapping[str, str]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One series as it was scraped: (Unix seconds, value) by time. Its labels have `__name__`."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


Tracks = dict[frozenset[tuple[str, str]], Track]
"""By their labels."""


def samples(data: Mapping[str, Any]) -> list[Sample]:
    """The series of an instant query."""
    return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]


def scraped(data: Mapping[str, Any]) -> tuple[Series, ...]:
    """The series of an instant query for a selector with a range."""
    return tuple(
        Series(
            dict(each["metric"].items()),
            tuple((float(stamp), float(value)) for stamp, value in each["values"]),
        )
        for each in data["result"]
    )


def fill(  # noqa: PLR0913 - places in a range have two sides
    tracks: Tracks, data: Mapping[str, Any], *, points: int, first: int, start: float, step: float
) -> None:
    """Put the series of a range query into `tracks`, which are `points` long, from place `first` on.

    Args:
        tracks: is changed; a series that is not in it yet is added.
        data: the answer.
        points: moments in all.
        first: the place of the answer's first moment among them.
        start, step: that moment and the distance to the next, in Unix seconds and seconds.
    """
    for each in data["result"]:
        key = frozenset(each["metric"].items())
        if key not in tracks:
            tracks[key] = Track(each["metric"], np.full(points, np.nan))
        stamps = np.array([stamp for stamp, _ in each["values"]], dtype=np.float64)
        places = first + np.rint((stamps - start) / step).astype(np.intp)
        tracks[key].values[places] = [float(value) for _, value in each["values"]]

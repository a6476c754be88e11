"""What was read of a stage stays read: an iteration asks Prometheus only for what is new since the last one.

A stage of two days is megabytes of counters, and nearly all of them are as they were five seconds ago. Not
quite all: a scrape may be stored a little late, and remote writes come minutes late. So the newest moments
are read again with each new one, and the whole stage now and then, and at once where a series is new or what
was read again has changed.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from common.answers import Track
from common.e_process import Known
from common.prometheus import Prometheus

AGAIN: Final = timedelta(minutes=2)
"""How far back the newest moments are read again."""
WHOLE_SECONDS: Final = 300.0
"""After which everything is read again."""


@dataclass(frozen=True)
class _Read:
    """What one query gave over one stage."""

    query: str
    start: datetime
    step: timedelta
    points: int
    tracks: Mapping[frozenset[tuple[str, str]], Track]
    at: float
    """When all of it was read."""


@dataclass
class Past:
    """Of one query of one rollout, and for one thread."""

    clock: Callable[[], float] = time.monotonic
    _read: _Read | None = None

    def matrix(
        self, prometheus: Prometheus, query: str, start: datetime, step: timedelta, points: int
    ) -> list[Track]:
        """As `Prometheus.matrix`, with its errors, of moments that are over. Do not change the tracks."""
        known = self._read
        if (
            known is None
            or (known.query, known.start, known.step) != (query, start, step)
            or known.points > points
            or self.clock() - known.at > WHOLE_SECONDS
            or (known.points < points and not (known := self._further(prometheus, known, points)))
        ):
            at = self.clock()
            tracks = {_key(each): each for each in prometheus.matrix(query, start, step, points)}
            known = _Read(query, start, step, points, tracks, at)
        self._read = known
        return list(known.tracks.values())

    def _further(self, prometheus: Prometheus, known: _Read, points: int) -> _Read | None:
        """Read until `points`; None where all must be read again."""
        first = max(known.points - 1 - -(-AGAIN // known.step), 0)
        found = prometheus.matrix(known.query, known.start + first * known.step, known.step, points - first)
        new = {_key(each): each.values for each in found}
        if new.keys() - known.tracks.keys():
            return None
        nothing, tracks = np.full(points - first, np.nan), {}
        for key, track in known.tracks.items():
            rest = new.get(key, nothing)
            if not np.array_equal(track.values[first], rest[0], equal_nan=True):
                return None
            tracks[key] = Track(track.labels, np.concatenate((track.values[:first], rest)))
        return replace(known, points=points, tracks=tracks)


@dataclass
class Kept:
    """What a job keeps of a stage from one iteration to the next, to save time; a new one decides the same.

    Attributes:
        counters: what was read of the stage's counters.
        buckets: the same of those by bucket.
        starts: when the challenger was started.
        evidence: what that came to, by guardrail.
    """

    counters: Past = field(default_factory=Past)
    buckets: Past = field(default_factory=Past)
    starts: Past = field(default_factory=Past)
    evidence: dict[str, Known] = field(default_factory=dict)


def _key(track: Track) -> frozenset[tuple[str, str]]:
    return frozenset(track.labels.items())

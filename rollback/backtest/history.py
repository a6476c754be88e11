"""What the service counted over days: raw counters of Prometheus, read piece by piece."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from common.answers import Track
from common.names import Metric, Model
from common.prometheus import Prometheus
from common.selector import DEFAULT
from rollback.counts import Counted, count_all
from rollback.guardrails import Policy
from rollback.kinds.sequential import Counters, Tail
from rollback.window import MOST_STEPS

PIECE = 500  # moments of all buckets in one answer: some megabytes
BEFORE = timedelta(hours=1)  # of the champion's calls, which choose the edges for slow ones


@dataclass(frozen=True)
class History:
    """Counts of each series in `steps` steps from `start` on."""

    start: datetime
    step: timedelta
    counted: tuple[Counted, ...]
    query: str

    @property
    def steps(self) -> int:
        """Their number; 0 without any series."""
        return len(self.counted[0].steps) if self.counted else 0


def names(policy: Policy) -> set[str]:
    """The counters that guardrails need, those of the thresholds by default among them."""
    found = {Metric.ERRORS.value, Metric.CALLS.value, f"{Metric.LATENCY}_bucket"}
    for guardrail in policy.sequential:
        if isinstance(guardrail, Counters):
            found |= {guardrail.bad.name, guardrail.total.name}
        elif isinstance(guardrail, Tail):
            found.add(f"{guardrail.histogram}_bucket")
    return found


def steps_between(since: datetime, until: datetime, step: timedelta) -> int:
    """How many whole steps there are, and room for the job's own bound."""
    return max((until - since) // step, 0)


def longest_stage(step: timedelta) -> timedelta:
    """What the job would weigh without making its steps longer."""
    return MOST_STEPS * step


def read(  # noqa: PLR0913 - where, what, and which part of it
    prometheus: Prometheus,
    policy: Policy,
    since: datetime,
    until: datetime,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    matchers: str = DEFAULT,
) -> History:
    """Read the counters from an hour before `since` until `until`.

    Args:
        progress: told how many moments of how many were read.
        matchers: of the service's series.

    Raises:
        PrometheusError: it could not be asked.
    """
    start = since - BEFORE
    points = steps_between(start, until, policy.step) + 1
    query = _selector(names(policy), matchers)
    pieces: list[tuple[int, list[Track]]] = []
    for first in range(0, points, PIECE):
        count = min(PIECE, points - first)
        found = prometheus.matrix(query, start + first * policy.step, policy.step, count)
        pieces.append((first, found))
        progress(first + count, points)
    return History(start, policy.step, tuple(count_all(_joined(pieces, points))), query)


def _joined(pieces: Iterable[tuple[int, list[Track]]], points: int) -> list[Track]:
    whole: dict[frozenset[tuple[str, str]], Track] = {}
    for first, tracks in pieces:
        for track in tracks:
            key = frozenset(track.labels.items())
            if key not in whole:
                whole[key] = Track(track.labels, np.full(points, np.nan))
            whole[key].values[first : first + len(track.values)] = track.values
    return list(whole.values())


def _selector(wanted: set[str], matchers: str) -> str:
    every = "|".join(sorted(wanted))
    return f'{{__name__=~"{every}", {matchers}, model=~"{"|".join(Model)}"}}'

"""What the service counted over days: raw counters of Prometheus, read piece by piece.

They become families: calls of both models by how they went, by bucket of a histogram, or bad and good.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from common.answers import Track
from common.arms import Arms, Signals
from common.names import Metric, Model
from common.prometheus import Prometheus
from common.selector import Matcher, Selector
from rollback.guardrails.counts import Counted, add_up, count_all
from rollback.guardrails.file import Policy
from rollback.guardrails.kinds.base import Guardrail
from rollback.guardrails.tally import ALL
from rollback.guardrails.window import MOST_STEPS

PIECE = 500  # moments of all buckets in one answer: some megabytes
BEFORE = timedelta(hours=1)  # of the champion's calls, which choose the edges for slow ones

Labels = Mapping[str, str]
Groups = NDArray[np.int64]
"""Calls in each step and group, (steps, groups). A call is in one group only."""


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


def signals_of(signals: Signals) -> Signals:
    """The signals that a policy for a backtest has.

    Dice are thrown for calls, and nobody knows whose those were: guardrails that count users in the job count
    calls here.
    """
    return signals.canonical().model_copy(update={"user_windows": None})


def names(policy: Policy) -> set[str]:
    """The counters that guardrails need, those of the thresholds by default among them."""
    found = {Metric.ERRORS.value, Metric.CALLS.value, f"{Metric.LATENCY}_bucket"}
    return found | {selector.name for each in policy.guardrails for selector in each.series}


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
    arms: Arms,
) -> History:
    """Read the counters from an hour before `since` until `until`.

    Args:
        progress: told how many moments of how many were read.
        arms: whose counters; `policy` has Canario's names of them (`Signals.canonical`).

    Raises:
        PrometheusError: it could not be asked.
    """
    start = since - BEFORE
    points = steps_between(start, until, policy.step) + 1
    wanted = names(policy)
    query = _selector(arms.names(wanted), arms)
    pieces: list[tuple[int, list[Track]]] = []
    for first in range(0, points, PIECE):
        count = min(PIECE, points - first)
        found = prometheus.matrix(query, start + first * policy.step, policy.step, count)
        pieces.append((first, found))
        progress(first + count, points)
    counted = count_all(arms.canonical(_joined(pieces, points), wanted))
    return History(start, policy.step, tuple(counted), query)


def _joined(pieces: Iterable[tuple[int, list[Track]]], points: int) -> list[Track]:
    whole: dict[frozenset[tuple[str, str]], Track] = {}
    for first, tracks in pieces:
        for track in tracks:
            key = frozenset(track.labels.items())
            if key not in whole:
                whole[key] = Track(track.labels, np.full(points, np.nan))
            whole[key].values[first : first + len(track.values)] = track.values
    return list(whole.values())


def _selector(wanted: Iterable[str], arms: Arms) -> str:
    every = "|".join(sorted(wanted))
    return f'{{__name__=~"{every}", {arms.selector}, {arms.both}}}'


@dataclass(frozen=True)
class Family:
    """Calls of one kind, in groups from good to bad or the other way round."""

    labels: tuple[Labels, ...]
    """For each group the labels, without the model, of the counter of this group and those before it."""
    groups: Mapping[Model, Groups]
    cumulative: bool = True
    """False where each group has a counter of its own."""

    def between(self, first: int, end: int) -> "Family":
        """The same in some of the steps."""
        return replace(self, groups={model: each[first:end] for model, each in self.groups.items()})

    def calls(self, model: Model) -> NDArray[np.int64]:
        """All calls of a model in each step."""
        total: NDArray[np.int64] = self.groups[model].sum(axis=1)
        return total

    def counted(self) -> list[Counted]:
        """As the job would count them: a series for each model and counter."""
        return [
            Counted({**labels, "model": model.value}, column.astype(np.float64))
            for model, groups in self.groups.items()
            for labels, column in zip(
                self.labels, (groups.cumsum(axis=1) if self.cumulative else groups).T, strict=True
            )
        ]


def key_of(guardrail: Guardrail) -> str | None:
    """The family that a guardrail counts: a histogram, or `bad/total`; None where it counts nothing."""
    if not guardrail.series:
        return None
    if guardrail.edges_of:
        return min(guardrail.edges_of)
    total, bad = guardrail.series
    return f"{bad}/{total}"


def family_of(guardrail: Guardrail, counted: Sequence[Counted]) -> Family | None:
    """What a guardrail counts that has series; None where Prometheus has none of them."""
    if guardrail.edges_of:
        return histogram(counted, min(guardrail.edges_of))
    total, bad = guardrail.series
    return pair(counted, bad, total)


def histogram(counted: Sequence[Counted], name: str) -> Family | None:
    """The buckets of a histogram, from fast to slow; None where Prometheus has none."""
    bucket = Selector(f"{name}_bucket")
    mine = [each for each in counted if bucket.fits(each.labels)]
    les = sorted({each.labels.get("le", "") for each in mine} - {""}, key=float)
    if not les or les[-1] != ALL:
        return None
    groups = {}
    for model in Model:
        up_to = [_sum(mine, model, Selector(bucket.name, (Matcher("le", "=", le),)).fits) for le in les]
        # A scrape is no moment: a bucket may be read a call earlier than the next one.
        counts = np.maximum.accumulate(np.column_stack(up_to), axis=1)
        groups[model] = np.diff(counts, axis=1, prepend=0)
    return Family(tuple({"__name__": bucket.name, "le": le} for le in les), groups)


def pair(counted: Sequence[Counted], bad: Selector, total: Selector) -> Family | None:
    """Bad calls, then good ones, of two counters; None where one of them is missing."""
    failed = next((each.labels for each in counted if bad.fits(each.labels)), None)
    good = next(
        (each.labels for each in counted if total.fits(each.labels) and not bad.fits(each.labels)), None
    )
    if failed is None or good is None:
        return None
    groups = {}
    for model in Model:
        bads, every = _sum(counted, model, bad.fits), _sum(counted, model, total.fits)
        groups[model] = np.column_stack((bads, np.maximum(every - bads, 0)))
    labels = tuple({name: each[name] for name in each if name != "model"} for each in (failed, good))
    return Family(labels, groups, cumulative=not total.fits(failed))


def _sum(counted: Sequence[Counted], model: Model, fits: Callable[[Labels], bool]) -> NDArray[np.int64]:
    steps = add_up(counted, lambda labels: labels.get("model") == model and fits(labels))
    if steps is None:
        return np.zeros(len(counted[0].steps), dtype=np.int64)
    return np.rint(steps).astype(np.int64)

"""What Prometheus remembers, for the charts: the series of a span, and the counters of outcomes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from board.series import COUNTED, OVER_TIME, Queries, named
from common.answers import Track
from common.arms import Arms
from common.names import Metric
from common.prometheus import Prometheus
from rollback.guardrails.counts import count_all

DIGITS: Final = 5  # of a number in a chart: more than a screen has dots


class Span(StrEnum):
    """How far back the charts reach."""

    QUARTER = "15m"
    HOUR = "1h"
    SHIFT = "6h"
    DAY = "1d"
    WEEK = "7d"

    @classmethod
    def of(cls, text: str) -> "Span | None":
        """The span of that name."""
        return next((one for one in cls if one.value == text), None)

    @property
    def step(self) -> timedelta:
        """Between two points: some 240 of them, and no finer than Prometheus scrapes."""
        return _STEPS[self]

    @property
    def points(self) -> int:
        """Of each line."""
        return _LENGTHS[self] // self.step + 1


_LENGTHS = {
    Span.QUARTER: timedelta(minutes=15),
    Span.HOUR: timedelta(hours=1),
    Span.SHIFT: timedelta(hours=6),
    Span.DAY: timedelta(days=1),
    Span.WEEK: timedelta(days=7),
}
_STEPS = {
    Span.QUARTER: timedelta(seconds=5),
    Span.HOUR: timedelta(seconds=15),
    Span.SHIFT: timedelta(seconds=90),
    Span.DAY: timedelta(minutes=6),
    Span.WEEK: timedelta(minutes=45),
}

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Requests and outcomes between the moments of a history, so that they can be counted within one stage.

    Attributes:
        requests: users' requests that the flag gave a model, in each step between two moments.
        outcomes: feedback on them; by outcome and model.
        swaps: places of the moments from which on another version served than before.
        since: when the stage of now began, where that was before the first moment.
        requests_before, outcomes_before: counted from then until the first moment.
    """

    requests: dict[str, Values] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], Values] = field(default_factory=dict)
    swaps: tuple[int, ...] = ()
    since: datetime | None = None
    requests_before: dict[str, float] = field(default_factory=dict)
    outcomes_before: dict[tuple[str, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """The series of a span, NaN where one has no number.

    Attributes:
        times: Unix seconds, evenly spaced, the oldest first.
        lines: by name (board.series), and by model or guardrail ("" for neither).
    """

    span: Span
    times: tuple[int, ...]
    lines: dict[tuple[str, str], Values]
    counts: Counts = field(default_factory=Counts)


def read_history(
    prometheus: Prometheus,
    span: Span,
    arms: Arms,
    since: datetime | None = None,
    queries: Queries | None = None,
) -> History:
    """Ask two to four times.

    Args:
        since: when the stage and version of now began, where that is known.
        queries: how the rollout's service is asked; by default as one that is alone.

    Raises:
        PrometheusError: it could not be asked.
    """
    queries = queries or Queries(arms)
    step = span.step.total_seconds()
    last = datetime.now(UTC).timestamp() // step * step  # the same moments in each reading: no line trembles
    start = datetime.fromtimestamp(last - (span.points - 1) * step, UTC)
    told = named(prometheus.matrix(queries.over_time(), start, span.step, span.points))
    lines = {key: one.values for key, one in told}
    if rest := queries.worked_out(OVER_TIME, {name for name, _ in lines}):
        told = named(prometheus.matrix(rest, start, span.step, span.points))
        lines |= {key: one.values for key, one in told}
    times = tuple(int(start.timestamp() + place * step) for place in range(span.points))
    raw = prometheus.matrix(queries.counters(), start, span.step, span.points)
    counts = counts_of(arms.canonical(raw, COUNTED))
    if since and since < start:
        counts = replace(counts, since=since, **_before(prometheus, queries, since, start))
    return History(span, times, lines, counts)


def counts_of(tracks: Iterable[Track]) -> Counts:
    """What was counted, from raw counters: `increase()` estimates, and its steps do not add up."""
    tracks = list(tracks)
    requests: dict[str, Values] = {}
    outcomes: dict[tuple[str, str], Values] = {}
    for one in count_all(each for each in tracks if each.labels["__name__"] != Metric.MODEL_INFO):
        model, outcome = one.labels.get("model", ""), one.labels.get("outcome", "")
        if one.labels["__name__"] == Metric.OUTCOMES:
            outcomes[outcome, model] = outcomes.get((outcome, model), 0.0) + one.steps
        else:
            requests[model] = requests.get(model, 0.0) + one.steps
    served = [each for each in tracks if each.labels["__name__"] == Metric.MODEL_INFO]
    return Counts(requests, outcomes, _swaps(served))


def _swaps(served: Sequence[Track]) -> tuple[int, ...]:
    """Where the set of versions changes; a moment without any is a failed scrape, and no change."""
    found: list[int] = []
    before: set[tuple[str | None, ...]] = set()
    for place in range(len(served[0].values) if served else 0):
        now = {
            tuple(one.labels.get(name) for name in ("model", "version", "sha256"))
            for one in served
            if one.values[place] == 1
        }
        if now and before and now != before:
            found.append(place)
        before = now or before
    return tuple(found)


def _before(prometheus: Prometheus, queries: Queries, since: datetime, start: datetime) -> dict[str, Any]:
    arms, outcomes = queries.arms, queries.arms.signals.outcomes
    age = start - since
    asked = " or ".join(filter(None, (queries.outcomes(age), queries.requests(age))))
    told = arms.told(prometheus.vector(asked, start))
    named = outcomes.label if outcomes else ""
    finite = [(one.labels.get(named, ""), one.labels.get("model", ""), one.value) for one in told]
    return {
        "requests_before": {model: value for outcome, model, value in finite if not outcome},
        "outcomes_before": {(outcome, model): value for outcome, model, value in finite if outcome},
    }


def plain(values: Values) -> tuple[float | None, ...]:
    """For JSON: None where there is no number, and no more digits than can be seen."""
    return tuple(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)

"""What Prometheus remembers, for the charts: the series of a span, and the counters of outcomes."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.answers import Track
from common.names import JobMetric, Metric, Model, Recorded
from common.prometheus import Prometheus
from common.selector import quoted
from common.served import Arms
from rollback.counts import count_all

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
SERIES: Final = (
    Recorded.REQUEST_RATE,
    Recorded.LATENCY_P99,
    Recorded.ERROR_RATE,
    Recorded.AGREEMENT_RATE,
    JobMetric.LOG_E,
    JobMetric.LOG_E_LIMIT,
    JobMetric.VALUE,
    JobMetric.LIMIT,
)

OF_MODELS: Final = f'model=~"{"|".join(Model)}"'

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
        lines: by name of the metric, and by its model or guardrail ("" for neither).
    """

    span: Span
    times: tuple[int, ...]
    lines: dict[tuple[str, str], Values]
    counts: Counts = field(default_factory=Counts)


def read_history(prometheus: Prometheus, span: Span, arms: Arms, since: datetime | None = None) -> History:
    """Ask two or three times.

    Several rollback jobs tell much the same; the one with the strongest evidence counts.

    Args:
        since: when the stage and version of now began, where that is known.

    Raises:
        PrometheusError: it could not be asked.
    """
    step = span.step.total_seconds()
    last = datetime.now(UTC).timestamp() // step * step  # the same moments in each reading: no line trembles
    start = datetime.fromtimestamp(last - (span.points - 1) * step, UTC)
    # What the job of this flag says; recorded series say no flag.
    flag, environment = (quoted(f"{re.escape(each)}|") for each in (arms.flag, arms.environment))
    of = f"flag=~{flag}, environment=~{environment}"
    query = f'max by (__name__, model, guardrail) ({{__name__=~"{"|".join(SERIES)}", {of}}})'
    lines: dict[tuple[str, str], Values] = {}
    for one in prometheus.matrix(query, start, span.step, span.points):
        labels = one.labels
        lines[labels["__name__"], labels.get("model") or labels.get("guardrail", "")] = one.values
    times = tuple(int(start.timestamp() + place * step) for place in range(span.points))
    told = [arms.of(name, OF_MODELS) for name in (Metric.ASSIGNMENTS, Metric.OUTCOMES)]
    raw = " or ".join((*told, f"{arms.of(Metric.MODEL_INFO)} == 1"))
    counts = counts_of(prometheus.matrix(raw, start, span.step, span.points))
    if since and since < start:
        counts = replace(counts, since=since, **_before(prometheus, arms, since, start))
    return History(span, times, lines, counts)


def counts_of(tracks: Iterable[Track]) -> Counts:
    """What was counted, from raw counters: `increase()` estimates, and its steps do not add up."""
    tracks = list(tracks)
    requests: dict[str, Values] = {}
    outcomes: dict[tuple[str, str], Values] = {}
    for one in count_all(each for each in tracks if each.labels["__name__"] != Metric.MODEL_INFO):
        model, outcome = one.labels.get("model", ""), one.labels.get("outcome", "")
        if outcome:
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


def _before(prometheus: Prometheus, arms: Arms, since: datetime, start: datetime) -> dict[str, Any]:
    span = f"[{max(round((start - since).total_seconds()), 1)}s]"
    told = prometheus.vector(
        f"sum by (model, outcome) (increase({arms.of(Metric.OUTCOMES, OF_MODELS)}{span})"
        f" or increase({arms.of(Metric.ASSIGNMENTS, OF_MODELS)}{span}))",
        start,
    )
    finite = [(one.labels.get("outcome", ""), one.labels.get("model", ""), one.value) for one in told]
    return {
        "requests_before": {model: value for outcome, model, value in finite if not outcome},
        "outcomes_before": {(outcome, model): value for outcome, model, value in finite if outcome},
    }


def plain(values: Values) -> tuple[float | None, ...]:
    """For JSON: None where there is no number, and no more digits than can be seen."""
    return tuple(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)

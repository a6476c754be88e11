"""What Prometheus remembers, for the charts: all series of a span in one request."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.names import JobMetric, Recorded
from common.prometheus import Prometheus
from common.selector import quoted
from common.served import Arms

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
    Recorded.ASSIGNED,
    Recorded.OUTCOME_SHARE,
    JobMetric.LOG_E,
    JobMetric.LOG_E_LIMIT,
    JobMetric.VALUE,
    JobMetric.LIMIT,
)

Values = NDArray[np.float64]


@dataclass(frozen=True)
class History:
    """The series of a span, NaN where one has no number.

    Attributes:
        times: Unix seconds, evenly spaced, the oldest first.
        lines: by name of the metric, and by its model or guardrail ("" for neither).
        outcomes: of the requests of the hour before, the share with an outcome; by outcome and model.
    """

    span: Span
    times: tuple[int, ...]
    lines: dict[tuple[str, str], Values]
    outcomes: dict[tuple[str, str], Values] = field(default_factory=dict)


def read_history(prometheus: Prometheus, span: Span, arms: Arms) -> History:
    """Ask once, or twice where there are more points than Prometheus tells in one answer.

    Several rollback jobs tell much the same; the one with the strongest evidence counts.

    Raises:
        PrometheusError: it could not be asked.
    """
    step = span.step.total_seconds()
    last = datetime.now(UTC).timestamp() // step * step  # the same moments in each reading: no line trembles
    start = datetime.fromtimestamp(last - (span.points - 1) * step, UTC)
    # What the job of this flag says; recorded series say no flag.
    flag, environment = (quoted(f"{re.escape(each)}|") for each in (arms.flag, arms.environment))
    of = f"flag=~{flag}, environment=~{environment}"
    query = f'max by (__name__, model, guardrail, outcome) ({{__name__=~"{"|".join(SERIES)}", {of}}})'
    lines: dict[tuple[str, str], Values] = {}
    outcomes: dict[tuple[str, str], Values] = {}
    for one in prometheus.matrix(query, start, span.step, span.points):
        labels = one.labels
        if outcome := labels.get("outcome"):
            outcomes[outcome, labels.get("model", "")] = one.values
        else:
            lines[labels["__name__"], labels.get("model") or labels.get("guardrail", "")] = one.values
    times = tuple(int(start.timestamp() + place * step) for place in range(span.points))
    return History(span, times, lines, outcomes)


def plain(values: Values) -> tuple[float | None, ...]:
    """For JSON: None where there is no number, and no more digits than can be seen."""
    return tuple(float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values)

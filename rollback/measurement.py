"""What was read for one threshold guardrail."""

from dataclasses import dataclass

from rollback.kinds.threshold import Threshold
from rollback.window import Window


@dataclass(frozen=True)
class Reading:
    """What one query gave at each look, oldest first."""

    query: str
    """The query as it was asked, to be pasted into Prometheus."""
    points: tuple[float | None, ...]
    """One number a look; None where the query gave no series. NaN and infinities are left as they are."""
    fault: str | None = None
    """Why the query could not be asked; there are no points then."""


@dataclass(frozen=True)
class Measurement:
    """All that a verdict on one guardrail rests on."""

    guardrail: Threshold
    window: Window
    value: Reading
    sample: Reading

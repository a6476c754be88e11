"""A verdict on one guardrail, whatever its kind.

    ok              measured on enough calls, and on the right side of the limit
    breach          beyond the limit
    no data         too few calls to tell: the stage is young, or few users are in it; no fault of anybody
    cannot measure  the question could not be answered: the query, Prometheus or the metrics are broken

What is a breach, each kind says itself: rollback/guardrails/kinds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Any

from common import measured
from common.arms import ServedModel
from common.e_process import Values
from common.measured import Measured, finite
from common.names import Model
from rollback.guardrails.effect import Effect
from rollback.guardrails.warm_up import NOTHING, LeftOut


class Action(StrEnum):
    """What a breach brings."""

    ROLLBACK = "rollback"
    """The flag's environment is turned off."""
    EXCLUDE = "exclude"
    """The users of a segment keep the champion; where that cannot be done, a rollback."""
    PAUSE = "pause"
    """The share stays, and nobody is promoted until a person has looked."""
    WARN = "warn"
    """A line of the log, and nothing else."""


class Status(StrEnum):
    """The four verdicts."""

    OK = measured.OK
    BREACH = measured.BREACH
    NO_DATA = measured.NO_DATA
    CANNOT_MEASURE = measured.CANNOT_MEASURE


@dataclass(frozen=True)
class Verdict:
    """One guardrail's verdict with what it rests on."""

    guardrail: str
    status: Status
    action: Action
    limit: float | None
    """In the unit of the value. For a sequential guardrail the share of bad calls that is just allowed; it
    follows the champion's, and is None until there is one."""
    smallest_sample: int | None
    sentence: str
    """The verdict in plain words."""
    unit: str = "number"
    """Of value and limit; see common.figures."""
    fewer: bool = False
    """Whether a value under the limit is beyond it."""
    value: float | None = None
    """At the last look; None where there was none. May be NaN or infinite. For a sequential guardrail the
    share of bad calls since the stage began."""
    sample: float | None = None
    """Calls under the value; of thresholds as `increase()` estimates them, so it need not be whole."""
    query: str | None = None
    """The query that gave the value; None when none was asked."""
    window: timedelta | None = None
    """How far back that query looked."""
    segment: str | None = None
    """The users whom it is about, as country=NO; None where that is all of them."""
    effect: Effect | None = None
    """The champion by the same measure, and the difference; for people, and no part of the verdict."""
    log_e: float | None = None
    """Of a sequential guardrail: the evidence against the challenger now, a natural logarithm."""
    log_e_needed: float | None = None
    """At this evidence, reached once since the stage began, the guardrail is breached."""
    breached_at: datetime | None = None
    """The end of the step in which it was."""
    left_out: LeftOut = NOTHING
    """What was not counted, since the challenger was warming up."""
    path: Values | None = field(default=None, repr=False, compare=False)
    """The evidence after each step of the stage."""
    models: Mapping[Model, ServedModel] = field(default_factory=dict)
    """The pair that it is about, as every instance was seen to serve it; none where that is not known."""
    rests_on: Callable[[], dict[str, Any]] = field(default=dict, repr=False, compare=False)
    """Writes `evidence`. Most verdicts are never kept, and counts of two days are long."""

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """All that the verdict rests on, in JSON's types; `rejudge` judges it again."""
        return self.rests_on()

    @property
    def measured(self) -> Measured:
        """Its figures, to be told."""
        effect, path = self.effect, self.path
        return Measured(
            name=self.guardrail,
            verdict=self.status.value,
            binding=self.action is not Action.WARN,
            unit=self.unit,
            fewer=self.fewer,
            value=finite(self.value),
            champion=finite(effect.champion) if effect else None,
            low=effect.low if effect else None,
            high=effect.high if effect else None,
            limit=self.limit,
            sample=finite(self.sample),
            window=self.window,
            score=self.log_e if path is None or not len(path) else float(path.max()),
            threshold=self.log_e_needed,
        )

    @property
    def calls_for_rollback(self) -> bool:
        """Tell whether the challenger must go, for everybody or for the users of a segment."""
        return self.status is Status.BREACH and self.action in {Action.ROLLBACK, Action.EXCLUDE}

    @property
    def holds_up_promotion(self) -> bool:
        """Tell whether the share must not be raised. A warning, whatever its verdict, holds up nothing."""
        return self.status is not Status.OK and self.action is not Action.WARN

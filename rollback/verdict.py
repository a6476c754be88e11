"""From readings to a verdict, without asking anybody.

    ok              the value was measured on enough calls and is on the right side of the limit
    breach          it is beyond the limit, and was so at every look of the guardrail's `for`
    no data         too few calls to tell: the stage is young, or few users are in it; no fault of anybody
    cannot measure  the question could not be answered: the query, Prometheus or the metrics are broken

What single looks make of a number: no series is a broken measurement, because what was never counted is not
zero; NaN (nothing divided by nothing) is no data; an infinity (something divided by nothing) contradicts a
sample that is large enough, so that is a broken measurement too; a value at the limit is not beyond it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from common.durations import format_duration
from common.figures import in_unit
from common.names import Model
from common.served import ServedModel
from rollback.guardrails import Action, Direction, Guardrail, Threshold
from rollback.measurement import Measurement
from rollback.window import TooYoung

_NO_SERIES = ": are its names right, and does the service export them?"
CLOCK_TOLERANCE = timedelta(seconds=30)  # more than clocks in order differ, less than a stage is worth


class Status(StrEnum):
    """The four verdicts."""

    OK = "ok"
    BREACH = "breach"
    NO_DATA = "no data"
    CANNOT_MEASURE = "cannot measure"


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
    value: float | None = None
    """At the last look; None where there was none. May be NaN or infinite. For a sequential guardrail the
    share of bad calls since the stage began."""
    sample: float | None = None
    """Calls under the value; of thresholds as `increase()` estimates them, so it need not be whole."""
    query: str | None = None
    """The query that gave the value; None when none was asked."""
    window: timedelta | None = None
    """How far back that query looked."""
    log_e: float | None = None
    """Of a sequential guardrail: the evidence against the challenger now, a natural logarithm."""
    log_e_needed: float | None = None
    models: Mapping[Model, ServedModel] = field(default_factory=dict)
    """The pair that it is about, as every instance was seen to serve it; none where that is not known."""
    """At this evidence, reached once since the stage began, the guardrail is breached."""
    breached_at: datetime | None = None
    """The end of the step in which it was."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """All that the verdict rests on, in JSON's types; rollback/evidence.py judges it again."""

    @property
    def calls_for_rollback(self) -> bool:
        """Tell whether the challenger must go."""
        return self.status is Status.BREACH and self.action is Action.ROLLBACK

    @property
    def holds_up_promotion(self) -> bool:
        """Tell whether the share must not be raised. A warning, whatever its verdict, holds up nothing."""
        return self.status is not Status.OK and self.action is not Action.WARN


def judge(measured: Measurement) -> Verdict:
    """Judge a guardrail by what was measured."""
    guardrail = measured.guardrail
    if fault := measured.sample.fault or measured.value.fault:
        return _verdict(measured, Status.CANNOT_MEASURE, fault)
    values, samples = measured.value.points, measured.sample.points
    looks = [_judge_look(guardrail, value, sample) for value, sample in zip(values, samples, strict=True)]
    status, reason = looks[-1]
    if status is Status.BREACH and len(looks) > 1:
        status, reason = _judge_hold(measured, [earlier for earlier, _ in looks], reason)
    return _verdict(measured, status, reason)


def too_young(guardrail: Guardrail, stage: TooYoung, since: str | None = None) -> Verdict:
    """The verdict where the stage leaves no window to look at; `since`: what else is young, in words."""
    if stage.age < -CLOCK_TOLERANCE:
        ahead = format_duration(-stage.age)
        sentence = f"Unleash says the stage began {ahead} ahead of the clock of Prometheus: set both clocks"
        return without_measurement(guardrail, Status.CANNOT_MEASURE, sentence)
    age, needed = max(int(stage.age.total_seconds()), 0), format_duration(stage.needed)
    sentence = f"the stage began {age} s ago and is judged from {needed} on"
    if since:
        sentence = f"{since} {age} s ago, and they are judged from {needed} on"
    return without_measurement(guardrail, Status.NO_DATA, sentence)


def without_measurement(guardrail: Guardrail, status: Status, sentence: str) -> Verdict:
    """A verdict that rests on no query."""
    return Verdict(
        guardrail=guardrail.name,
        status=status,
        action=guardrail.action,
        unit=getattr(guardrail, "unit", "share"),
        limit=getattr(guardrail, "limit", None),
        smallest_sample=getattr(guardrail, "smallest_sample", None),
        sentence=sentence,
    )


def _judge_look(guardrail: Threshold, value: float | None, sample: float | None) -> tuple[Status, str]:
    if sample is None:
        return Status.CANNOT_MEASURE, f"the query for the sample gives no series{_NO_SERIES}"
    if math.isnan(sample):
        return Status.NO_DATA, "nobody called the model in the window"
    if math.isinf(sample):
        return Status.CANNOT_MEASURE, "the query for the sample divides by zero"
    if sample < guardrail.smallest_sample:
        needed = guardrail.smallest_sample
        return Status.NO_DATA, f"only {int(sample)} calls in the window, and {needed} are needed"
    return _judge_value(guardrail, value, f"{int(sample)} calls")


def _judge_value(guardrail: Threshold, value: float | None, calls: str) -> tuple[Status, str]:
    if value is None:
        return Status.CANNOT_MEASURE, f"{calls} in the window, but the query gives no series{_NO_SERIES}"
    if math.isnan(value):
        return Status.NO_DATA, f"{calls} in the window, but the query gives no number"
    if math.isinf(value):
        return Status.CANNOT_MEASURE, "the query for the value divides by zero"
    side, limit = _beyond(guardrail), in_unit(guardrail.limit, guardrail.unit)
    told = in_unit(value, guardrail.unit)
    if guardrail.is_breached_by(value):
        return Status.BREACH, f"{told} on {calls} is {side} the limit of {limit}"
    return Status.OK, f"{told} on {calls} is not {side} the limit of {limit}"


def _judge_hold(measured: Measurement, looks: list[Status], reason: str) -> tuple[Status, str]:
    """Judge a breach at the last look by the looks before it."""
    beyond = looks.count(Status.BREACH)
    lasted = format_duration(measured.window.looks[-1] - measured.window.looks[0])
    if beyond == len(looks):
        return Status.BREACH, f"{reason}, as at each of {beyond} looks over {lasted}"
    tally = f"at {beyond} of {len(looks)} looks over {lasted}"
    if Status.OK in looks:
        side, unit = _beyond(measured.guardrail), measured.guardrail.unit
        told = in_unit(measured.value.points[-1], unit)
        limit = in_unit(measured.guardrail.limit, unit)
        return Status.OK, f"{told} is {side} the limit of {limit}, but only {tally}"
    return Status.NO_DATA, f"beyond the limit {tally}, and nothing is known of the others"


def _beyond(guardrail: Threshold) -> str:
    return "over" if guardrail.direction is Direction.ABOVE else "under"


def _verdict(measured: Measurement, status: Status, reason: str) -> Verdict:
    guardrail = measured.guardrail
    return Verdict(
        guardrail=guardrail.name,
        status=status,
        action=guardrail.action,
        unit=guardrail.unit,
        limit=guardrail.limit,
        smallest_sample=guardrail.smallest_sample,
        sentence=reason,
        value=measured.value.points[-1] if measured.value.points else None,
        sample=measured.sample.points[-1] if measured.sample.points else None,
        query=measured.value.query,
        window=measured.window.span,
    )

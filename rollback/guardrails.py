"""Guardrails: what the challenger may not do, as data that is validated whole before the first query.

The kinds of guardrails and their fields are in rollback/kinds/; this is the file around them.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from common.config import StrictModel, load_yaml
from common.durations import Duration, format_duration
from common.names import Metric, latency_buckets
from rollback.kinds.base import Action, Guardrail
from rollback.kinds.sequential import Form, Sequential, TailLimit, TailRatio, form_of
from rollback.kinds.threshold import Direction, Threshold, render
from rollback.window import FEWEST_SCRAPES

__all__ = [
    "DEFAULT_FILE",
    "Action",
    "Direction",
    "Guardrail",
    "LateStart",
    "Policy",
    "Sequential",
    "Threshold",
    "load_policy",
    "read_guardrail",
    "render",
]

DEFAULT_FILE = Path(__file__).with_name("guardrails.yaml")


class _Kind(BaseModel):
    """Only the field by which the rest is read."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["threshold", "sequential"]


def read_guardrail(fields: object) -> Threshold | Form:
    """Validate the fields of one guardrail as what they are.

    Raises:
        ValidationError: with each fault at its own field, without the name of a kind in the path.
        ValueError: they are no fields at all.
    """
    if isinstance(fields, Threshold | Form):
        return fields
    if not isinstance(fields, dict):
        raise ValueError("is no guardrail; write fields, the first of them kind")  # noqa: TRY004 - pydantic's
    if _Kind.model_validate(fields).kind == "threshold":
        return Threshold.model_validate(fields)
    return form_of(fields).model_validate(fields)


AnyGuardrail = Annotated[Threshold | Form, PlainValidator(read_guardrail)]


class LateStart(StrictModel):
    """Evidence that also begins anew now and then, so that a regression late in the stage is found too."""

    every: Duration
    starts: Annotated[int, Field(ge=1, le=1000)]
    weight: Annotated[float, Field(gt=0, lt=1)]


def _check_names(guardrails: tuple[Threshold | Form, ...]) -> tuple[Threshold | Form, ...]:
    if not guardrails:
        raise ValueError("there is none, so nothing would ever be rolled back")
    counts = Counter(guardrail.name for guardrail in guardrails)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"names must differ, but some stand here twice: {', '.join(twice)}")
    return guardrails


class Policy(StrictModel):
    """The whole of guardrails.yaml."""

    scrape_interval: Duration
    """How often Prometheus scrapes the service."""
    step: Duration = timedelta(seconds=15)
    """Of the counts that sequential guardrails weigh, from the stage's beginning on."""
    alpha: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """Chance per stage that equal models are rolled back by sequential guardrails, all of them together."""
    late_start: LateStart | None = None
    cannot_measure_for: Duration = timedelta(minutes=5)
    """For how long nothing may be measured before that is an alert."""
    guardrails: Annotated[tuple[AnyGuardrail, ...], AfterValidator(_check_names)]

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """Those of kind threshold, in the order of the file."""
        return tuple(each for each in self.guardrails if isinstance(each, Threshold))

    @property
    def sequential(self) -> tuple[Form, ...]:
        """Those of kind sequential, in the order of the file."""
        return tuple(each for each in self.guardrails if isinstance(each, Sequential))

    @model_validator(mode="after")
    def _check_together(self) -> "Policy":
        faults = [*self._misfits(), *self._alpha_faults()]
        if faults:
            raise ValidationError.from_exception_data("guardrails", faults)
        return self

    def _misfits(self) -> Iterator[InitErrorDetails]:
        """Times that are well by themselves and do not fit each other."""
        least = FEWEST_SCRAPES * self.scrape_interval
        for number, each in enumerate(self.guardrails):
            if isinstance(each, Threshold) and each.window < least:
                text = f"is shorter than {FEWEST_SCRAPES} scrapes ({format_duration(least)})"
                yield _fault(("guardrails", number, "window"), f"the window of {each.name} {text}")
            yield from _beyond_edges(number, each)
        if self.step < self.scrape_interval:
            yield _fault(("step",), "is shorter than the scrape interval: most steps would be empty")
        if self.late_start and self.late_start.every % self.step:
            yield _fault(("late_start", "every"), f"is no multiple of the step, {format_duration(self.step)}")

    def _alpha_faults(self) -> Iterator[InitErrorDetails]:
        """Shares of alpha are spent where the challenger can be taken away by chance."""
        spent = 0.0
        for number, each in enumerate(self.guardrails):
            if isinstance(each, Sequential) and each.action is Action.ROLLBACK:
                spent += each.share_of_alpha
                if spent > 1 + 1e-9:
                    text = f"with {each.name} those of guardrails that roll back add up to {spent:g}"
                    yield _fault(("guardrails", number, "share_of_alpha"), f"{text}, more than 1")


def _beyond_edges(number: int, guardrail: Guardrail) -> Iterator[InitErrorDetails]:
    """Times that the buckets of the service cannot tell; those of other histograms are not known here."""
    last = timedelta(seconds=latency_buckets()[-1])
    if not isinstance(guardrail, TailRatio | TailLimit) or guardrail.histogram != Metric.LATENCY:
        return
    text = f"{guardrail.histogram} has no bucket beyond {format_duration(last)}, so no call would count"
    if isinstance(guardrail, TailLimit) and guardrail.slower_than > last:
        yield _fault(("guardrails", number, "slower_than"), text)
    if isinstance(guardrail, TailRatio) and guardrail.floor and guardrail.floor * guardrail.margin > last:
        yield _fault(("guardrails", number, "floor"), text)


def _fault(location: tuple[int | str, ...], text: str) -> InitErrorDetails:
    return InitErrorDetails(
        type=PydanticCustomError("policy", "{fault}", {"fault": text}), loc=location, input=None
    )


def load_policy(path: Path = DEFAULT_FILE) -> Policy:
    """Read and check a file of guardrails.

    Raises:
        ConfigError: with `file:line` for every fault.
    """
    return load_yaml(path, Policy)

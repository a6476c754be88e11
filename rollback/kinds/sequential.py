"""A guardrail of kind `sequential` weighs bad calls as evidence, from the stage's beginning on.

It has one of four forms, told apart by their fields:

                            against the champion                    against a fixed limit
    counters                CounterRatio: bad, total, worse         CounterLimit: bad, total, limit
    buckets of a histogram  TailRatio: histogram, quantile, margin  TailLimit: histogram, slower_than, limit

common/sequential.py has the statistics, docs/guardrails.md a longer description of each field.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from common.durations import Duration
from rollback.kinds.base import Guardrail
from rollback.kinds.selector import Counter

_METRIC = r"^[a-zA-Z_:][a-zA-Z0-9_:]*$"
Share = Annotated[float, Field(gt=0, lt=1)]
Limit = Annotated[float, Field(gt=0, lt=0.9)]


class Worse(StrEnum):
    """The side on which the challenger is worse."""

    MORE = "more"
    FEWER = "fewer"


class Sequential(Guardrail):
    """What the four forms share."""

    relative: ClassVar[bool]
    """Whether the champion is the measure."""

    kind: Literal["sequential"]
    share_of_alpha: Annotated[float, Field(gt=0, le=1)]
    """The part of the policy's `alpha` that this guardrail may use up."""
    dispersion: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """Variance of bad calls over that of independent ones, from a quiet time before the stage."""
    smallest_sample: Annotated[int, Field(ge=1)] = 100
    """With fewer calls of the challenger than this, and no breach, the verdict is "no data"."""


class Counters(Sequential):
    """Calls and bad calls are counters of their own."""

    bad: Counter
    total: Counter
    verb: Annotated[str, Field(pattern=r"^[^\n]{1,40}$")] = "failed"
    """What a model did in a bad call, for sentences: "failed 3 of 100 calls"."""
    noun: Annotated[str, Field(pattern=r"^[^\n]{1,40}$")] = "calls"
    """What calls are called there."""


class CounterRatio(Counters):
    """The challenger's share of bad calls against the champion's."""

    relative = True

    worse: Worse = Worse.MORE
    effect: Annotated[float, Field(gt=0, le=100)] = 1.0
    """How many times the champion's share is allowed; for `fewer`, the champion's over the challenger's."""
    at_least: Limit | None = None
    """Up to this share of bad calls the challenger is well, however few the champion has."""
    lag: Duration | None = None
    """How long after the stage's beginning counting begins: what is counted in `bad` comes after the call."""

    @model_validator(mode="after")
    def _check_side(self) -> Self:
        if self.worse is Worse.FEWER and self.at_least is not None:
            raise ValueError("at_least is a share of bad calls, and has no meaning where fewer are worse")
        return self


class CounterLimit(Counters):
    """The challenger's share of bad calls against a fixed limit."""

    relative = False

    limit: Limit
    """The share of bad calls that is allowed."""


class Tail(Sequential):
    """Calls are those of a histogram, and bad ones are those beyond an edge of its buckets."""

    verb: ClassVar[str] = "took too long in"
    noun: ClassVar[str] = "calls"

    histogram: Annotated[str, Field(pattern=_METRIC)]
    """Without `_bucket`."""


class TailRatio(Tail):
    """How slow the slowest calls are, against the champion's."""

    relative = True

    quantile: Share
    margin: Annotated[float, Field(ge=1, le=100)]
    """How many times slower than the champion's is allowed."""
    floor: Duration | None = None
    """Calls faster than this are never slow."""
    at_least: Limit | None = None
    """Up to this share of slow calls the challenger is well, however few the champion has."""


class TailLimit(Tail):
    """The share of calls slower than a fixed time, against a fixed limit."""

    relative = False

    slower_than: Duration
    limit: Limit
    """The share of bad calls that is allowed."""


Form = CounterRatio | CounterLimit | TailRatio | TailLimit


def form_of(fields: dict[str, Any]) -> type[Form]:
    """The form that these fields of a file mean, to be validated as that."""
    if "histogram" in fields:
        return TailLimit if fields.keys() & {"slower_than", "limit"} else TailRatio
    return CounterLimit if "limit" in fields else CounterRatio

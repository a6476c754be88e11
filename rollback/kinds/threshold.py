"""A guardrail of kind `threshold` compares one number from PromQL with a limit.

Its queries are templates with these placeholders:

    {window}                   how far back to look; the job fills it in and never reaches past the stage's
                               beginning, so every query must use it
    {selector}                 the matchers of the service's series, CANARIO_SELECTOR: calls{{selector}, ...}
    {champion}, {challenger}   the values of the label `model`

A placeholder is a word in braces and nothing else; label matchers such as {model="x"} are left alone.
"""

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from common.durations import Duration, format_duration
from common.figures import Unit
from common.names import Model
from common.selector import DEFAULT
from rollback.kinds.base import Guardrail

_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_]\w*)\s*\}")
_KNOWN = ("window", "selector", "champion", "challenger")


class Direction(StrEnum):
    """The side of the limit on which a guardrail is breached; a value at the limit is not beyond it."""

    ABOVE = "above"
    BELOW = "below"


def _check_template(template: str) -> str:
    names = _PLACEHOLDER.findall(template)
    for name in names:
        if name not in _KNOWN:
            known = ", ".join(f"{{{known}}}" for known in _KNOWN)
            raise ValueError(f"{{{name}}} is no known placeholder; there are {known}")
    if "window" not in names:
        raise ValueError("{window} is missing; without it the query would see calls from before the stage")
    return template


Template = Annotated[str, AfterValidator(_check_template)]
"""PromQL with placeholders that are known, {window} among them."""


def render(template: str, window: timedelta, selector: str = DEFAULT) -> str:
    """Fill in `template`, as it was checked at load, for one window of the series that `selector` names."""
    values = {
        "window": format_duration(window),
        "selector": selector,
        "champion": Model.CHAMPION.value,
        "challenger": Model.CHALLENGER.value,
    }
    return " ".join(_PLACEHOLDER.sub(lambda match: values[match[1]], template).split())


class Threshold(Guardrail):
    """One number against one limit."""

    kind: Literal["threshold"]
    value: Template
    """PromQL that gives one number, in the unit of `limit`."""
    direction: Direction
    limit: FiniteFloat
    unit: Unit = "number"
    """Of value and limit, for people: seconds, share (told in per cent), times, or a plain number."""
    hold: Annotated[Duration | None, Field(alias="for")] = None
    """How long the value must have been beyond the limit, at every look; at once when absent."""
    window: Duration
    """{window}, once the stage is old enough for it."""
    sample: Template
    """PromQL that gives the number of calls on which the value rests."""
    smallest_sample: Annotated[int, Field(ge=1)]
    """With fewer calls than this the verdict is "no data"."""

    def is_breached_by(self, value: float) -> bool:
        """Tell whether a finite `value` lies beyond the limit."""
        return value > self.limit if self.direction is Direction.ABOVE else value < self.limit

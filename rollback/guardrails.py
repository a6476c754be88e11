"""Guardrails: what the challenger may not do, as data that is validated whole before the first query.

A guardrail of kind `threshold` compares one number from PromQL with a limit. Its queries are templates with
three placeholders:

    {window}                   how far back to look; the job fills it in and never reaches past the stage's
                               beginning, so every query must use it
    {champion}, {challenger}   the values of the label `model`

A placeholder is a word in braces and nothing else; label matchers such as {model="x"} are left alone.
"""

import re
from collections import Counter
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FiniteFloat, ValidationInfo, field_validator

from common.config import StrictModel, load_yaml
from common.names import Model
from rollback.durations import Duration, format_duration
from rollback.window import FEWEST_SCRAPES

DEFAULT_FILE = Path(__file__).with_name("guardrails.yaml")

_PLACEHOLDER = re.compile(r"\{\s*([A-Za-z_]\w*)\s*\}")
_KNOWN = ("window", "champion", "challenger")


class Direction(StrEnum):
    """The side of the limit on which a guardrail is breached; a value at the limit is not beyond it."""

    ABOVE = "above"
    BELOW = "below"


class Action(StrEnum):
    """What a breach brings: the flag's environment is turned off, or a warning is logged."""

    ROLLBACK = "rollback"
    WARN = "warn"


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


def render(template: str, window: timedelta) -> str:
    """Fill in `template`, as it was checked at load, for one window."""
    values = {
        "window": format_duration(window),
        "champion": Model.CHAMPION.value,
        "challenger": Model.CHALLENGER.value,
    }
    return " ".join(_PLACEHOLDER.sub(lambda match: values[match[1]], template).split())


class Threshold(StrictModel):
    """One number against one limit."""

    kind: Literal["threshold"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
    description: Annotated[str, Field(min_length=10, pattern=r"^[^\n]*$")]
    """Why the guardrail stands there, in one line."""
    value: Template
    """PromQL that gives one number, in the unit of `limit`."""
    direction: Direction
    limit: FiniteFloat
    hold: Annotated[Duration | None, Field(alias="for")] = None
    """How long the value must have been beyond the limit, at every look; at once when absent."""
    window: Duration
    """{window}, once the stage is old enough for it."""
    sample: Template
    """PromQL that gives the number of calls on which the value rests."""
    smallest_sample: Annotated[int, Field(ge=1)]
    """With fewer calls than this the verdict is "no data"."""
    action: Action

    def is_breached_by(self, value: float) -> bool:
        """Tell whether a finite `value` lies beyond the limit."""
        return value > self.limit if self.direction is Direction.ABOVE else value < self.limit


def _check_names(guardrails: tuple[Threshold, ...]) -> tuple[Threshold, ...]:
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
    guardrails: Annotated[tuple[Threshold, ...], AfterValidator(_check_names)]

    @field_validator("guardrails")
    @classmethod
    def _check_windows(cls, guardrails: tuple[Threshold, ...], info: ValidationInfo) -> tuple[Threshold, ...]:
        scrape: timedelta | None = info.data.get("scrape_interval")  # absent when it is a fault itself
        for guardrail in guardrails:
            if scrape and guardrail.window < (least := FEWEST_SCRAPES * scrape):
                raise ValueError(
                    f"the window of {guardrail.name} is shorter than {FEWEST_SCRAPES} scrapes"
                    f" ({format_duration(least)})"
                )
        return guardrails


def load_policy(path: Path = DEFAULT_FILE) -> Policy:
    """Read and check a file of guardrails.

    Raises:
        ConfigError: with `file:line` for every fault.
    """
    return load_yaml(path, Policy)

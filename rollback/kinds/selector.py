"""A counter as a guardrail names it: a metric's name, perhaps with matchers, as in PromQL.

    prediction_errors_total
    outcomes_total{outcome="conversion"}
    prediction_errors_total{reason!~"busy|breaker"}

The labels `job` and `model` are added by the job, so they must not stand here. The series are fetched by name
for all guardrails at once, and the matchers are applied to what came.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from common.selector import Matcher, parse_matchers

_METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_WHOLE = re.compile(rf"\s*({_METRIC})\s*(?:\{{(.*)\}})?\s*")
_ADDED = ("job", "model", "le", "__name__")


@dataclass(frozen=True)
class Selector:
    """A metric's name and its matchers."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series, with its name as `__name__`, is one of these."""
        return labels.get("__name__") == self.name and all(each.fits(labels) for each in self.matchers)

    def __str__(self) -> str:
        inside = ", ".join(map(str, self.matchers))
        return f"{self.name}{{{inside}}}" if self.matchers else self.name


def parse_selector(text: object) -> Selector:
    """Read `text` as the name of a counter with or without matchers.

    Raises:
        ValueError: it is none, or it says what the job adds by itself.
    """
    if isinstance(text, Selector):
        return text
    whole = _WHOLE.fullmatch(text) if isinstance(text, str) else None
    if not whole:
        raise ValueError(
            f'{text!r} is no counter; write a name, as in x_total or x_total{{outcome="bought"}}'
        )
    matchers = parse_matchers(whole[2] or "")
    for matcher in matchers:
        if matcher.label in _ADDED:
            raise ValueError(f"the label {matcher.label} is added by the job; leave it out")
    return Selector(whole[1], matchers)


Counter = Annotated[Selector, BeforeValidator(parse_selector), PlainSerializer(str)]
"""A field of a file: text on the way in, a `Selector` afterwards, and text again on the way out."""

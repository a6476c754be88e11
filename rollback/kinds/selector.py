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

_METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_WHOLE = re.compile(rf"\s*({_METRIC})\s*(?:\{{(.*)\}})?\s*")
_MATCHER = re.compile(r"\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*\"((?:[^\"\\]|\\.)*)\"\s*(?:,|$)")
_ADDED = ("job", "model", "le", "__name__")


@dataclass(frozen=True)
class Matcher:
    """One condition on one label; a label that is not there counts as empty."""

    label: str
    operator: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series with `labels` meets it."""
        found = labels.get(self.label, "")
        equal = bool(re.fullmatch(self.value, found)) if "~" in self.operator else found == self.value
        return equal if self.operator in ("=", "=~") else not equal


@dataclass(frozen=True)
class Selector:
    """A metric's name and its matchers."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series, with its name as `__name__`, is one of these."""
        return labels.get("__name__") == self.name and all(each.fits(labels) for each in self.matchers)

    def __str__(self) -> str:
        quoted = (each.value.replace("\\", "\\\\").replace('"', '\\"') for each in self.matchers)
        inside = (
            f'{each.label}{each.operator}"{value}"' for each, value in zip(self.matchers, quoted, strict=True)
        )
        return f"{self.name}{{{', '.join(inside)}}}" if self.matchers else self.name


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
    name, inside = whole[1], whole[2] or ""
    matchers, at = [], 0
    while at < len(inside.rstrip()):
        found = _MATCHER.match(inside, at)
        if not found:
            raise ValueError(f'{inside[at:].strip()!r} is no matcher; write label="value", !=, =~ or !~')
        matchers.append(_matcher(found[1], found[2], re.sub(r"\\(.)", r"\1", found[3])))
        at = found.end()
    return Selector(name, tuple(matchers))


def _matcher(label: str, operator: str, value: str) -> Matcher:
    if label in _ADDED:
        raise ValueError(f"the label {label} is added by the job; leave it out")
    if "~" in operator:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
    return Matcher(label, operator, value)


Counter = Annotated[Selector, BeforeValidator(parse_selector), PlainSerializer(str)]
"""A field of a file: text on the way in, a `Selector` afterwards, and text again on the way out."""

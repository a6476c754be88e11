"""Limits of `--fail-on`: agreement<0.95,errors>0.01. Which there are, which are usual, how they are checked.

Each names what is a breach. A figure that cannot be told breaches its limit: what nobody could measure must
not pass.

Usual is what users meet: the class, failures, waiting. How sure a model is of itself is not: two kinds of
model agree on nearly every class and spread their probabilities differently, so psi and ks are limits for who
asks for them by name (docs/decisions/0023-shadow-report.md).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

SIGNS: Final = {
    "agreement": "<",
    "requests": "<",
    "errors": ">",
    "classes": ">",
    "psi": ">",
    "ks": ">",
    "difference": ">",
    "p50": ">",
    "p95": ">",
    "p99": ">",
}
"""What --fail-on may name, and the side that is bad. p50, p95 and p99 are challenger / champion."""
FLOOR_SECONDS: Final = 0.01
"""A champion that is faster counts as taking that long, as for the guardrails: nobody feels less."""
GREAT_PSI: Final = 0.25
"""What is by convention a large shift."""
USUAL_ERRORS: Final = 0.01
"""Share of the copies without an answer that is usual at most."""

_WHY: Final = {
    "agreement": "they agree too seldom",
    "errors": "its error rate is too high",
    "psi": "its scores are distributed differently",
    "ks": "its scores are distributed differently",
    "difference": "its scores differ in the mean",
    "requests": "too few requests were compared",
    "p50": "it is slower",
    "p95": "it is slower",
    "p99": "it is slower",
}
_SHARES: Final = {"agreement", "errors"}
_ONE: Final = re.compile(r"\s*([a-z0-9-]+)\s*([<>])\s*([0-9.]+(?:e-?[0-9]+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class ShadowLimit:
    """A breach where the figure `name` is below (`<`) or above (`>`) `value`."""

    name: str
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value:g}"

    @property
    def words(self) -> str:
        """What is asked for: at least 95%."""
        return f"{'at least' if self.sign == '<' else 'at most'} {self.told(self.value)}"

    def told(self, figure: float | None) -> str:
        """A figure of this name with its unit, so exact that it is seen on which side of the limit it is."""
        if figure is None or not isfinite(figure):
            return "cannot be told"
        return f"{100 * figure:.4g}%" if self.name in _SHARES else f"{figure:.4g}"


@dataclass(frozen=True)
class CheckedLimit:
    """A limit beside the figure that was found."""

    limit: ShadowLimit
    figure: float | None

    @property
    def breached(self) -> bool:
        """Whether the figure is on the wrong side; one that is no number is."""
        if self.figure is None or not isfinite(self.figure):
            return True
        return self.figure < self.limit.value if self.limit.sign == "<" else self.figure > self.limit.value

    @property
    def sentence(self) -> str:
        """For a terminal: errors is 2%, above 1%."""
        name = self.limit.name
        if self.figure is None or not isfinite(self.figure):
            return f"{name} cannot be told, so its limit {self.limit} is breached"
        if not self.breached:
            return f"{name} is {self.limit.told(self.figure)}: {self.limit} holds"
        side = "below" if self.limit.sign == "<" else "above"
        return f"{name} is {self.limit.told(self.figure)}, {side} {self.limit.told(self.limit.value)}"

    def reason(self, *, asked: bool, about_classes: str) -> str:
        """Why it keeps the challenger from users; of the limit `classes` it is `about_classes`."""
        why = _WHY.get(self.limit.name, about_classes)
        by = "is asked for" if asked else "is usual"
        return f"{why} ({self.limit.name} {self.limit.told(self.figure)}, {self.limit.words} {by})"


def parse_limits(text: str) -> tuple[ShadowLimit, ...]:
    """Read one or several limits, with commas between them.

    Raises:
        ValueError: with a sentence for the user.
    """
    found = []
    for part in text.split(","):
        match = _ONE.fullmatch(part)
        if not match:
            raise ValueError(f"{part.strip()!r} is no limit such as agreement<0.95")
        name, sign, number, percent = match.groups()
        if name not in SIGNS:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(SIGNS))}")
        if sign != SIGNS[name]:
            raise ValueError(f"{part.strip()!r} would fail where all is well: write {name}{SIGNS[name]}...")
        try:
            value = float(number) / (100 if percent else 1)
        except ValueError:
            raise ValueError(f"{number!r} is no number") from None
        found.append(ShadowLimit(name, sign, value))
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))}: two limits for one figure")
    return tuple(found)


_USUAL: Final = parse_limits(f"agreement<0.9,errors>{USUAL_ERRORS},p99>1.5")
_OF_CLASSES: Final = parse_limits("classes>2")


def usual(*, of_classes: bool) -> tuple[ShadowLimit, ...]:
    """For the answer, where nobody asked for another limit of that name."""
    return (*_USUAL, *_OF_CLASSES) if of_classes else _USUAL


def check(limits: tuple[ShadowLimit, ...], figures: Mapping[str, float | None]) -> tuple[CheckedLimit, ...]:
    """Each limit beside its figure."""
    return tuple(CheckedLimit(each, figures.get(each.name)) for each in limits)

"""Limits of `--fail-on`: agreement<0.95,errors>0.01. Parsed, and held against figures. Pure.

Each names what is a breach. A figure that cannot be told breaches its limit: a gate that nobody could measure
must not stand open.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

_ONE = re.compile(r"\s*([a-z0-9-]+)\s*([<>])\s*([0-9.]+(?:e-?[0-9]+)?)\s*(%?)\s*")


@dataclass(frozen=True)
class Limit:
    """A breach where the figure `name` is below (`<`) or above (`>`) `value`."""

    name: str
    sign: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.value:g}"

    def breached(self, figure: float | None) -> bool:
        """Whether the figure is on the wrong side; one that is no number is."""
        if figure is None or not isfinite(figure):
            return True
        return figure < self.value if self.sign == "<" else figure > self.value


@dataclass(frozen=True)
class Held:
    """A limit beside the figure that was found."""

    limit: Limit
    figure: float | None

    @property
    def breached(self) -> bool:
        """Whether it is."""
        return self.limit.breached(self.figure)

    @property
    def sentence(self) -> str:
        """For a terminal: errors is 0.02, above 0.01."""
        if self.figure is None or not isfinite(self.figure):
            return f"{self.limit.name} cannot be told, so its limit {self.limit} is breached"
        side = "below" if self.limit.sign == "<" else "above"
        found = f"{self.limit.name} is {self.figure:.4g}"
        return f"{found}, {side} {self.limit.value:g}" if self.breached else f"{found}: {self.limit} holds"


def parse_limits(text: str, signs: Mapping[str, str]) -> tuple[Limit, ...]:
    """Read limits.

    Args:
        text: one or several, with commas between them.
        signs: names that there are, and on which side of its limit each is bad.

    Raises:
        ValueError: with a sentence for the user.
    """
    found = []
    for part in text.split(","):
        match = _ONE.fullmatch(part)
        if not match:
            raise ValueError(f"{part.strip()!r} is no limit such as agreement<0.95")
        name, sign, number, percent = match.groups()
        if name not in signs:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(signs))}")
        if sign != signs[name]:
            raise ValueError(f"{part.strip()!r} would fail where all is well: write {name}{signs[name]}...")
        try:
            value = float(number) / (100 if percent else 1)
        except ValueError:
            raise ValueError(f"{number!r} is no number") from None
        found.append(Limit(name, sign, value))
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))}: two limits for one figure")
    return tuple(found)


def hold(limits: tuple[Limit, ...], figures: Mapping[str, float | None]) -> tuple[Held, ...]:
    """Each limit beside its figure."""
    return tuple(Held(each, figures.get(each.name)) for each in limits)

"""What a shadow report may be held to: names, the sides that are bad, and what is usual. Pure.

Usual is what users meet: the class, failures, waiting. How sure a model is of itself is not: two kinds of
model agree on nearly every class and spread their probabilities differently, so psi and ks are limits for who
asks for them by name (docs/decisions/0023-shadow-report.md).
"""

from typing import Final

from analysis.reports.limits import Held, Limit, parse_limits
from analysis.reports.words import NONE, percent

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
"""What custom calls a great shift."""
_USUAL: Final = parse_limits("agreement<0.9,errors>0.01,p99>1.5", SIGNS)
_OF_CLASSES: Final = parse_limits("classes>2", SIGNS)
_NAMES: Final = {
    "agreement": "they agree too seldom",
    "errors": "it fails too often",
    "classes": "it chooses a class far more often, or far more seldom",
    "psi": "its answers are spread differently",
    "ks": "its answers are spread differently",
    "difference": "its answers lie elsewhere in the mean",
    "requests": "too few requests were compared",
    "p50": "it is slower",
    "p95": "it is slower",
    "p99": "it is slower",
}
_SHARES: Final = {"agreement", "errors"}


def usual(*, of_classes: bool) -> tuple[Limit, ...]:
    """For the answer, where nobody asked for another limit of that name."""
    return (*_USUAL, *_OF_CLASSES) if of_classes else _USUAL


def reason(held: Held, *, asked: bool) -> str:
    """Why a limit keeps the challenger from users, in words."""
    found, limit = (
        NONE if each is None else percent(each) if held.limit.name in _SHARES else f"{each:.3g}"
        for each in (held.figure, held.limit.value)
    )
    side = "at least" if held.limit.sign == "<" else "at most"
    by = "is asked for" if asked else "is usual"
    return f"{_NAMES[held.limit.name]} ({held.limit.name} {found}, {side} {limit} {by})"

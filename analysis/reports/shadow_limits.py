"""What a shadow report may be held to: names, the sides that are bad, and what is usual. Pure.

Usual is what users meet: the class, failures, waiting. How sure a model is of itself is not: two kinds of
model agree on nearly every class and spread their probabilities differently, so psi and ks are limits for who
asks for them by name (docs/decisions/0023-shadow-report.md).
"""

from typing import Final

from analysis.reports.limits import Held, Limit, parse_limits
from analysis.reports.shadow_classes import ClassShare
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
FAILURES: Final = 0.01
"""Share of the copies without an answer that is usual at most."""
_USUAL: Final = parse_limits(f"agreement<0.9,errors>{FAILURES},p99>1.5", SIGNS)
_OF_CLASSES: Final = parse_limits("classes>2", SIGNS)
_NAMES: Final = {
    "agreement": "they agree too seldom",
    "errors": "it fails too often",
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


def reason(held: Held, *, asked: bool, most_changed: ClassShare | None = None) -> str:
    """Why a limit keeps the challenger from users; `most_changed` is what the limit `classes` is about."""
    found, limit = (
        NONE if each is None else percent(each) if held.limit.name in _SHARES else f"{each:.3g}"
        for each in (held.figure, held.limit.value)
    )
    side = "at least" if held.limit.sign == "<" else "at most"
    by = "is asked for" if asked else "is usual"
    what = _NAMES.get(held.limit.name) or _of_class(most_changed)
    return f"{what} ({held.limit.name} {found}, {side} {limit} {by})"


def _of_class(most: ClassShare | None) -> str:
    if most is None:
        return "no class is common enough to compare how often it is chosen"
    return f"it says {most.name} to {percent(most.new)} of requests, and the old model to {percent(most.old)}"

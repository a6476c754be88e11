"""What is asked before a test, and what follows: the time that it takes, and what a time can find. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from analysis.statistics.arrivals import Arrivals
from analysis.statistics.power import Design, Need, smallest_effect

USUAL_DAYS: Final = (7, 14, 28, 56)
Reachable = tuple[tuple[float, float, float | None], ...]
"""Days, users by then, the smallest change that they find."""


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        design: of the test.
        effect: smallest change that must not be missed, above 0; None: only what can be found is asked.
        arrivals: of new users; None: not known.
        window: how long an outcome counts; a test takes so much longer.
        days: a number of days to tell the smallest change for.
        sources: where figures come from, for the method.
        today: the day that days are counted from.
    """

    design: Design
    effect: float | None
    arrivals: Arrivals | None = None
    window: timedelta = timedelta()
    days: float | None = None
    sources: tuple[str, ...] = ()
    today: date = date(1970, 1, 1)


def days_until(question: Question, needed: Need | None) -> float | None:
    """Until the users have come; infinite where they never do; None where arrivals are not known."""
    if question.arrivals is None or needed is None:
        return None
    return question.arrivals.days_until(needed.total)


def reachable(question: Question) -> Reachable:
    """What each number of days can find."""
    if question.arrivals is None:
        return ()
    wanted = sorted({*USUAL_DAYS, *([question.days] if question.days else [])})
    found = []
    for day in wanted:
        users = question.arrivals.users_after(day)
        share = question.design.share
        found.append((day, users, smallest_effect(question.design, users * (1 - share), users * share)))
    return tuple(found)

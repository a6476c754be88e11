"""What is made of history: a pretended canary, and a challenger that is worse than it was. Pure.

A pretended challenger gets each of the champion's calls with the chance of its share, so that it is the
champion's equal by construction, with all of the traffic's own bursts and drifts. A regression makes calls of
the challenger fail that did not, or slower than they were.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from common.durations import parse_duration
from common.names import Model
from rollback.backtest.history import Family, Groups

Dice = np.random.Generator
LATENCY, ERRORS = "latency", "errors"
AROUND = 240  # steps over which the rate of bad calls is read off, an hour of 15 s

_TEXT = re.compile(r"([a-z][a-z0-9-]*)\s+(x\s*(\d+(?:\.\d+)?)|\+\s*(\d+(?:\.\d+)?)\s*%|\+\s*(\S+))")


class How(StrEnum):
    """In which way it becomes worse."""

    TIMES = "times"
    """So many times the latency, or the share of bad calls."""
    MORE_OF_CALLS = "more of calls"
    """A further share of calls is bad."""
    LONGER = "longer"
    """Each call takes so many seconds longer."""


@dataclass(frozen=True)
class Injection:
    """A regression: `errors x2`, `errors +1%`, `latency x1.5`, `latency +500ms`, `conversion x0.8`."""

    text: str
    what: str
    """`latency`, `errors`, or the name of a guardrail with counters."""
    how: How
    amount: float


def parse_injection(text: str) -> Injection:
    """Read a regression as it is written on the command line.

    Raises:
        ValueError: it is none.
    """
    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is no regression; write errors x2, errors +1%, latency x1.5 or latency +500ms"
        )
    what, _, times, percent, longer = found.groups()
    if times:
        return Injection(text.strip(), what, How.TIMES, float(times))
    if percent and what != LATENCY:
        if not 0 < float(percent) <= 100:
            raise ValueError(f"{text!r}: a share of calls is above 0% and at most 100%")
        return Injection(text.strip(), what, How.MORE_OF_CALLS, float(percent) / 100)
    if longer and what == LATENCY:
        return Injection(text.strip(), what, How.LONGER, parse_duration(longer).total_seconds())
    raise ValueError(f"{text!r}: latency grows by a time (+500ms) or a factor (x1.5), errors by +1% or x2")


def pretend(family: Family, share: float, dice: Dice) -> Family:
    """The champion's calls dealt out to both models; those that the challenger had are left aside."""
    champion = family.groups[Model.CHAMPION]
    drawn = dice.binomial(champion, share)
    return replace(family, groups={Model.CHAMPION: champion - drawn, Model.CHALLENGER: drawn})


def more_bad(family: Family, injection: Injection, after: int, dice: Dice) -> Family:
    """Bad calls of the challenger, the first of two groups, from step `after` on."""
    groups = family.groups[Model.CHALLENGER].copy()
    bad, good = groups[after:, 0], groups[after:, 1]
    if injection.how is How.MORE_OF_CALLS:
        turned = dice.binomial(good, injection.amount)
    elif injection.amount < 1:
        turned = -dice.binomial(bad, 1 - injection.amount)
    else:
        rate = _rate(family)[after:]
        chance = np.clip((injection.amount - 1) * rate / np.maximum(1 - rate, 1e-9), 0, 1)
        turned = dice.binomial(good, chance)
    groups[after:] += np.column_stack((turned, -turned))
    return _with_challenger(family, groups)


def slower(family: Family, injection: Injection, after: int, dice: Dice) -> Family:
    """Calls of the challenger moved to other buckets, from step `after` on."""
    upper = np.array([float(labels["le"]) for labels in family.labels])
    chances = moves(upper, injection)
    groups = family.groups[Model.CHALLENGER].copy()
    before, moved = groups[after:], np.zeros_like(groups[after:])
    for bucket in np.flatnonzero(before.any(axis=0)):
        moved += dice.multinomial(before[:, bucket], chances[bucket])
    groups[after:] = moved
    return _with_challenger(family, groups)


def moves(upper: NDArray[np.float64], injection: Injection) -> NDArray[np.float64]:
    """The chance that a call of one bucket ends up in another, (from, to).

    Calls are taken to lie evenly in their bucket on a logarithmic scale, as latencies do; beyond the last
    edge nothing is known, and they stay.

    Args:
        upper: upper edges of all buckets, the last one infinite.
    """
    lower = np.append(0.0, upper[:-1])
    # The latency of before that becomes just this edge.
    was = upper / injection.amount if injection.how is How.TIMES else upper - injection.amount
    chances = np.zeros((len(upper), len(upper)))
    for bucket, (low, high) in enumerate(zip(lower, upper, strict=True)):
        if np.isinf(high):
            chances[bucket, -1] = 1
            continue
        low = low or high / 4  # noqa: PLW2901 - the first bucket reaches down to 0, which has no logarithm
        inside = np.log(np.clip(was, low, high) / low) / np.log(high / low)
        inside[-1] = 1
        chances[bucket] = np.diff(inside, prepend=0)
    return chances


def _rate(family: Family) -> NDArray[np.float64]:
    """The share of bad calls of both models around each step, as history has it."""
    both: Groups = np.sum([family.groups[model] for model in Model], axis=0)
    around = min(AROUND, len(both))
    bad, every = (np.convolve(each, np.ones(around), "same") for each in (both[:, 0], both.sum(axis=1)))
    return np.divide(bad, every, out=np.zeros_like(bad), where=every > 0)


def _with_challenger(family: Family, groups: Groups) -> Family:
    return replace(family, groups={**family.groups, Model.CHALLENGER: groups})

"""Rules over synthetic traffic: each tells the first step of a stage at which it is breached."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np

from rollback.simulate.readings import held, quantile, within
from rollback.simulate.traffic import Arm, Counted, Traffic, Values

Judge = Callable[[Traffic], int | None]
"""The first step of a stage at which a guardrail is breached; None if it never is."""


@dataclass(frozen=True)
class Rule:
    """A guardrail as the simulation plays it."""

    name: str
    judge: Judge


def first_at_least(needed: float, evidence: Values) -> int | None:
    """The first step after which the evidence was enough."""
    beyond = evidence >= needed
    return int(beyond.argmax()) if beyond.any() else None


@dataclass(frozen=True)
class Compared:
    """A threshold: a value beyond a limit, on enough calls, at so many looks in a row."""

    value: Callable[[Traffic], Values]
    sample: Callable[[Traffic], Counted]
    limit: float
    above: bool
    smallest_sample: int
    looks: int

    def __call__(self, traffic: Traffic) -> int | None:
        """Judge a stage."""
        value = self.value(traffic)
        with np.errstate(invalid="ignore"):
            beyond = value > self.limit if self.above else value < self.limit
        return held(beyond & (self.sample(traffic) >= self.smallest_sample), self.looks)


def p_ratio(share: float, window: int, least: float, traffic: Traffic) -> Values:
    """The challenger's quantile over the champion's; the latter no less than `least` seconds."""
    mine = quantile(share, traffic.challenger, traffic.edges, window)
    theirs = quantile(share, traffic.champion, traffic.edges, window)
    ratio: Values = mine / np.maximum(theirs, least)
    return ratio


def fewer_calls(traffic: Traffic, window: int, *, both: bool) -> Counted:
    """The challenger's calls within the window; with `both`, those of the model that has fewer."""
    calls = within(traffic.challenger.calls, window)
    return np.minimum(calls, within(traffic.champion.calls, window)) if both else calls


def slow(arm: Arm, edges: Values, edge: float) -> Counted:
    """Calls slower than `edge`, one of the `edges`, in each step."""
    counts: Counted = arm.slower[:, int(np.argmin(np.abs(edges - edge)))]
    return counts


def plain_ratio(step: timedelta) -> Rule:
    """The rule that everybody writes: p99 over 1.2 times the champion's for 5 minutes, by the last 5."""
    window = timedelta(minutes=5) // step
    value = partial(p_ratio, 0.99, window, 0.0)
    sample = partial(fewer_calls, window=window, both=True)
    return Rule("plain ratio", Compared(value, sample, 1.2, above=True, smallest_sample=1, looks=1 + window))


def first_breach(rules: Iterable[Rule], traffic: Traffic) -> tuple[int, str] | None:
    """The earliest breach of all and the guardrail's name."""
    breaches = ((rule.judge(traffic), rule.name) for rule in rules)
    return min(((step, name) for step, name in breaches if step is not None), default=None)

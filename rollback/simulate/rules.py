"""Rules over synthetic traffic: each tells the first step of a stage at which it is breached.

They look at what Prometheus would read off the counters at each step: sums over a window, and quantiles from
buckets.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import numpy as np

from common.names import Metric
from common.sequential import Buckets, Counts
from rollback.simulate.traffic import Arm, Counted, Traffic, Values

Judge = Callable[[Traffic], int | None]
"""The first step of a stage at which a guardrail is breached; None if it never is."""


@dataclass(frozen=True)
class Rule:
    """A guardrail as the simulation plays it."""

    name: str
    judge: Judge
    looks_at: Metric
    """Latencies or errors."""
    edges: tuple[float, ...] = ()
    """Edges of buckets, in seconds, that it counts at."""


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
    reach = traffic.reach(window)
    mine = quantile(share, traffic.challenger, traffic.edges, reach)
    theirs = quantile(share, traffic.champion, traffic.edges, reach)
    ratio: Values = mine / np.maximum(theirs, least)
    return ratio


def fewer_calls(traffic: Traffic, window: int, *, both: bool) -> Counted:
    """The challenger's calls within the window; with `both`, those of the model that has fewer."""
    reach = traffic.reach(window)
    calls = within(traffic.challenger.calls, reach)
    return np.minimum(calls, within(traffic.champion.calls, reach)) if both else calls


def failed_calls(traffic: Traffic) -> Counts:
    """Calls that failed are bad."""
    champion, challenger = traffic.champion, traffic.challenger
    return Counts(champion.calls, champion.errors, challenger.calls, challenger.errors)


def failed_users(traffic: Traffic) -> Counts:
    """Bad are user-windows; in traffic that has no users, every call is of another one."""
    users, champion, challenger = traffic.by_user, traffic.champion, traffic.challenger
    if users is None:
        return failed_calls(traffic)
    span = users.span
    calls, bad = (
        each[: len(each) // span * span].reshape(-1, span, each.shape[1]).sum(axis=1)
        for each in (users.calls, users.bad)
    )
    buckets = Buckets(span, calls, bad)
    arms = champion.calls, users.champion_bad, challenger.calls, users.challenger_bad
    return Counts(*arms, buckets=buckets, challenger_bad_calls=challenger.errors)


def slow_calls(champion_edge: float, challenger_edge: float, traffic: Traffic) -> Counts:
    """Calls slower than an edge are bad."""
    champion, challenger = traffic.champion, traffic.challenger
    return Counts(
        champion.calls,
        _slow(champion, traffic.edges, champion_edge),
        challenger.calls,
        _slow(challenger, traffic.edges, challenger_edge),
    )


def _slow(arm: Arm, edges: Values, edge: float) -> Counted:
    """Calls slower than `edge`, one of the `edges`, in each step."""
    counts: Counted = arm.slower[:, int(np.argmin(np.abs(edges - edge)))]
    return counts


def plain_ratio(step: timedelta) -> Rule:
    """The rule that everybody writes: p99 over 1.2 times the champion's for 5 minutes, by the last 5."""
    window = timedelta(minutes=5) // step
    value = partial(p_ratio, 0.99, window, 0.0)
    sample = partial(fewer_calls, window=window, both=True)
    judge = Compared(value, sample, 1.2, above=True, smallest_sample=1, looks=1 + window)
    return Rule("plain ratio", judge, Metric.LATENCY)


def first_breach(rules: Iterable[Rule], traffic: Traffic) -> tuple[int, str] | None:
    """The earliest breach of all and the guardrail's name."""
    breaches = ((rule.judge(traffic), rule.name) for rule in rules)
    return min(((step, name) for step, name in breaches if step is not None), default=None)


def within(counts: Counted, window: int | Counted) -> Counted:
    """Sums over the last `window` steps, at each step; over fewer while the stage is younger."""
    sums = np.concatenate((np.zeros_like(counts[:1]), counts.cumsum(axis=0)))
    until = np.arange(1, len(sums))
    result: Counted = sums[until] - sums[np.maximum(until - window, 0)]
    return result


def quantile(share: float, arm: Arm, edges: Values, window: int | Counted) -> Values:
    """histogram_quantile(share, ...) over a window, at each step; NaN without calls.

    Below the first of `edges` all calls are in one bucket, so `share` must lie above it.
    """
    calls = within(arm.calls, window)
    slower = within(arm.slower, window)
    rank = (1 - share) * calls  # so many calls are slower than the quantile
    bucket = (slower > rank[:, None]).sum(axis=1)  # the first edge with no more slower calls
    at = np.arange(len(calls))
    last = edges[-1]
    upper = np.append(edges, last)[bucket]
    lower = np.append(0.0, edges)[bucket]
    outside = np.column_stack((calls, slower))[at, bucket]
    inside = outside - np.column_stack((slower, np.zeros_like(calls)))[at, bucket]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((outside - rank) / inside, 0, 1)
        result: Values = np.where(calls > 0, lower + (upper - lower) * part, np.nan)
    return result


def share_of(part: Counted, whole: Counted, window: int) -> Values:
    """The one over the other, each within the window; NaN without any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Values = within(part, window) / within(whole, window)
    return result


def held(beyond: np.ndarray[tuple[int], np.dtype[np.bool_]], looks: int) -> int | None:
    """The first step at which `beyond` was true at the last `looks` steps; None if it never was."""
    runs = np.convolve(beyond, np.ones(looks), "valid") >= looks - 0.5
    return int(runs.argmax()) + looks - 1 if runs.any() else None

"""Non-inferiority: evidence that a challenger loses no more than a margin, for a promotion to rest on.

A guardrail that is not breached has found no harm; that is no evidence that there is none. Here the null
hypothesis is the harm itself, "the challenger's rate is `margin` times the champion's, or worse", and the
evidence against it is the e-process of common/sequential.py with the models' roles turned around: under that
hypothesis its mean never exceeds 1, so by Ville's inequality the chance that it is ever 1 / alpha is at most
alpha. The same evidence against every other margin gives the bound: the least loss that it excludes.

What hangs together by user is no proof of its own: all counts are by bucket of the flag's hash, log e is
divided by their dispersion within both models' buckets, and what a bucket's users did before the stage is
taken off (the idea of CUPED, for counts). That alpha holds then is simulated, not proved: docs/statistics.md.

Pure functions without I/O. Counts have the shape (spans, buckets), buckets of users in the same order.
"""

from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final

import numpy as np

from common.e_process import Values
from common.sequential import Numbers

ALPHA: Final = 0.05
FOR_TOLERANCE: Final = 0.1
"""The part of alpha that goes to a tolerance, where there is one."""
POWERS: Final = np.array([1.0, 0.5, 1.5])
WEIGHTS: Final = np.array([0.7, 0.2, 0.1])
"""Alternatives: a challenger that is the champion's equal, at half the margin, and better by half of it."""
WITHIN: Final = np.array([0.1, 0.5, 0.75])
"""Parts of a tolerance at which the challenger may be, each with a third of the evidence."""
LONGEST_HOURS: Final = 24.0 * 365
"""What takes longer takes for ever."""
_LEAST_SPREAD: Final = 1e-6


@dataclass(frozen=True)
class ArmCounts:
    """What one model did in each span and bucket: calls, and events among them."""

    total: Numbers
    events: Numbers


@dataclass(frozen=True)
class Comparison:
    """What both models did since the stage began, and the champion before it.

    Attributes:
        champion, challenger: (spans, buckets); one bucket where a service does not count by bucket.
        before: the champion's, of any number of spans before the stage; None where it is not known.
        margin: how many times the champion's rate the challenger's may be: over 1 where events are bad, and
            under 1 where they are wanted.
    """

    champion: ArmCounts
    challenger: ArmCounts
    margin: float
    before: ArmCounts | None = None

    @property
    def wanted(self) -> bool:
        """Whether the events are what one wants, so that fewer are worse."""
        return self.margin < 1


@dataclass(frozen=True)
class Excluded:
    """What the evidence excludes.

    Attributes:
        log_e, needed: the evidence against a loss of the margin, and how much of it is enough.
        bound: the challenger's rate over the champion's: at most so many times where events are bad, at least
            where they are wanted. None where nothing is excluded yet.
        ratio: the same as measured; None without events of the champion.
        tolerated: whether the challenger's rate lies within the tolerance, whatever the champion's is.
        hours: until the evidence is enough, if all goes on as until now; None where it would never be.
        dispersion: of the counts within buckets.
        events: of both models together.
        calls: of the challenger.
    """

    log_e: float
    needed: float
    bound: float | None
    ratio: float | None
    tolerated: bool
    hours: float | None
    dispersion: float
    events: float
    calls: float

    @property
    def holds(self) -> bool:
        """Whether a loss of more than the margin is excluded."""
        return self.tolerated or self.log_e >= self.needed


def excluded(
    compared: Comparison, hours: float, tolerance: float | None = None, bad_calls: float | None = None
) -> Excluded:
    """What is excluded after the last span.

    Args:
        hours: that all spans together lasted.
        tolerance: up to this share of calls events are no loss, whatever the champion's rate is.
        bad_calls: the challenger's, where events are counted by user: a tolerance is a share of calls.
    """
    path, rate = _Path.of(compared), log(1 / ALPHA)
    if tolerance is not None:
        rate = log(1 / (ALPHA * (1 - FOR_TOLERANCE)))
    at = path.log_e(compared.margin)
    mine, theirs = (float(np.sum(each)) for each in (path.challenger_events, path.champion_events))
    expected, base = float(path.challenger_total.sum()), float(path.champion_total.sum())
    ratio = mine / expected * base / theirs if expected and theirs else None
    waits = 0.0 if at >= rate else path.hours_to(rate - at, ratio, hours)
    within = None
    if tolerance is not None:
        within = _hours_within(compared, tolerance, path.dispersion, bad_calls, hours)
    return Excluded(
        log_e=at,
        needed=rate,
        bound=_bound(path, rate) if mine + theirs else None,
        ratio=ratio,
        tolerated=within == 0,
        hours=min((each for each in (waits, within) if each is not None), default=None),
        dispersion=path.dispersion,
        events=mine + theirs,
        calls=float(np.sum(compared.challenger.total)),
    )


def log_e_path(compared: Comparison) -> Values:
    """The evidence after each span, each divided by the dispersion until then: (spans,). For simulations."""
    weights = offsets(compared.before)
    dispersion = dispersions(compared, weights)
    parts = np.cumsum(_increments(_spans(compared, weights), compared.margin, compared.margin), axis=1)
    result: Values = np.logaddexp.reduce(parts / dispersion + np.log(WEIGHTS)[:, None], axis=0)
    return result


def offsets(before: ArmCounts | None) -> Values | float:
    """How many times the mean rate each bucket's users had before the stage, drawn to 1 (empirical Bayes).

    How far they are drawn follows from how much more than by chance the buckets differ; with buckets that
    differ by chance alone all are 1. One that the champion did not have is 1. The mean rate is that of each
    span, so that buckets of which the champion had other hours are comparable.
    """
    if before is None:
        return 1.0
    in_span = before.events.sum(axis=1, dtype=np.float64)
    rate = _over(in_span, before.total.sum(axis=1, dtype=np.float64))
    expected = (before.total * rate[:, None]).sum(axis=0)
    events = before.events.sum(axis=0, dtype=np.float64)
    if not expected.any():
        return 1.0
    spread = float((np.square(events - expected) - expected)[expected > 0].sum() / np.square(expected).sum())
    strength = 1 / max(spread, _LEAST_SPREAD)
    result: Values = (events + strength) / (expected + strength)
    return result


def dispersions(compared: Comparison, weights: Values | float = 1.0) -> Values:
    """Variance of the counts of buckets over that of independent calls, 1 at the least, after each span.

    Within each model's buckets, so that a difference between the models adds nothing. As a ratio of sums: a
    bucket with hardly any calls, as of users for whom the challenger had no answer, weighs hardly anything.
    """
    squares, variances = np.zeros((2, len(compared.champion.total)))
    for arm in (compared.champion, compared.challenger):
        calls = np.cumsum(arm.total, axis=0, dtype=np.float64)
        events = np.cumsum(arm.events, axis=0, dtype=np.float64)
        exposed = calls * weights
        all_exposed = exposed.sum(axis=1, keepdims=True)
        rate = _over(events.sum(axis=1, keepdims=True), all_exposed)
        expected = exposed * rate
        variance = expected * np.maximum(1 - _over(expected, calls), 0)
        squares = squares + np.square(events - expected).sum(axis=1)
        whole = variance.sum(axis=1, keepdims=True)
        variances = variances + (variance * (1 - _over(variance, whole))).sum(axis=1)
    found: Values = np.divide(squares, variances, out=np.ones(len(squares)), where=variances > 0)
    return np.maximum(found, 1.0)


def _over(part: Values, whole: Values) -> Values:
    """part / whole, and 0 where there is nothing."""
    part, whole = np.broadcast_arrays(part, whole)
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


@dataclass(frozen=True)
class _Spans:
    """Sums over buckets, (spans,); calls are weighed by what their bucket's users did before."""

    champion_total: Values
    champion_events: Values
    challenger_total: Values
    challenger_events: Values
    wanted: bool

    @property
    def share(self) -> Values:
        """Of the model whose events are evidence against the loss."""
        total = self.champion_total + self.challenger_total
        return _over(self.challenger_total if self.wanted else self.champion_total, total)

    @property
    def mine(self) -> Values:
        """Events of that model: the challenger's where they are wanted, the champion's where they are bad."""
        return self.challenger_events if self.wanted else self.champion_events


@dataclass(frozen=True)
class _Path(_Spans):
    """The same with their dispersion after the last span, and with the margin that shapes alternatives."""

    margin: float
    dispersion: float

    @classmethod
    def of(cls, compared: Comparison) -> "_Path":
        weights = offsets(compared.before)
        spans = _spans(compared, weights)
        spread = dispersions(compared, weights)
        return cls(
            **vars(spans), margin=compared.margin, dispersion=float(spread[-1]) if len(spread) else 1.0
        )

    def log_e(self, loss: float) -> float:
        """Evidence after the last span against a challenger with `loss` times the champion's rate, or worse.

        For every loss the alternatives are as far from it as from the margin; so the evidence only grows
        with a larger loss, and all losses beyond one that is excluded are excluded too.
        """
        parts = _increments(self, self.margin, loss).sum(axis=1) / self.dispersion
        return float(np.logaddexp.reduce(parts + np.log(WEIGHTS)))

    def hours_to(self, more: float, ratio: float | None, hours: float) -> float | None:
        """How long `more` evidence takes, where the rates stay as in these `hours`, `ratio` to each other."""
        total = float((self.champion_total + self.challenger_total).sum())
        if not hours or not total or not ratio:
            return None
        events = float((self.champion_events + self.challenger_events).sum())
        share = float((self.challenger_total if self.wanted else self.champion_total).sum()) / total
        truly, allowed = (each if self.wanted else 1 / each for each in (ratio, self.margin))
        mine = truly * share / (truly * share + 1 - share)
        factors = max(self.margin, 1 / self.margin) ** POWERS
        change = np.log((allowed * share + 1 - share) / (factors * allowed * share + 1 - share))
        an_hour = float((np.log(factors) * mine + change).max()) * events / hours / self.dispersion
        return more / an_hour if an_hour * LONGEST_HOURS > more else None


def _spans(compared: Comparison, weights: Values | float) -> _Spans:
    def summed(arm: ArmCounts) -> tuple[Values, Values]:
        events = np.asarray(arm.events, dtype=np.float64)
        return (np.maximum(arm.total, events) * weights).sum(axis=1), events.sum(axis=1)

    return _Spans(*summed(compared.champion), *summed(compared.challenger), compared.wanted)


def _increments(spans: _Spans, margin: float, loss: float) -> Values:
    """By alternative and span: log of the chance of its events, over that at the hypothesis's limit."""
    allowed = (loss if spans.wanted else 1 / loss) * spans.share
    rest = 1 - spans.share
    factors = (max(margin, 1 / margin) ** POWERS)[:, None]
    events = spans.champion_events + spans.challenger_events
    both = allowed + rest  # nothing where nobody called
    ratio = np.ones((len(POWERS), len(both)))
    change = np.log(np.divide(both, factors * allowed + rest, out=ratio, where=both > 0))
    result: Values = np.log(factors) * spans.mine + events * change
    return result


def _bound(path: _Path, needed: float) -> float | None:
    """The least loss that is excluded, to a thousandth; None where even a hundredfold one is not."""
    sign = -1 if path.wanted else 1
    low, high = -log(100), log(100)  # log of how many times worse
    if path.log_e(exp(sign * high)) < needed:
        return None
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if path.log_e(exp(sign * middle)) >= needed else (middle, high)
    return exp(sign * high)


def _hours_within(
    compared: Comparison, tolerance: float, dispersion: float, bad_calls: float | None, hours: float
) -> float | None:
    """Until it is excluded that the challenger's rate is `tolerance` or more; 0 where it is already."""
    arm = compared.challenger
    events = float(np.sum(arm.events)) if bad_calls is None else bad_calls
    good = max(float(np.sum(arm.total)) - events, 0.0)
    parts = [
        (events * log(part) + good * (log1p(-part * tolerance) - log1p(-tolerance))) / dispersion
        for part in WITHIN.tolist()
    ]
    needed = log(1 / (ALPHA * FOR_TOLERANCE)) + log(len(parts))
    if float(np.logaddexp.reduce(parts)) >= needed:
        return 0.0
    best = max(parts)  # of the three the one that grows fastest; at least as long as with all
    an_hour = best / hours if hours else 0.0
    return (needed - best) / an_hour if an_hour * LONGEST_HOURS > needed else None

"""Sequential statistics: evidence against the challenger that may be looked at as often as one likes.

Everything here is an e-process: under the null hypothesis ("the challenger is no worse than allowed") its
mean never exceeds 1, so by Ville's inequality the chance that it EVER reaches 1 / alpha is at most alpha,
whenever and however often somebody looks. A breach is therefore: the running maximum of `log_e` since the
stage began is at least log(1 / alpha). A pass that was missed is then no missed breach, and the job needs no
memory.

Pure functions without I/O. The last axis of every array is time, one entry a step; leading axes are
independent runs. All results are natural logarithms of e.

Sources: Lindon, Sanden, Shirikian, "Rapid Regression Detection in Software Deployments through Sequential
Testing" (KDD 2022); Lindon, Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022).
docs/decisions/0018-sequential-guardrails.md says why these and with which numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import log, prod

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class Mixture:
    """How many times too often bad calls may happen, and how much of the evidence is staked on each."""

    factors: Values
    weights: Values

    @cached_property
    def log_weights(self) -> Values:
        """Their natural logarithms."""
        return np.log(self.weights)

    def up_to(self, largest: float) -> "Mixture":
        """The same without the factors above `largest`; their weight goes to the others."""
        kept = self.factors <= largest
        return Mixture(self.factors[kept], self.weights[kept] / self.weights[kept].sum())


EVEN = Mixture(np.geomspace(1.1, 30.0, 30), np.full(30, 1 / 30))
"""Nothing is known: every order of magnitude alike. The reference numbers are those of this mixture."""


def _around_two() -> Mixture:
    bump = np.exp(-0.5 * (np.log(EVEN.factors / 2) / 0.15) ** 2)
    return Mixture(EVEN.factors, 0.8 * bump / bump.sum() + 0.2 * EVEN.weights)


AROUND_TWO = _around_two()
"""Most of it near a doubling, which EVEN is slow to find; what is much worse shows at once under any."""

AT_ONCE = 1 << 18
"""Numbers that are worked out together: many factors of a short stage, one of a thousand simulated ones."""

BURSTS_MAY = 10.0
"""Where bad calls come in bursts, alpha may be so many times as large. At this price regressions are found as
fast as by calls alone, and bursts that roll back equal models on up to 90% of days do so on some 10%."""


@dataclass(frozen=True)
class Buckets:
    """What the champion did in each bucket of the flag's hash: as many canaries in which nothing is wrong.

    How much they differ is how much chance there is between groups of users, whatever makes bad calls hang
    together. Increments in spans of `every` steps from the stage's beginning, both of shape (spans, buckets).
    """

    every: int
    calls: Numbers
    bad: Numbers

    def dispersions(self, begin: int = 0, least: float = 1.0) -> Values:
        """Pearson's dispersion of bad calls over the buckets, from span `begin` until after each later one.

        sum (bad_k - calls_k p)^2 / (calls_k p (1 - p)) / (K - 1), and `least` at the least.

        Returns:
            (spans - begin + 1,), the first of them before any count.
        """
        calls = np.cumsum(self.calls[begin:], axis=0, dtype=np.float64)
        bad = np.cumsum(self.bad[begin:], axis=0, dtype=np.float64)
        calls = np.maximum(calls, bad)  # what was asked in one span may turn out bad in the next
        total = calls.sum(axis=1, keepdims=True)
        rate = np.divide(bad.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
        variance = calls * rate * (1 - rate)
        there = variance > 0
        squares = np.divide((bad - calls * rate) ** 2, variance, out=np.zeros_like(variance), where=there)
        found = squares.sum(axis=1) / np.maximum(there.sum(axis=1) - 1, 1)
        return np.concatenate(([least], np.maximum(found, least)))


@dataclass(frozen=True)
class Counts:
    """What both models did in each step: calls, and bad ones among them. All of one shape, (..., steps)."""

    champion_total: Numbers
    champion_bad: Numbers
    challenger_total: Numbers
    challenger_bad: Numbers
    buckets: Buckets | None = field(default=None, kw_only=True)
    """Where bad calls are counted by user; `log_e` then divides by their dispersion. One run only."""
    challenger_bad_calls: Numbers | None = field(default=None, kw_only=True)
    """The challenger's bad calls, where `challenger_bad` is counted by user."""

    @property
    def arms(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """The champion's calls and bad ones, and the challenger's."""
        return self.champion_total, self.champion_bad, self.challenger_total, self.challenger_bad

    def swapped(self) -> "Counts":
        """The same with the models in each other's place, for events of which fewer are worse."""
        return Counts(
            self.challenger_total,
            self.challenger_bad,
            self.champion_total,
            self.champion_bad,
            buckets=self.buckets,
        )


@dataclass(frozen=True)
class LateStart:
    """Evidence that also begins anew now and then, so that good hours do not hide a late regression."""

    every: int
    """Steps from one beginning to the next; the first is this long after the stage's."""
    starts: int
    """How many such beginnings there will be; evidence that has not begun counts as 1."""
    weight: float
    """Their weight together, between 0 and 1; the evidence from the stage's beginning has the rest."""

    @cached_property
    def weights(self) -> Values:
        """The weight of each beginning: the k-th has a share of 1/k.

        Early ones count for more, at little cost to later ones, so that there may be many of them.
        """
        shares = 1 / np.arange(1, self.starts + 1)
        result: Values = self.weight * shares / shares.sum()
        return result

    @cached_property
    def waiting(self) -> Values:
        """Log of the weight that has not begun yet, before the first beginning and after each."""
        waiting = self.weight - np.concatenate(([0.0], np.cumsum(self.weights)))
        waiting[-1] = 0.0  # without what rounding leaves
        with np.errstate(divide="ignore"):
            result: Values = np.log(waiting)
        return result


def log_e(
    counts: Counts, *, effect: float = 1.0, dispersion: float = 1.0, late: LateStart | None = None
) -> Values:
    """Evidence that the challenger's share of bad calls is more than `effect` times the champion's.

    The smaller of two: `log_e_calls`, which is fast, and `log_e_steps`, which bursts do not fool, raised by
    BURSTS_MAY. Where calls are independent of each other alpha bounds the chance of a breach by chance; where
    bad calls come in bursts that all hit one model, BURSTS_MAY times alpha still does. Counts with buckets
    are of users, and `log_e_users` weighs them.

    Args:
        counts: increments, not running totals. Calls are taken to be no fewer than the bad ones among them:
            what was asked in one step may turn out bad in the next.
        effect: r of the null hypothesis p_challenger <= r * p_champion.
        dispersion: variance of bad calls over that of independent ones, from a quiet time before the stage.
            For `log_e_calls` all counts of bad calls are divided by it.
        late: None for evidence from the beginning of the stage only.

    Returns:
        log e after each step, (..., steps).
    """
    if counts.buckets:
        return log_e_users(counts, counts.buckets, effect=effect, dispersion=dispersion, late=late)
    calls = log_e_calls(counts, effect=effect, dispersion=dispersion, late=late)
    return np.minimum(calls, log_e_steps(counts, effect=effect, late=late) + log(BURSTS_MAY))


def log_e_calls(
    counts: Counts,
    *,
    effect: float = 1.0,
    dispersion: float = 1.0,
    late: LateStart | None = None,
    mixture: Mixture = AROUND_TWO,
) -> Values:
    """Evidence in which each bad call is a witness of its own: the mixture of the references.

    The share of the traffic is read off each step (the increments form). The process is then a
    supermartingale conditional on the traffic, whatever becomes of the share or of the rate of bad calls.

    Args:
        counts, effect, dispersion, late: as for `log_e`.
        mixture: the alternatives.
    """
    increments, shape = _of_calls(counts, effect), np.shape(counts.challenger_bad)
    return _mixed(lambda factors: increments(factors) / dispersion, shape, mixture, late)


def log_e_users(
    counts: Counts,
    buckets: Buckets,
    *,
    effect: float = 1.0,
    dispersion: float = 1.0,
    late: LateStart | None = None,
) -> Values:
    """Evidence of bad user-windows: `log_e_calls`, each part of it divided by the dispersion over `buckets`.

    Evidence that began at some step is divided by the dispersion of the spans since then that are over, so
    that it is what it would be on as many independent users. `log_e_calls` bounds it: log e here never
    exceeds log(1 + e) there, since a mean of roots is no greater than the root of the mean.

    That alpha holds is simulated, not proved (docs/statistics.md): the dispersion is an estimate.

    Args:
        counts, effect, late: as for `log_e`, of one run.
        buckets: the champion's.
        dispersion: at the least.
    """
    weights = AROUND_TWO.log_weights[:, None]
    paths = np.cumsum(_of_calls(counts, effect)(AROUND_TWO.factors[:, None]), axis=1)
    steps = paths.shape[1]
    begins = [(0, 1 - late.weight if late else 1.0)]
    if late:
        begins += [((k + 1) * late.every, float(weight)) for k, weight in enumerate(late.weights)]
    mixed = np.full(steps, -np.inf)
    for begin, weight in begins:
        if begin >= steps:
            break
        span = begin // buckets.every
        over = np.minimum(np.arange(begin + 1, steps + 1) // buckets.every, len(buckets.calls))
        since = paths[:, begin:] - (paths[:, begin - 1 : begin] if begin else 0.0)
        since = since / buckets.dispersions(span, dispersion)[over - span]
        since += weights
        highest = since.max(axis=0)
        since -= highest
        np.exp(since, out=since)
        found = np.log(since.sum(axis=0)) + highest + log(weight)
        mixed[begin:] = np.logaddexp(mixed[begin:], found)
    return np.logaddexp(mixed, _waiting(steps, late)) if late else mixed


def _of_calls(counts: Counts, effect: float) -> Callable[[Values], Values]:
    """By factors: log of the chance of each step's bad calls, over that at the null hypothesis's limit."""
    bad, events, share = _split(counts)
    allowed = effect * share

    def increments(factors: Values) -> Values:
        ratio = (allowed + 1 - share) / (factors * allowed + 1 - share)
        result: Values = np.log(factors) * bad + events * np.log(ratio)
        return result

    return increments


def log_e_steps(counts: Counts, *, effect: float = 1.0, late: LateStart | None = None) -> Values:
    """Evidence in which all bad calls of a step together are one witness.

    A wager on the mean of the step's bad calls, e *= 1 + wager * (bad - expected). It asks of the null
    hypothesis only that mean, so the calls of a step may hang together as they like. One bad call in a step
    weighs as much as in `log_e_calls`, twenty of one user as much as four or five.
    """
    bad, events, share = _split(counts)
    allowed = effect * share
    mine = allowed / (allowed + 1 - share)  # the challenger's part of the bad calls, at the limit
    expected = events * mine
    at_risk = (expected > 0) & (share < 1)
    most = np.divide(0.95, expected, out=np.zeros_like(mine), where=at_risk)  # what a step may lose: 95%

    def increments(factors: Values) -> Values:
        worse = factors * allowed / (factors * allowed + 1 - share)
        wager = np.divide(worse - mine, mine * (1 - mine), out=np.zeros_like(worse), where=at_risk)
        result: Values = np.log1p(np.minimum(wager, most) * (bad - expected))
        return result

    return _mixed(increments, bad.shape, AROUND_TWO, late)


def _split(counts: Counts) -> tuple[Values, Values, Values]:
    """The challenger's bad calls, those of both, and the challenger's share of the traffic, in each step."""
    bad = np.asarray(counts.challenger_bad, dtype=np.float64)
    challenger = np.maximum(counts.challenger_total, bad)
    total = challenger + np.maximum(counts.champion_total, counts.champion_bad)
    share = np.divide(challenger, total, out=np.zeros_like(total), where=total > 0)
    return bad, bad + counts.champion_bad, share


def log_e_limit(
    bad: Numbers,
    total: Numbers,
    *,
    limit: float,
    dispersion: float = 1.0,
    late: LateStart | None = None,
) -> Values:
    """Evidence that the share of bad calls of one model is more than `limit`, without another beside it.

    Likelihood ratios of Bernoulli trials, a chance of factor * limit against one of limit, mixed over the
    factors. The mean stays at most 1 for every chance up to the limit, also for one that drifts.

    Args:
        bad: bad calls in each step, (..., steps).
        total: calls in each step; taken to be no fewer than the bad ones.
        limit: the largest share that is allowed, above 0 and below 0.9.
        dispersion, late: as for `log_e`.
    """
    bad = np.asarray(bad, dtype=np.float64)
    good = np.maximum(total, bad) - bad

    def increments(factors: Values) -> Values:
        of_good = np.log((1 - factors * limit) / (1 - limit))
        result: Values = (bad * np.log(factors) + good * of_good) / dispersion
        return result

    return _mixed(increments, bad.shape, AROUND_TWO.up_to(0.999 / limit), late)


def log_e_totals(x: float, y: float, rho: float, effect: float = 1.0, *, mixture: Mixture = EVEN) -> float:
    """`log_e_calls` from totals alone: right only while the share of the traffic stays constant.

    Args:
        x, y: bad calls of challenger and champion.
        rho: the challenger's share of all calls, above 0 and below 1.
        effect, mixture: as for `log_e_calls`.
    """
    factors = mixture.factors
    ratio = (effect * rho + 1 - rho) / (effect * factors * rho + 1 - rho)
    return float(np.logaddexp.reduce(np.log(mixture.weights) + x * np.log(factors) + (x + y) * np.log(ratio)))


def _mixed(
    increments: Callable[[Values], Values], shape: tuple[int, ...], mixture: Mixture, late: LateStart | None
) -> Values:
    """Log of the mean of e over all factors and, with `late`, over the moments at which evidence begins.

    Args:
        increments: of log e in each step, (factors, *shape), for factors as (factors, 1, ...).
        shape: of the counts, (..., steps).
    """
    mixed: Values | None = None
    at_once = max(AT_ONCE // max(prod(shape), 1), 1)
    for first in range(0, len(mixture.factors), at_once):
        some = slice(first, first + at_once)
        across = (-1, *(1 for _ in shape))
        path = np.cumsum(increments(mixture.factors[some].reshape(across)), axis=-1)
        if late:
            path += _beginnings(path, late)
        path += mixture.log_weights[some].reshape(across)
        part = _log_of_sum(path)
        mixed = part if mixed is None else np.logaddexp(mixed, part)
    assert mixed is not None  # noqa: S101 - there is a factor
    return np.logaddexp(mixed, _waiting(shape[-1], late)) if late else mixed


def _log_of_sum(logs: Values) -> Values:
    """Log of the sum over the first axis of what `logs` are logs of. `logs` is overwritten.

    As np.logaddexp.reduce, in a sixth of its time. What is so small that it is lost here is so there too.
    """
    highest = logs.max(axis=0)
    logs -= highest
    np.exp(logs, out=logs)
    result: Values = np.log(logs.sum(axis=0))
    result += highest
    return result


def _beginnings(path: Values, late: LateStart) -> Values:
    """Log of what e from the stage's beginning is multiplied with, so that it stands for all beginnings.

    Evidence that began after step s is path - path[s], so all beginnings up to a step together are e(path)
    times a sum over those s, and that sum changes only with the next beginning.
    """
    if path.shape[-1] <= late.every:
        return np.full(1, log(1 - late.weight))
    last_before = np.arange(1, late.starts + 1) * late.every - 1
    before = path[..., last_before[last_before < path.shape[-1] - 1]]
    first = np.full((*path.shape[:-1], 1), log(1 - late.weight))
    terms = np.concatenate((first, np.log(late.weights[: before.shape[-1]]) - before), axis=-1)
    sums: Values = np.logaddexp.accumulate(terms, axis=-1)
    return sums[..., _begun(path.shape[-1], late)]


def _waiting(steps: int, late: LateStart) -> Values:
    """Log of the weight that has not begun at each step."""
    result: Values = late.waiting[_begun(steps, late)]
    return result


def _begun(steps: int, late: LateStart) -> NDArray[np.intp]:
    """How many beginnings lie before each step."""
    return np.minimum(np.arange(steps) // late.every, late.starts)

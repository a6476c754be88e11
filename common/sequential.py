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
from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Numbers = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True)
class Mixture:
    """How many times too often bad calls may happen, and how much of the evidence is staked on each."""

    factors: Values
    weights: Values

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

BURSTS_MAY = 10.0
"""Where bad calls come in bursts, alpha may be so many times as large. At this price regressions are found as
fast as by calls alone, and bursts that roll back equal models on up to 90% of days do so on some 10%."""


@dataclass(frozen=True)
class Counts:
    """What both models did in each step: calls, and bad ones among them. All of one shape, (..., steps)."""

    champion_total: Numbers
    champion_bad: Numbers
    challenger_total: Numbers
    challenger_bad: Numbers

    def swapped(self) -> "Counts":
        """The same with the models in each other's place, for events of which fewer are worse."""
        return Counts(self.challenger_total, self.challenger_bad, self.champion_total, self.champion_bad)


@dataclass(frozen=True)
class LateStart:
    """Evidence that also begins anew now and then, so that good hours do not hide a late regression."""

    every: int
    """Steps from one beginning to the next; the first is this long after the stage's."""
    starts: int
    """How many such beginnings there will be; evidence that has not begun counts as 1."""
    weight: float
    """Their weight together, between 0 and 1; the evidence from the stage's beginning has the rest."""

    def weights(self) -> Values:
        """The weight of each beginning: the k-th has a share of 1/k.

        Early ones count for more, at little cost to later ones, so that there may be many of them.
        """
        shares = 1 / np.arange(1, self.starts + 1)
        result: Values = self.weight * shares / shares.sum()
        return result


def log_e(
    counts: Counts, *, effect: float = 1.0, dispersion: float = 1.0, late: LateStart | None = None
) -> Values:
    """Evidence that the challenger's share of bad calls is more than `effect` times the champion's.

    The smaller of two: `log_e_calls`, which is fast, and `log_e_steps`, which bursts do not fool, raised by
    BURSTS_MAY. Where calls are independent of each other alpha bounds the chance of a breach by chance; where
    bad calls come in bursts that all hit one model, BURSTS_MAY times alpha still does.

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
    bad, events, share = _split(counts)
    allowed = effect * share

    def increments(factor: float) -> Values:
        # Log of the chance of these bad calls with `factor`, over that at the limit of the null hypothesis.
        ratio = (allowed + 1 - share) / (factor * allowed + 1 - share)
        result: Values = (log(factor) * bad + events * np.log(ratio)) / dispersion
        return result

    return _mixed(increments, mixture, late)


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

    def increments(factor: float) -> Values:
        worse = factor * allowed / (factor * allowed + 1 - share)
        wager = np.divide(worse - mine, mine * (1 - mine), out=np.zeros_like(mine), where=at_risk)
        result: Values = np.log1p(np.minimum(wager, most) * (bad - expected))
        return result

    return _mixed(increments, AROUND_TWO, late)


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

    def increments(factor: float) -> Values:
        of_good = log((1 - factor * limit) / (1 - limit))
        result: Values = (bad * log(factor) + good * of_good) / dispersion
        return result

    return _mixed(increments, AROUND_TWO.up_to(0.999 / limit), late)


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


def sample_ratio_log_e(n_challenger: int, n_champion: int, share: float, k: float = 100) -> float:
    """Evidence that the flag does not give the share that it says.

    Args:
        n_challenger, n_champion: USERS, each counted once. Requests of one user are not independent: on them
            this is wrong in four cases of five.
        share: what the flag says, above 0 and below 1.
        k: how near to `share` the true one is thought to be: as near as that many users would show it.
    """
    mine, theirs = k * share, k * (1 - share)
    return (
        _log_beta(mine + n_challenger, theirs + n_champion)
        - _log_beta(mine, theirs)
        - n_challenger * log(share)
        - n_champion * log(1 - share)
    )


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _mixed(increments: Callable[[float], Values], mixture: Mixture, late: LateStart | None) -> Values:
    """Log of the mean of e over all factors and, with `late`, over the moments at which evidence begins."""
    mixed = np.array(-np.inf)
    for factor, weight in zip(mixture.factors, mixture.weights, strict=True):
        path = np.cumsum(increments(float(factor)), axis=-1)
        if late:
            path += _beginnings(path, late)
        path += log(weight)
        mixed = np.logaddexp(mixed, path)
    return np.logaddexp(mixed, _waiting(mixed.shape[-1], late)) if late else mixed


def _beginnings(path: Values, late: LateStart) -> Values:
    """Log of what e from the stage's beginning is multiplied with, so that it stands for all beginnings.

    Evidence that began after step s is path - path[s], so all beginnings up to a step together are e(path)
    times a sum over those s, and that sum changes only with the next beginning.
    """
    last_before = np.arange(1, late.starts + 1) * late.every - 1
    before = path[..., last_before[last_before < path.shape[-1] - 1]]
    first = np.full((*path.shape[:-1], 1), log(1 - late.weight))
    terms = np.concatenate((first, np.log(late.weights()[: before.shape[-1]]) - before), axis=-1)
    sums: Values = np.logaddexp.accumulate(terms, axis=-1)
    return sums[..., _begun(path.shape[-1], late)]


def _waiting(steps: int, late: LateStart) -> Values:
    """Log of the weight that has not begun at each step."""
    waiting = late.weight - np.concatenate(([0.0], np.cumsum(late.weights())))
    waiting[-1] = 0.0  # without what rounding leaves
    with np.errstate(divide="ignore"):
        result: Values = np.log(waiting)[_begun(steps, late)]
    return result


def _begun(steps: int, late: LateStart) -> NDArray[np.intp]:
    """How many beginnings lie before each step."""
    return np.minimum(np.arange(steps) // late.every, late.starts)

"""Sequential statistics: evidence against the challenger that may be looked at as often as one likes.

Everything here is an e-process: under the null hypothesis ("the challenger is no worse than allowed") its
mean never exceeds 1, so by Ville's inequality the chance that it EVER reaches 1 / alpha is at most alpha,
whenever and however often somebody looks. A breach is therefore: the running maximum of `log_e` since the
stage began is at least log(1 / alpha). A pass that was missed is then no missed breach, and the job needs no
memory. How they run along a stage is common/e_process.py.

Pure functions without I/O. The last axis of every array is time, one entry a step; leading axes are
independent runs. All results are natural logarithms of e.

Sources: Lindon, Sanden, Shirikian, "Rapid Regression Detection in Software Deployments through Sequential
Testing" (KDD 2022); Lindon, Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022).
docs/decisions/0018-sequential-guardrails.md says why these and with which numbers.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from common.e_process import (
    EProcess,
    Known,
    LateStart,
    Mixture,
    Values,
    log_of_sum,
    same_steps,
    smallest,
)

Numbers = NDArray[np.float64] | NDArray[np.int64]


EVEN = Mixture(np.geomspace(1.1, 30.0, 30), np.full(30, 1 / 30))
"""Nothing is known: every order of magnitude alike. The reference numbers are those of this mixture."""


def _around_two() -> Mixture:
    bump = np.exp(-0.5 * (np.log(EVEN.factors / 2) / 0.15) ** 2)
    return Mixture(EVEN.factors, 0.8 * bump / bump.sum() + 0.2 * EVEN.weights)


AROUND_TWO = _around_two()
"""Most of it near a doubling, which EVEN is slow to find; what is much worse shows at once under any."""

USERS_BLOCK = 240
"""Steps of users that are worked out together, as BLOCK of common.e_process."""

MANY_GROUPS = 50
"""Over fewer groups of users than these their dispersion is raised by its own standard error."""

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

    @property
    def both(self) -> tuple[Numbers, Numbers]:
        """Calls and bad ones."""
        return self.calls, self.bad

    def dispersions(self, begin: int = 0, least: float = 1.0) -> Values:
        """Pearson's dispersion of bad calls over the buckets, from span `begin` until after each later one.

        sum (bad_k - calls_k p)^2 / (calls_k p (1 - p)) / (K - 1), and `least` at the least. Over few groups
        that is a rough estimate, and raised by its standard error.

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
        if (groups := calls.shape[1]) < MANY_GROUPS:
            found = found * (1 + sqrt(2 / max(groups - 1, 1)))
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


def log_e(  # noqa: PLR0913 - the null hypothesis has several sides
    counts: Counts,
    *,
    effect: float = 1.0,
    dispersion: float = 1.0,
    late: LateStart | None = None,
    at_least: float | None = None,
    known: Known | None = None,
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
        at_least: up to this share of bad calls, by `log_e_limit`, the challenger is well, however few the
            champion has. The smaller of two e-processes is one against "one of the two is within its limit",
            so alpha is not split. A user counts once in ten minutes, however many calls fail; whether that
            matters, the calls tell.
        known: what was worked out for counts that these go on from, of one run. Is changed.

    Returns:
        log e after each step, (..., steps).
    """
    tolerated = []
    if at_least is not None:
        by_calls = counts.challenger_bad_calls if counts.buckets else None
        bad = counts.challenger_bad if by_calls is None else by_calls
        tolerated = [_of_limit(bad, counts.challenger_total, at_least, dispersion)]
    if counts.buckets:
        terms = {"effect": effect, "dispersion": dispersion}
        users = log_e_users(counts, counts.buckets, **terms, late=late, known=known)
        return np.minimum(users, smallest(tolerated, late, known)) if tolerated else users
    split = _split(counts)
    both = [_of_calls(split, effect, dispersion), _of_steps(split, effect, raised=log(BURSTS_MAY))]
    return smallest([*both, *tolerated], late, known)


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
    return smallest([_of_calls(_split(counts), effect, dispersion, mixture)], late)


def log_e_steps(counts: Counts, *, effect: float = 1.0, late: LateStart | None = None) -> Values:
    """Evidence in which all bad calls of a step together are one witness.

    A wager on the mean of the step's bad calls, e *= 1 + wager * (bad - expected). It asks of the null
    hypothesis only that mean, so the calls of a step may hang together as they like. One bad call in a step
    weighs as much as in `log_e_calls`, twenty of one user as much as four or five.
    """
    return smallest([_of_steps(_split(counts), effect)], late)


def log_e_limit(  # noqa: PLR0913 - as of `log_e`
    bad: Numbers,
    total: Numbers,
    *,
    limit: float,
    dispersion: float = 1.0,
    late: LateStart | None = None,
    known: Known | None = None,
) -> Values:
    """Evidence that the share of bad calls of one model is more than `limit`, without another beside it.

    Likelihood ratios of Bernoulli trials, a chance of factor * limit against one of limit, mixed over the
    factors. The mean stays at most 1 for every chance up to the limit, also for one that drifts.

    Args:
        bad: bad calls in each step, (..., steps).
        total: calls in each step; taken to be no fewer than the bad ones.
        limit: the largest share that is allowed, above 0 and below 0.9.
        dispersion, late, known: as for `log_e`.
    """
    return smallest([_of_limit(bad, total, limit, dispersion)], late, known)


def log_e_users(  # noqa: PLR0913 - as of `log_e`
    counts: Counts,
    buckets: Buckets,
    *,
    effect: float = 1.0,
    dispersion: float = 1.0,
    late: LateStart | None = None,
    known: Known | None = None,
) -> Values:
    """Evidence of bad user-windows: `log_e_calls`, each part of it divided by the dispersion over `buckets`.

    Evidence that began at some step is divided by the dispersion of the spans since then that are over, so
    that it is what it would be on as many independent users. `log_e_calls` bounds it: log e here never
    exceeds log(1 + e) there, since a mean of roots is no greater than the root of the mean.

    That alpha holds is simulated, not proved (docs/statistics.md): the dispersion is an estimate.

    Args:
        counts, effect, late, known: as for `log_e`, of one run.
        buckets: the champion's.
        dispersion: at the least.
    """
    split = _split(counts)
    steps, kept = len(split[0]), known.users if known else None
    question = effect, dispersion, late, buckets.every
    paths = _paths(split, effect)
    before = kept if isinstance(kept, _KnownUsers) and kept.question == question else None
    same = before.same(split, buckets) if before else 0
    parts = [before.found[: same // USERS_BLOCK * USERS_BLOCK]] if before else []
    dispersions = before.dispersions if before and before.has_spans(buckets) else {}
    for first in range(same // USERS_BLOCK * USERS_BLOCK, steps, USERS_BLOCK):
        end = min(first + USERS_BLOCK, steps)
        over = np.minimum(np.arange(first + 1, end + 1) // buckets.every, len(buckets.calls))
        mixed = np.full(end - first, -np.inf)
        for begin, weight in _beginnings(late, end):
            span, begun = begin // buckets.every, max(begin - first, 0)
            if span not in dispersions:
                dispersions[span] = buckets.dispersions(span, dispersion)
            since = paths[:, first + begun : end] - (paths[:, begin - 1 : begin] if begin else 0.0)
            since /= dispersions[span][over[begun:] - span]
            since += AROUND_TWO.log_weights[:, None]
            mixed[begun:] = np.logaddexp(mixed[begun:], log_of_sum(since) + log(weight))
        if late:
            waiting = late.waiting[np.minimum(np.arange(first, end) // late.every, late.starts)]
            mixed = np.logaddexp(mixed, waiting)
        parts.append(mixed)
    found = np.concatenate(parts) if parts else np.zeros(0)
    if known:
        known.users = _KnownUsers(question, split, buckets, found, dispersions)
    return found


@dataclass(frozen=True)
class _KnownUsers:
    """What `log_e_users` came to before."""

    question: object
    split: "Split"
    buckets: Buckets
    found: Values
    dispersions: dict[int, Values]
    """By the span from which on they are."""

    def same(self, split: "Split", buckets: Buckets) -> int:
        """For how many steps it comes out the same."""
        steps = same_steps(self.split, split)
        if self.buckets.calls.shape[1] != buckets.calls.shape[1]:
            return 0
        spans = min(len(self.buckets.calls), len(buckets.calls))
        differ = np.zeros(spans, dtype=bool)
        for one, other in zip(self.buckets.both, buckets.both, strict=True):
            differ |= (one[:spans] != other[:spans]).any(axis=1)
        first = int(np.argmax(differ)) if differ.any() else spans
        return min(steps, (first + 1) * buckets.every - 1)  # a span counts from the step on that ends it

    def has_spans(self, buckets: Buckets) -> bool:
        """Whether all spans are the same."""
        pairs = zip(self.buckets.both, buckets.both, strict=True)
        return all(np.array_equal(one, other) for one, other in pairs)


def _paths(split: "Split", effect: float) -> Values:
    """Log of e from the stage's beginning by factor, (factors, steps), in blocks as all that is known."""
    factors = AROUND_TWO.factors[:, None]
    paths = np.empty((len(factors), len(split[0])))
    left: Values | float = 0.0
    for first in range(0, paths.shape[1], USERS_BLOCK):
        block = slice(first, first + USERS_BLOCK)
        bad, events, share = (each[block] for each in split)
        added = _calls(factors, bad, events, share, effect, 1.0)
        added[:, 0] += left
        paths[:, block] = np.cumsum(added, axis=1)
        left = paths[:, min(first + USERS_BLOCK, paths.shape[1]) - 1]
    return paths


def _beginnings(late: LateStart | None, steps: int) -> list[tuple[int, float]]:
    """The steps before `steps` at which evidence begins, and its weight."""
    if late is None:
        return [(0, 1.0)]
    later = [((k + 1) * late.every, float(weight)) for k, weight in enumerate(late.weights)]
    return [(0, 1 - late.weight), *((begin, weight) for begin, weight in later if begin < steps)]


Split = tuple[Values, Values, Values]
"""The challenger's bad calls, those of both, and the challenger's share of the traffic, in each step."""


def _split(counts: Counts) -> Split:
    bad = np.asarray(counts.challenger_bad, dtype=np.float64)
    challenger = np.maximum(counts.challenger_total, bad)
    total = challenger + np.maximum(counts.champion_total, counts.champion_bad)
    share = np.divide(challenger, total, out=np.zeros_like(total), where=total > 0)
    return bad, bad + counts.champion_bad, share


def _of_calls(split: Split, effect: float, dispersion: float, mixture: Mixture = AROUND_TWO) -> EProcess:
    return EProcess(_calls, split, (effect, dispersion), mixture)


def _calls(  # noqa: PLR0913, PLR0917 - of EProcess
    factors: Values, bad: Values, events: Values, share: Values, effect: float, dispersion: float
) -> Values:
    """Log of the chance of each step's bad calls, over that at the null hypothesis's limit."""
    allowed = effect * share
    ratio = (allowed + 1 - share) / (factors * allowed + 1 - share)
    result: Values = (np.log(factors) * bad + events * np.log(ratio)) / dispersion
    return result


def _of_steps(split: Split, effect: float, raised: float = 0.0) -> EProcess:
    return EProcess(_steps, split, (effect,), AROUND_TWO, raised)


def _steps(factors: Values, bad: Values, events: Values, share: Values, effect: float) -> Values:
    """Log of what a wager on each step's bad calls wins."""
    allowed = effect * share
    mine = allowed / (allowed + 1 - share)  # the challenger's part of the bad calls, at the limit
    expected = events * mine
    at_risk = (expected > 0) & (share < 1)
    most = np.divide(0.95, expected, out=np.zeros_like(mine), where=at_risk)  # what a step may lose: 95%
    worse = factors * allowed / (factors * allowed + 1 - share)
    wager = np.divide(worse - mine, mine * (1 - mine), out=np.zeros_like(worse), where=at_risk)
    result: Values = np.log1p(np.minimum(wager, most) * (bad - expected))
    return result


def _of_limit(bad: Numbers, total: Numbers, limit: float, dispersion: float) -> EProcess:
    bad = np.asarray(bad, dtype=np.float64)
    good = np.maximum(total, bad) - bad
    return EProcess(_limit, (bad, good), (limit, dispersion), _below_one(limit))


@lru_cache(maxsize=256)
def _below_one(limit: float) -> Mixture:
    """Factors that leave factor * limit a chance."""
    return AROUND_TWO.up_to(0.999 / limit)


def _limit(factors: Values, bad: Values, good: Values, limit: float, dispersion: float) -> Values:
    """Log of the chance of each step's bad calls at factor * limit, over that at the limit."""
    of_good = np.log((1 - factors * limit) / (1 - limit))
    result: Values = (bad * np.log(factors) + good * of_good) / dispersion
    return result


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

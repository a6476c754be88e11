"""Counts per user, such as purchases: bootstrap of the means, and Mann-Whitney, both from value counts.

A log of ten million users has few distinct counts, so the engine hands over "how many users have 0, 1, 2...",
and nothing is lost: drawing users with replacement is drawing value counts from a multinomial distribution,
and ranks need no more than ties do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from analysis.statistics.effect import Effect, Interval, weights

Values = NDArray[np.float64]
REPLICATES = 4_999
"""With these the p-value of a borderline case (.05) is good to .003."""
_CELLS = 2_000_000  # of a chunk of draws: 16 MB


@dataclass(frozen=True)
class ValueCounts:
    """`users[i]` users have `values[i]`; values are distinct and ascending, of shape (k,) as the users."""

    values: Values
    users: NDArray[np.int64]

    @classmethod
    def of(cls, each: NDArray[np.float64] | NDArray[np.int64]) -> "ValueCounts":
        """Count what each user has."""
        values, users = np.unique(each, return_counts=True)
        return cls(values.astype(np.float64), users.astype(np.int64))

    @classmethod
    def merged(cls, parts: Sequence["ValueCounts"]) -> "ValueCounts":
        """Of other users each, together."""
        values = np.unique(np.concatenate([each.values for each in parts]))
        return cls(values, sum((_on(values, each) for each in parts), np.zeros(len(values))).astype(np.int64))

    @property
    def total(self) -> int:
        """Users together."""
        return int(self.users.sum())

    @property
    def mean(self) -> float:
        """Per user."""
        return float(self.users @ self.values) / self.total

    @property
    def variance(self) -> float:
        """Of the sample, with n - 1."""
        return float(self.users @ (self.values - self.mean) ** 2) / (self.total - 1)


@dataclass(frozen=True)
class Ranks:
    """Mann-Whitney.

    Attributes:
        superiority: chance that a user of the challenger has more than one of the champion, ties half.
        u: the statistic, for the challenger.
        p: two-sided, asymptotic, corrected for ties and for continuity.
    """

    superiority: float
    u: float
    p: float


def mann_whitney(champion: ValueCounts, challenger: ValueCounts) -> Ranks:
    """As `scipy.stats.mannwhitneyu(method="asymptotic")` on the users' values one by one."""
    values = np.union1d(champion.values, challenger.values)
    theirs, mine = _on(values, champion), _on(values, challenger)
    both, n = theirs + mine, float(champion.total + challenger.total)
    pairs = float(champion.total) * challenger.total
    below = np.cumsum(theirs) - theirs
    u = float(mine @ (below + theirs / 2))
    ties = float((both**3 - both).sum())
    spread = sqrt(max(pairs / 12 * (n + 1 - ties / (n * (n - 1))), 0.0))
    beyond = max(abs(u - pairs / 2) - 0.5, 0.0)
    p = min(1.0, 2 * float(norm.sf(beyond / spread))) if spread else 1.0
    return Ranks(superiority=u / pairs, u=u, p=p)


def bootstrap(
    strata: Sequence[tuple[ValueCounts, ValueCounts]],
    *,
    seed: int,
    alpha: float = 0.05,
    replicates: int = REPLICATES,
) -> Effect:
    """Studentised bootstrap of the difference of means, equal tails; of log(ratio) for the relative interval.

    Studentised, because counts are skewed and a canary has few users: percentiles of the plain difference
    reject equal arms too often there.

    Args:
        strata: champion and challenger, each of two users or more; of several the differences are weighted
            by `effect.weights`.
        seed: the same seed gives the same answer.
    """
    shares = weights([(champion.total, challenger.total) for champion, challenger in strata])
    champion, challenger = (
        _Arm(
            sum(share * pair[arm].mean for share, pair in zip(shares, strata, strict=True)),
            sum(
                share**2 * pair[arm].variance / pair[arm].total
                for share, pair in zip(shares, strata, strict=True)
            ),
        )
        for arm in (0, 1)
    )
    found, test = challenger.mean - champion.mean, "bootstrap" + (", by stage" if len(strata) > 1 else "")
    deviation = sqrt(challenger.error + champion.error)
    if deviation == 0:
        return Effect(test, champion.mean, challenger.mean, found, 1.0, Interval(-np.inf, np.inf), None)
    dice = np.random.default_rng(seed)
    drawn = [[_draw(arm, replicates, dice) for arm in pair] for pair in strata]
    theirs, mine = (
        _Draws(
            sum((share * pair[arm].means for share, pair in zip(shares, drawn, strict=True)), np.zeros(1)),
            sum(
                (share**2 * pair[arm].errors for share, pair in zip(shares, drawn, strict=True)), np.zeros(1)
            ),
        )
        for arm in (0, 1)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # a draw in which nobody differs
        pivots = (mine.means - theirs.means - found) / np.sqrt(mine.errors + theirs.errors)
    pivots = np.nan_to_num(pivots, nan=0.0)
    low, high = np.quantile(pivots, (alpha / 2, 1 - alpha / 2))
    beyond = min(int((pivots >= found / deviation).sum()), int((pivots <= found / deviation).sum()))
    return Effect(
        test=test,
        champion=champion.mean,
        challenger=challenger.mean,
        difference=found,
        p=min(1.0, 2 * (beyond + 1) / (replicates + 1)),
        absolute=Interval(float(found - high * deviation), float(found - low * deviation)),
        relative=_relative(champion, challenger, theirs, mine, alpha),
    )


class _Arm(NamedTuple):
    """An arm over strata: its mean, and the variance of that."""

    mean: float
    error: float


@dataclass(frozen=True)
class _Draws:
    """Replicates of an arm: their means and the squared standard errors of these, (replicates,) each."""

    means: Values
    errors: Values

    def logarithms(self) -> "_Draws":
        """Of those with any event at all; errors by the delta method."""
        kept = self.means > 0
        means = self.means[kept]
        return _Draws(np.log(means), self.errors[kept] / means**2)


def _relative(
    champion: _Arm, challenger: _Arm, theirs: _Draws, mine: _Draws, alpha: float
) -> Interval | None:
    if champion.mean <= 0 or challenger.mean <= 0:
        return None
    found = np.log(challenger.mean / champion.mean)
    deviation = sqrt(challenger.error / challenger.mean**2 + champion.error / champion.mean**2)
    theirs, mine = theirs.logarithms(), mine.logarithms()
    pairs = min(len(theirs.means), len(mine.means))
    errors = np.sqrt(mine.errors[:pairs] + theirs.errors[:pairs])
    pivots = (mine.means[:pairs] - theirs.means[:pairs] - found) / np.maximum(errors, 1e-300)
    low, high = np.quantile(pivots, (alpha / 2, 1 - alpha / 2))
    return Interval(float(np.expm1(found - high * deviation)), float(np.expm1(found - low * deviation)))


def _draw(counts: ValueCounts, replicates: int, dice: np.random.Generator) -> _Draws:
    """Draw the users of an arm anew, with replacement, so many times."""
    n, means, errors = counts.total, [], []
    chunk = max(1, _CELLS // len(counts.values))
    for done in range(0, replicates, chunk):
        users = dice.multinomial(n, counts.users / n, size=min(chunk, replicates - done)).astype(np.float64)
        mean = users @ counts.values / n
        means.append(mean)
        errors.append((users @ counts.values**2 / n - mean**2) / (n - 1))
    return _Draws(np.concatenate(means), np.maximum(np.concatenate(errors), 0.0))


def _on(values: Values, counts: ValueCounts) -> Values:
    """The users of `counts` at each of `values`, which hold all of its own."""
    users = np.zeros(len(values))
    users[np.searchsorted(values, counts.values)] = counts.users
    return users

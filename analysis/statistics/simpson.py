"""The effect in the whole beside that in its parts: a mix that makes it another, and Simpson's paradox."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt

from scipy.stats import chi2, chi2_contingency, norm

from analysis.statistics.effect import Interval

MIX_LEVEL = 0.001
"""A mix that differs between the arms is a fault in who got the challenger: rare, and worth a low level."""


@dataclass(frozen=True)
class Part:
    """One part of the users: how many in each arm, and mean and variance (n - 1) of the measure in each."""

    champion_users: int
    challenger_users: int
    champion: float
    challenger: float
    champion_variance: float = 0.0
    challenger_variance: float = 0.0

    @property
    def users(self) -> int:
        """In both arms."""
        return self.champion_users + self.challenger_users

    @property
    def effect(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


@dataclass(frozen=True)
class Mix:
    """The whole beside its parts.

    Attributes:
        crude: the effect in the whole, as if there were no parts.
        adjusted: the mean of the parts' effects, each part with its share of all users: what the whole would
            say with the same mix in both arms.
        p: of the parts being mixed the same in both arms (chi-squared).
        reversed: Simpson's paradox: the whole says one thing, and its parts, weighted alike, the opposite.
        opposite: parts that by themselves say the opposite of the whole.
        parts: how many there are, with users in both arms.
        crude_error, adjusted_error: standard errors; infinite where they cannot be told.
    """

    crude: float
    adjusted: float
    p: float
    reversed: bool
    opposite: int = 0
    parts: int = 0
    crude_error: float = inf
    adjusted_error: float = inf

    @property
    def differs(self) -> bool:
        """Whether the arms are mixed differently, and not by chance."""
        return self.p < MIX_LEVEL

    def interval(self, alpha: float) -> Interval:
        """Of the adjusted effect; normal."""
        reach = float(norm.isf(alpha / 2)) * self.adjusted_error
        return Interval(self.adjusted - reach, self.adjusted + reach)

    def certain(self, alpha: float) -> bool:
        """Whether the whole, or its parts weighted alike, say anything at all beyond chance."""
        reach = float(norm.isf(alpha / 2))
        return abs(self.crude) > reach * self.crude_error or abs(self.adjusted) > reach * self.adjusted_error


def mix(parts: Sequence[Part]) -> Mix:
    """Compare the whole with parts that make it up; of parts in one arm alone only the mix counts."""
    both = [part for part in parts if part.champion_users and part.challenger_users]
    ours, theirs = sum(p.champion_users for p in parts), sum(p.challenger_users for p in parts)
    if not both or not ours or not theirs:
        return Mix(nan, nan, 1.0, False)
    crude = (
        sum(part.challenger * part.challenger_users for part in parts if part.challenger_users) / theirs
        - sum(part.champion * part.champion_users for part in parts if part.champion_users) / ours
    )
    users = sum(part.users for part in both)
    adjusted = sum(part.effect * part.users for part in both) / users
    return Mix(
        crude=crude,
        adjusted=adjusted,
        p=_mix_p(parts),
        reversed=len(both) > 1 and crude * adjusted < 0,
        opposite=sum(part.effect * crude < 0 for part in both),
        parts=len(both),
        crude_error=sqrt(
            _pooled_variance([(p.champion_users, p.champion, p.champion_variance) for p in parts])
            + _pooled_variance([(p.challenger_users, p.challenger, p.challenger_variance) for p in parts])
        ),
        adjusted_error=sqrt(
            sum(
                (part.users / users) ** 2
                * (
                    part.champion_variance / part.champion_users
                    + part.challenger_variance / part.challenger_users
                )
                for part in both
            )
        ),
    )


def _pooled_variance(arm: Sequence[tuple[int, float, float]]) -> float:
    """Of the mean of an arm, from users, mean and variance of its parts."""
    users = sum(n for n, _, _ in arm)
    if users < 2:
        return inf
    mean = sum(n * level for n, level, _ in arm) / users
    squares = sum((n - 1) * variance + n * (level - mean) ** 2 for n, level, variance in arm if n)
    return squares / (users - 1) / users


def _mix_p(parts: Sequence[Part]) -> float:
    table = [(part.champion_users, part.challenger_users) for part in parts if part.users]
    return float(chi2_contingency(table, correction=False)[1]) if len(table) > 1 else 1.0


def heterogeneity_p(effects: Sequence[float], variances: Sequence[float]) -> float:
    """p of one and the same effect in all parts: Cochran's Q, weights 1 / variance."""
    known = [(e, 1 / v) for e, v in zip(effects, variances, strict=True) if v > 0]
    if len(known) < 2:
        return 1.0
    total = sum(weight for _, weight in known)
    mean = sum(effect * weight for effect, weight in known) / total
    q = sum(weight * (effect - mean) ** 2 for effect, weight in known)
    return float(chi2.sf(q, len(known) - 1))


def difference_variance(variances: tuple[float, float], users: tuple[int, int]) -> float:
    """Of a difference of two means."""
    return sum(v / n for v, n in zip(variances, users, strict=True)) if min(users) > 1 else 0.0

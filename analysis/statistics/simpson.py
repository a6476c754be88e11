"""The effect in the whole beside that in its parts: a mix that makes it another, and Simpson's paradox."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt

from scipy.stats import chi2, chi2_contingency, norm

from analysis.statistics.effect import Interval, Sample, pooled

MIX_LEVEL = 0.001
"""A mix that differs between the arms is a fault in who got the challenger: rare, and worth a low level."""


@dataclass(frozen=True)
class Part:
    """One part of the users, in both arms."""

    champion: Sample
    challenger: Sample

    @property
    def users(self) -> int:
        """In both arms."""
        return self.champion.users + self.challenger.users

    @property
    def effect(self) -> float:
        """Challenger minus champion."""
        return self.challenger.mean - self.champion.mean

    @property
    def error(self) -> float:
        """Variance of the effect; 0 where an arm has less than two users, so that there is none."""
        error = self.champion.error + self.challenger.error
        return error if isfinite(error) else 0.0


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
    both = [part for part in parts if part.champion.users and part.challenger.users]
    champion, challenger = pooled([p.champion for p in parts]), pooled([p.challenger for p in parts])
    if not both:
        return Mix(nan, nan, 1.0, False)
    crude = challenger.mean - champion.mean
    users = sum(part.users for part in both)
    weights = [part.users / users for part in both]
    adjusted = sum(weight * part.effect for weight, part in zip(weights, both, strict=True))
    variances = [
        part.champion.variance / part.champion.users + part.challenger.variance / part.challenger.users
        for part in both
    ]
    return Mix(
        crude=crude,
        adjusted=adjusted,
        p=_mix_p(parts),
        reversed=len(both) > 1 and crude * adjusted < 0,
        opposite=sum(part.effect * crude < 0 for part in both),
        parts=len(both),
        crude_error=sqrt(champion.error + challenger.error),
        adjusted_error=sqrt(sum(w**2 * v for w, v in zip(weights, variances, strict=True))),
    )


def _mix_p(parts: Sequence[Part]) -> float:
    table = [(part.champion.users, part.challenger.users) for part in parts if part.users]
    return float(chi2_contingency(table, correction=False)[1]) if len(table) > 1 else 1.0


def heterogeneity_p(effects: Sequence[float], variances: Sequence[float]) -> float:
    """p of one and the same effect in all parts: Cochran's Q, weights 1 / variance; without those of 0."""
    known = [(effect, 1 / v) for effect, v in zip(effects, variances, strict=True) if v > 0]
    if len(known) < 2:
        return 1.0
    # statsmodels' combine_effects says the same, and warns where effects are alike.
    total = sum(weight for _, weight in known)
    mean = sum(effect * weight for effect, weight in known) / total
    q = sum(weight * (effect - mean) ** 2 for effect, weight in known)
    return float(chi2.sf(q, len(known) - 1))

"""Who comes: how many different users in how many days, and whether the flag gives the share that it says.

Users are not requests: those who come back are no new ones, so a test gets fewer each day. What comes after
the time that was seen is told from doublings of it: if a log twice as long had 2**growth times as many users,
the next doubling brings 2**(growth * fading) times as many. Growth 1 and fading 1: every day brings others.
Growth alone is Heaps' law (of words in a text); fading is for the people who are there to come at all, who
run out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log, log2

from scipy.special import betaln
from scipy.stats import chi2, chisquare

MISMATCH_LEVEL = 0.001
"""A mismatch voids a test that took weeks, so it must be beyond doubt."""
_LONGEST = 40.0  # doublings
_TINIEST = 1e-300


@dataclass(frozen=True)
class Arrivals:
    """Different users since the beginning.

    Attributes:
        days: moments, ascending, above 0.
        users: different users until then, never falling, of the same length.
        growth: exponent of the last doubling of the time seen, from 0 to 1.
        fading: what the exponent is multiplied with from one doubling to the next, from 0 to 1.
    """

    days: tuple[float, ...]
    users: tuple[float, ...]
    growth: float = 1.0
    fading: float = 1.0

    @classmethod
    def steady(cls, users_per_day: float) -> "Arrivals":
        """So many new ones each day, for ever."""
        return cls((1.0,), (users_per_day,))

    @classmethod
    def seen(cls, days: Sequence[float], users: Sequence[float]) -> "Arrivals":
        """As the log has them, and on as they grew in its second half and its second quarter."""
        known = [(day, count) for day, count in zip(days, users, strict=True) if day > 0]
        first = cls(tuple(day for day, _ in known), tuple(float(count) for _, count in known))
        if not known:
            return first
        quarter, half, total = (first.users_after(first.days[-1] / part) for part in (4, 2, 1))
        if quarter <= 0:
            return first
        growth, before = _exponent(half, total), _exponent(quarter, half)
        return cls(first.days, first.users, growth, min(growth / before, 1.0) if before > 0 else 1.0)

    def users_after(self, days: float) -> float:
        """Different users within `days`."""
        if not self.days or days <= 0:
            return 0.0
        if days > self.days[-1]:
            return float(self.users[-1] * 2 ** self._gained(log2(days / self.days[-1])))
        (start, fewer), (end, more) = next(pair for pair in self._steps() if days <= pair[1][0])
        return fewer + (more - fewer) * (days - start) / (end - start)

    def days_until(self, users: float) -> float:
        """Days until so many different users have come; infinite where they never do."""
        if users <= 0:
            return 0.0
        if not self.days or self.users[-1] <= 0:
            return inf
        if users > self.users[-1]:
            return self.days[-1] * self._factor(log2(users / self.users[-1]))
        (start, fewer), (end, more) = next(pair for pair in self._steps() if users <= pair[1][1])
        return start + (end - start) * (users - fewer) / (more - fewer)

    def _steps(self) -> "pairwise[tuple[tuple[float, float], tuple[float, float]]]":
        return pairwise([(0.0, 0.0), *zip(self.days, self.users, strict=True)])

    def _gained(self, doublings: float) -> float:
        """Doublings of the users in so many of the time: growth * (fading + fading**2 + ...)."""
        if self.fading == 1:
            return self.growth * doublings
        left = float(pow(self.fading, doublings))
        return self.growth * self.fading * (1 - left) / (1 - self.fading)

    def _factor(self, gained: float) -> float:
        """How many times as long it takes to gain so many doublings of the users."""
        if self.growth * self.fading <= 0:
            return inf
        if self.fading == 1:
            doublings = gained / self.growth
        else:
            left = 1 - gained * (1 - self.fading) / (self.growth * self.fading)
            doublings = log(left) / log(self.fading) if left > 0 else inf
        return float(2.0**doublings) if doublings < _LONGEST else inf


def _exponent(fewer: float, more: float) -> float:
    return min(max(log2(more / fewer), 0.0), 1.0)


@dataclass(frozen=True)
class SampleRatio:
    """Users of both arms, each counted once, against the planned share.

    Attributes:
        champion, challenger: users.
        planned: the challenger's planned share, above 0 and below 1.
        p: chi-squared, good for one look.
        p_any_time: good for as many looks as one likes.
        stages: the same of each stage, where there are several; p is that of all of them together.
    """

    champion: int
    challenger: int
    planned: float
    p: float
    p_any_time: float
    stages: tuple["SampleRatio", ...] = ()

    @property
    def observed(self) -> float:
        """The challenger's share of the users; that which is planned where there are none."""
        users = self.champion + self.challenger
        return self.challenger / users if users else self.planned

    def mismatch(self, *, once: bool) -> bool:
        """Whether the arms are not what the flag says; `once`: this is the one look that was planned."""
        return min(self.p, self.p_any_time) <= MISMATCH_LEVEL if once else self.p_any_time <= MISMATCH_LEVEL


def sample_ratio(champion: int, challenger: int, planned: float, *, k: float = 100) -> SampleRatio:
    """Both forms of the check.

    Args:
        champion, challenger: USERS. Requests of one user are not independent: on them this is wrong in four
            cases of five.
        planned: what the flag says, above 0 and below 1.
        k: how near to `planned` the true share is thought to be: as near as that many users would show it.
    """
    users = champion + challenger
    p = (
        float(chisquare([champion, challenger], [users * (1 - planned), users * planned]).pvalue)
        if users
        else 1.0
    )
    log_e = _log_e(champion, challenger, planned, k)
    return SampleRatio(champion, challenger, planned, p, min(1.0, exp(-max(log_e, 0.0))))


def sample_ratios(
    stages: Sequence[tuple[int, int]], planned: Sequence[float], *, k: float = 100
) -> SampleRatio:
    """The check of several stages: each against its own share, and all of them together.

    Together: chi-squared values of independent stages add up, with a degree of freedom each; so do the
    logarithms of e, because users of one stage say nothing of those of another.

    Args:
        stages: users of champion and challenger.
        planned: the challenger's share of each.
    """
    each = tuple(sample_ratio(*users, share, k=k) for users, share in zip(stages, planned, strict=True))
    if len(each) == 1:
        return each[0]
    champion, challenger = (sum(users) for users in zip(*stages, strict=True))
    expected = sum((one.champion + one.challenger) * one.planned for one in each)
    squares = sum(float(chi2.isf(max(one.p, _TINIEST), 1)) for one in each)
    log_e = sum(_log_e(one.champion, one.challenger, one.planned, k) for one in each)
    users = champion + challenger
    return SampleRatio(
        champion,
        challenger,
        expected / users if users else planned[-1],
        float(chi2.sf(squares, len(each))),
        min(1.0, exp(-max(log_e, 0.0))),
        each,
    )


def _log_e(champion: int, challenger: int, planned: float, k: float) -> float:
    """Lindon, Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022)."""
    mine, theirs = k * planned, k * (1 - planned)
    return float(
        betaln(mine + challenger, theirs + champion)
        - betaln(mine, theirs)
        - challenger * log(planned)
        - champion * log(1 - planned)
    )

"""How many different users come within a number of days, and how long a number of users takes.

Users are not requests: those who come back are no new ones, so a test gets fewer each day. What comes after
the time that was seen is told from doublings of it: if a log twice as long had 2**growth times as many users,
the next doubling brings 2**(growth * fading) times as many. Growth 1 and fading 1: every day brings others.
Growth alone is Heaps' law (of words in a text); fading is for the people who are there to come at all, who
run out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, log, log2

_LONGEST = 40.0  # doublings


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

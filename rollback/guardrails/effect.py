"""How large the difference is that a guardrail judges, and how well it is known. Pure.

A verdict says whether; this says how much, and is no part of the verdict. Both intervals are at 95%:

    at every look     of what is counted since the stage began: a confidence sequence, which holds at all
                      looks of the stage together, however often somebody looks
    at this moment    of a sliding window: an ordinary interval, for one look

Either is made of the two models' Wilson intervals, as Newcombe has it; at every look these are as wide as the
confidence sequence of a mean is at that number of calls. So a share near 0 has an upper end that holds.

Sources: Newcombe, "Interval estimation for the difference between independent proportions" (Statistics in
Medicine 1998), method 10; Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory
and asymptotic confidence sequences" (Annals of Statistics 2024), theorem 2.2, for how many standard errors.
docs/statistics.md has how often it holds.
"""

from dataclasses import dataclass
from math import log
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from common.rate import Z, wilson
from common.sequential import Counts

ALPHA: Final = 0.05
NARROWEST: Final = 10_000.0
"""Independent calls, 1 / (1 / challenger's + 1 / champion's), at which the sequence is narrowest: 3.0
standard errors to each side; 3.8 at a tenth of that, 3.3 at ten times as many."""
_ROOM: Final = -2 * log(ALPHA) + log(-2 * log(ALPHA)) + 1  # rho^2 of the paper, times NARROWEST

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """What the champion did by the same measure, and the difference of the challenger from that.

    Attributes:
        champion: in the unit of the guardrail's value.
        low, high: of challenger - champion, in the same unit; None where there is no interval.
    """

    champion: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of_counts(cls, counts: Counts, dispersion: float = 1.0) -> Self | None:
        """Of shares of bad calls since the stage began, at every look. None without calls of both.

        Calls count for as many as are independent: where they are counted by user that is by the champion's
        dispersion over users, by which the test score is divided too.
        """
        if counts.buckets:
            dispersion = float(counts.buckets.dispersions(0, dispersion)[-1])
        champion_calls, champion_bad, calls, bad = (float(np.sum(each)) for each in counts.arms)
        calls, champion_calls = max(calls, bad), max(champion_calls, champion_bad)
        if not calls or not champion_calls:
            return None
        arms = bad / calls, calls / dispersion, champion_bad / champion_calls, champion_calls / dispersion
        low, high = at_every_look(*(np.array([each]) for each in arms))
        return cls(champion_bad / champion_calls, float(low[0]), float(high[0]))

    @classmethod
    def of_shares(cls, share: float, calls: float, champion: float, champion_calls: float) -> Self:
        """Of two shares, each of so many calls, at this moment; without an interval where they are none."""
        if not (0 <= share <= 1 and 0 <= champion <= 1 and calls >= 1 and champion_calls >= 1):
            return cls(champion)
        arms = (np.array([each]) for each in (share, calls, champion, champion_calls, Z))
        low, high = _difference(*arms)
        return cls(champion, float(low[0]), float(high[0]))


def at_every_look(
    share: Values, calls: Values, champion: Values, champion_calls: Values
) -> tuple[Values, Values]:
    """The confidence sequence for the difference of two shares, after each look. All of one shape.

    Args:
        share, champion: of bad calls among all so far.
        calls, champion_calls: independent ones so far, of both models.
    """
    seen = _ROOM / NARROWEST / (1 / calls + 1 / champion_calls)  # t rho^2
    errors = np.sqrt(2 * (seen + 1) / seen * np.log(np.sqrt(seen + 1) / ALPHA))
    return _difference(share, calls, champion, champion_calls, errors)


def _difference(
    share: Values, calls: Values, champion: Values, champion_calls: Values, errors: Values
) -> tuple[Values, Values]:
    """Newcombe's interval, so many standard errors to each side."""
    (low, high), (least, most) = wilson(share, calls, errors), wilson(champion, champion_calls, errors)
    found = share - champion
    return found - np.hypot(share - low, most - champion), found + np.hypot(high - share, champion - least)

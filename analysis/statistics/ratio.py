"""Did the flag give the share that it says? On users, each counted once."""

from dataclasses import dataclass
from math import exp

from scipy.stats import chisquare

from common.sequential import sample_ratio_log_e

ALPHA = 0.001
"""A mismatch voids a test that took weeks, so it must be beyond doubt."""


@dataclass(frozen=True)
class Ratio:
    """Users of both arms against the planned share.

    Attributes:
        champion, challenger: users.
        planned: the challenger's planned share, above 0 and below 1.
        p: chi-squared, good for one look.
        p_any_time: good for as many looks as one likes.
    """

    champion: int
    challenger: int
    planned: float
    p: float
    p_any_time: float

    @property
    def observed(self) -> float:
        """The challenger's share of the users; that which is planned where there are none."""
        users = self.champion + self.challenger
        return self.challenger / users if users else self.planned

    def mismatch(self, *, once: bool) -> bool:
        """Whether the arms are not what the flag says; `once`: this is the one look that was planned."""
        return min(self.p, self.p_any_time) <= ALPHA if once else self.p_any_time <= ALPHA


def sample_ratio(champion: int, challenger: int, planned: float, *, k: float = 100) -> Ratio:
    """Both forms of the check; `k` is that of `common.sequential.sample_ratio_log_e`."""
    users = champion + challenger
    p = 1.0
    if users:
        expected = [users * (1 - planned), users * planned]
        p = float(chisquare([champion, challenger], expected).pvalue)
    log_e = sample_ratio_log_e(challenger, champion, planned, k)
    return Ratio(champion, challenger, planned, p, min(1.0, exp(-max(log_e, 0.0))))

"""The stages of a rollout in the time of a test: which share the flag had when a user came.

While a share grows, the challenger's users are later ones than the champion's, and what changes with time
looks like an effect. So users are told apart by the share at their first request, and compared within it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import ibis
from ibis.expr import types as ir

from analysis.log.columns import moment

WHOLE = 100.0


@dataclass(frozen=True)
class Stages:
    """Shares of the flag, in per cent.

    Attributes:
        shares: the different ones at which both models had users, ascending.
        usual: the share where none is known.
        given: when each began, by time, if somebody said so; else each request of the log tells.
    """

    shares: tuple[float, ...]
    usual: float
    given: tuple[tuple[datetime, float], ...] = ()

    @property
    def is_ramp(self) -> bool:
        """Whether there is more than one."""
        return len(self.shares) > 1

    def of(self, requests: ir.Table) -> ir.Value:
        """The share at each of `requests`."""
        if self.given:
            latest_first = [(requests.time >= moment(at), float(share)) for at, share in reversed(self.given)]
            return ibis.cases(*latest_first, else_=float(self.usual))
        if "share" in requests.columns:
            return requests["share"].fill_null(float(self.usual))
        return ibis.literal(float(self.usual))

    @classmethod
    def among(
        cls, found: Iterable[float], usual: float, given: tuple[tuple[datetime, float], ...] = ()
    ) -> "Stages":
        """Of all shares of the time of a test; at 0% and 100% there is nobody to compare with."""
        return cls(tuple(sorted({share for share in found if 0 < share < WHOLE})), usual, given)

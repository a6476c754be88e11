"""Is the challenger known to be no worse? What the evidence says of each metric, as a condition. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from common.figures import number, short
from common.noninferior import ALPHA, Excluded

SURE: Final = f"{100 * (1 - ALPHA):g}% sure"


@dataclass(frozen=True)
class Evidence:
    """One metric of `no_worse`.

    Attributes:
        name: errors, p99, or an outcome.
        margin: how many times the champion's is allowed, or needed of an outcome.
        found: what is excluded; None where nothing was counted.
        why: why nothing was counted, or what is to be known of how it was.
        asked: False where the rollout has no such signal, or nobody tells such an outcome.
        ended: when the stage ended that it is of; None where that goes on.
        index: of p99, by which shares of slow calls become times: see rollback.guardrails.edges.SlowShare.
    """

    name: str
    margin: float
    found: Excluded | None = None
    why: str = ""
    asked: bool = True
    ended: datetime | None = None
    index: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether a loss of more than the margin is excluded, or it is not asked for."""
        return not self.asked or (self.found is not None and self.found.holds)

    @property
    def takes_a_person(self) -> bool:
        """Whether it will never hold if all goes on as until now; without calls that is not known."""
        if self.holds:
            return False
        found = self.found
        return self.ended is not None or (found is not None and found.hours is None and found.calls > 0)

    def until(self, now: datetime) -> datetime | None:
        """When it will hold if all goes on as until now; None where that cannot be told, or never."""
        hours = self.found.hours if self.found else None
        if self.holds or hours is None or self.ended:
            return None
        return now + timedelta(hours=hours)

    def sentence(self) -> str:
        """Margin, bound, what was measured, and how long it takes yet."""
        found = self.found
        if found is None:
            return self.why
        fewer = self.margin < 1
        side, need = ("at least", "needed") if fewer else ("at most", "allowed")
        margin = f"{number(self.margin)} times are {need}"
        bound = self._in_time(found.bound)
        if bound is None:
            told = f"nothing can be said yet of how it compares with the champion's; {margin}"
        elif found.tolerated and not found.log_e >= found.needed:
            told = "so few that it is no loss, whatever the champion's are"
        else:
            told = f"{side} {number(bound)} times the champion's ({SURE}), {margin}"
        measured = self._in_time(found.ratio)
        if measured is not None:
            told += f"; measured {number(measured)} times"
        if self.why:
            told += f"; {self.why}"
        return told if self.holds else f"{told}; {self._how_long(found)}"

    def _in_time(self, share: float | None) -> float | None:
        return share if share is None or self.index == 1 else float(share ** (1 / self.index))

    def _how_long(self, found: Excluded) -> str:
        if self.ended:
            return "the stage is over, so it takes a person, or that stage again"
        if not self.takes_a_person and found.hours is None:
            return "it waits for calls"
        if found.hours is None:
            return "if it stays so it will never be enough: it takes a person"
        return f"enough in {short(timedelta(hours=found.hours))} if it stays so"

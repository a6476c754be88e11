"""What common.figures does not tell of numbers: changes of a measure, p-values, counts of things, times."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor, isfinite, log10

from analysis.metric import Kind
from analysis.statistics.effect import Interval
from common.figures import NONE, number


def signed(value: float, significant: int = 2) -> str:
    """+0.012."""
    return f"{'+' if value > 0 else ''}{number(value, significant)}"


def chance(p: float) -> str:
    """A p-value: 0.121, or <0.001."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_is(p: float) -> str:
    """In a sentence: p = 0.121, or p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def exact_percent(share: float) -> str:
    """5%, 99.9%: a level that somebody chose, as it is."""
    return f"{100 * share:.6g}%"


def counted(count: int, noun: str) -> str:
    """1 request, 1,200 requests."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclass(frozen=True)
class Unit:
    """How to write a measure.

    Attributes:
        kind: of the measure.
        scale: a typical change: tells how many digits are worth writing.
    """

    kind: Kind
    scale: float = 0.0

    @property
    def digits(self) -> int:
        """After the point: two that count of a typical change, at least one for shares."""
        least, most = (1, 4) if self.kind is Kind.PROPORTION else (0, 6)
        scale = abs(self.scale) * (100 if self.kind is Kind.PROPORTION else 1)
        if not scale or not isfinite(scale):
            return 2
        return min(max(1 - floor(log10(scale)), least), most)

    def level(self, value: float) -> str:
        """A share as 95.0%, other measures as numbers."""
        if self.kind is Kind.PROPORTION:
            return f"{100 * value:.{self.digits}f}%"
        return f"{value:,.{self.digits}f}"

    def change(self, value: float, *, sign: bool = True) -> str:
        """+1.5 points; +0.30."""
        return f"{self._number(value, sign=sign)}{' points' if self.kind is Kind.PROPORTION else ''}"

    def between(self, interval: Interval) -> str:
        """An interval of changes: -0.2 to +3.2."""
        return f"{self._end(interval.low)} to {self._end(interval.high)}"

    def _end(self, value: float) -> str:
        if not isfinite(value):
            return "anything"
        return self._number(value, sign=True)

    def _number(self, value: float, *, sign: bool) -> str:
        shown = 100 * value if self.kind is Kind.PROPORTION else value
        shown = round(shown, self.digits) + 0.0  # no -0.0
        return f"{shown:{'+' if sign and shown else ''},.{self.digits}f}"


def relative(value: float | None) -> str:
    """+1.6%, and a dash where there is none."""
    return NONE if value is None or not isfinite(value) else f"{100 * value:+.1f}%"


def relative_between(interval: Interval | None) -> str:
    """-0.4% to +3.7%."""
    if interval is None:
        return NONE
    return " to ".join(
        relative(end) if isfinite(end) else "anything" for end in (interval.low, interval.high)
    )


def moment(time: datetime) -> str:
    """In UTC, to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def duration(time: timedelta) -> str:
    """About how long: 12 days, 5 hours, 30 minutes."""
    for unit, seconds in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if (count := time.total_seconds() / seconds) >= 2:
            return f"{count:.0f} {unit}s"
    return f"{time.total_seconds():.0f} seconds"

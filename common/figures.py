"""Numbers with their units as people read them, in one way for the board, the command line and messages."""

from datetime import UTC, datetime, timedelta
from math import floor, isfinite, log10
from typing import Literal

from common.durations import format_duration

Unit = Literal["seconds", "share", "times", "number"]
NONE = "-"
SMALLEST = 1e-6  # of a share: what is less is told as less


def percent(share: float | None) -> str:
    """29%, 8.3%, 0.010%; near 100% as many digits of what is missing: 99.96%. Two significant digits."""
    if share is None or not isfinite(share):
        return NONE
    near = min(abs(share), abs(1 - share))
    if near == 0 or abs(share) > 1:
        return f"{100 * share:,.0f}%"
    if near < SMALLEST:
        return "<0.0001%" if abs(share) < SMALLEST else ">99.9999%" if share < 1 else "100%"
    digits = 1 - floor(log10(round(100 * near, 9)))
    return f"{100 * share:.{max(digits, 0)}f}%"


def number(value: float | None, significant: int = 3) -> str:
    """0.0123, 12.3, 1,230."""
    if value is None or not isfinite(value):
        return NONE
    if value == 0:
        return "0"
    digits = max(significant - 1 - floor(log10(abs(value))), 0)
    text = f"{value:,.{min(digits, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float | None) -> str:
    """294 ms, 0.12 ms, 1.5 s."""
    if value is None or not isfinite(value):
        return NONE
    return f"{number(value)} s" if abs(value) >= 1 or value == 0 else f"{number(1000 * value)} ms"


def count(value: float | None) -> str:
    """1,350."""
    return NONE if value is None or not isfinite(value) else f"{value:,.0f}"


def in_unit(value: float | None, unit: str) -> str:
    """A value in its unit: `294 ms`, `29%`, `1.3 times`."""
    if unit == "seconds":
        return seconds(value)
    if unit == "share":
        return percent(value)
    told = number(value)
    return f"{told} times" if unit == "times" and told != NONE else told


def moment(time: datetime) -> str:
    """A time in UTC: 2026-11-29 13:40:06 UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def short(length: timedelta) -> str:
    """A duration by its two largest units: 3d4h."""
    total = max(length, timedelta()).total_seconds()
    unit = 3600 if total >= 86400 else 60 if total >= 3600 else 1
    if total < 1:
        return format_duration(timedelta(seconds=round(total, 1)))
    return format_duration(timedelta(seconds=total // unit * unit))

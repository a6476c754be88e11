"""Numbers as people read them."""

from math import floor, isfinite, log10

NONE = "-"


def percent(share: float, digits: int | None = None) -> str:
    """97.3%; more digits near 0 and 100%, so that 99.996% is not told as all."""
    if not isfinite(share):
        return NONE
    if digits is None:
        near = min(abs(share), abs(1 - share)) * 100
        digits = 1 if near >= 1 or near < 1e-5 else min(1 - floor(log10(near)), 4)
    return f"{100 * share:.{digits}f}%"


def number(value: float, significant: int = 3) -> str:
    """0.0123, 12.3, 1,230."""
    if not isfinite(value):
        return NONE
    if value == 0:
        return "0"
    digits = max(significant - 1 - floor(log10(abs(value))), 0)
    return f"{value:,.{min(digits, 8)}f}"


def signed(value: float, significant: int = 2) -> str:
    """+0.012."""
    return f"{'+' if value > 0 else ''}{number(value, significant)}"


def milliseconds(seconds: float) -> str:
    """4.2 ms."""
    return f"{number(1000 * seconds)} ms" if isfinite(seconds) else NONE


def chance(p: float) -> str:
    """A p-value: 0.121, or <0.001."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_is(p: float) -> str:
    """In a sentence: p = 0.121, or p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def counted(count: int, noun: str) -> str:
    """1 request, 1,200 requests."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

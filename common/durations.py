"""Durations as Prometheus writes them: 500ms, 15s, 5m, 1h, 1h30m."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_WHOLE = re.compile(r"(?:\d+(?:ms|[dhms]))+")
_PART = re.compile(r"(\d+)(ms|[dhms])")


def parse_duration(text: object) -> timedelta:
    """Read `text` as a duration greater than zero.

    Raises:
        ValueError: it is none; a plain number is none either, because its unit would be a guess.
    """
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no duration; write a number and a unit, such as 15s, 5m or 1h30m")
    try:
        duration = sum((int(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta())
    except OverflowError:
        raise ValueError(f"{text!r} is too long a duration") from None
    if not duration:
        raise ValueError(f"{text!r} lasts no time at all")
    return duration


def format_duration(duration: timedelta) -> str:
    """Write `duration`, to the millisecond, as PromQL takes it and `parse_duration` reads it back."""
    rest, text = round(duration / _UNITS["ms"]), ""
    for unit, length in _UNITS.items():
        count, rest = divmod(rest, length // _UNITS["ms"])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": rf"^{_WHOLE.pattern}$"}),
]
"""A field of a file: text on the way in, a `timedelta` afterwards, and text again on the way out."""

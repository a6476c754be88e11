"""Which segments of the users are counted: values that are named of properties of their context."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from common.names import MOST_SEGMENTS

Listed = Mapping[str, tuple[str, ...]]
"""Values that are counted by name, by property."""

_ONE = re.compile(r"([A-Za-z0-9~_-][A-Za-z0-9._~-]{0,99})=(.+)")


def listed_segments(text: str) -> Listed:
    """Of `country=NO, country=SE, plan=free`. Raises ValueError."""
    found: dict[str, tuple[str, ...]] = {}
    for one in filter(None, (each.strip() for each in text.split(","))):
        match = _ONE.fullmatch(one)
        if match is None:
            raise ValueError(f"{one!r} is no PROPERTY=VALUE, as country=NO")
        found[match[1]] = values = (*found.get(match[1], ()), match[2])
        if len(values) > MOST_SEGMENTS:
            raise ValueError(
                f"{match[1]} stands here more than {MOST_SEGMENTS} times: all others are one segment"
            )
    return found


def judged_segments(guardrails: Path) -> Listed:
    """The segments that a file of guardrails judges.

    The rollback job validates the file; here only the names matter.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    try:
        written = yaml.safe_load(guardrails.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for each in _items(_part(written, "guardrails")):
        segments = _part(each, "segments")
        name, values = _part(segments, "by"), _items(_part(segments, "values"))
        if isinstance(name, str):
            known = (one for one in values if isinstance(one, str))
            found[name] = (*found.get(name, ()), *known)
    return {name: tuple(dict.fromkeys(values))[:MOST_SEGMENTS] for name, values in found.items()}


def _part(given: object, name: str) -> object:
    return given.get(name) if isinstance(given, dict) else None


def _items(given: object) -> list[object]:
    return given if isinstance(given, list) else []

"""Histories of a flag, line by line: who did what."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flags.canary.history import Change, replayed
from flags.unleash.models import EnvironmentState, Event
from tests.unit.flags.fake_unleash import gradual

BEGAN = datetime(2026, 11, 23, 6, tzinfo=UTC)
PERSON, CLI, JOB = "ada", "canario-flags", "canario-rollback"
Line = tuple[str, str, Any, Any]


def on(who: str) -> Line:
    return who, "feature-environment-enabled", None, None


def off(who: str) -> Line:
    return who, "feature-environment-disabled", None, None


def add(who: str, percent: object, number: str = "s1", **fields: Any) -> Line:
    return who, "feature-strategy-add", gradual(percent, id=number, **fields), None


def share(who: str, before: object, after: object, number: str = "s1", **fields: Any) -> Line:
    new = gradual(after, id=number, **fields)
    return who, "feature-strategy-update", new, gradual(before, id=number)


def remove(who: str, percent: object, number: str = "s1") -> Line:
    return who, "feature-strategy-remove", None, gradual(percent, id=number)


def life(who: str, what: str) -> Line:
    return who, f"feature-{what}", None, None


def tag(who: str, kind: str = "canario-resume") -> Line:
    return who, "feature-tagged", {"type": kind, "value": "why"}, None


def changes(*lines: Line, now: EnvironmentState | None = None, other: Sequence[int] = ()) -> list[Change]:
    """Each line a minute after the one before; those with a number in `other` in another environment."""
    events = [
        Event(
            id=number,
            type=kind,
            created_by=who,
            created_at=BEGAN + timedelta(minutes=number),
            environment="development"
            if number in other
            else "production"
            if "strategy" in kind or "environment" in kind
            else None,
            data=data,
            pre_data=before,
        )
        for number, (who, kind, data, before) in enumerate(lines)
    ]
    return list(replayed(events, now, "production"))

"""Situations for the tables: a rollout that has all it needs, and what a test takes from it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from common.measured import Measured
from flags.canary.history import Change
from flags.canary.state import CanaryState
from flags.rollout.readings import Readings
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import DeployedModels, Situation
from tests.unit.flags.histories import CLI, PERSON, add, changes, life, off, on, share, tag

PLAN_JOB, JOB = "canario-rollout", "canario-rollback"
VERSION = "2 0123456789ab"
NOW = datetime(2026, 12, 24, 6, tzinfo=UTC)  # a month after the changes
PLAN = RolloutPlan.model_validate(
    {
        "must_judge": ["errors"],
        "guard_silent_for": "2m",
        "begin": "by_itself",
        "promote": "by_itself",
        "stages": [
            {"shadow": 100, "least": "7d", "samples": 1000, "agreement": 0.9, "failures": 0.01},
            {"share": 1, "least": "24h", "requests": 100},
            {"share": 5, "least": "24h", "requests": 500, "outcomes": 50, "share_within": 0.2},
            {"share": 25, "least": "48h", "approval": True},
            {"share": 100, "least": "24h"},
        ],
    }
)
GOOD = Readings(
    guardrails=(
        Measured("errors", "ok"),
        Measured("ratio", "no data"),
        Measured("agreement", "breach", False),
    ),
    last_pass=NOW - timedelta(seconds=20),
    judged=999,
    judged_version=VERSION,
    champion_requests=95_000,
    challenger_requests=5_000,
    outcomes=700,
    samples=20_000,
    agreements=19_500,
    failures=20,
    version=VERSION,
)
START = (("canario-flags", "feature-created", None, None), add(CLI, 0), on(CLI))


def flag(percent: int | None = 0, *, enabled: bool = True, **fields: Any) -> CanaryState:
    """What Unleash says of a flag."""
    told: dict[str, Any] = {
        "flag": "canary",
        "environment": "production",
        "exists": True,
        "archived": False,
        "enabled": enabled,
        "percent": percent,
        "stickiness": "userId",
        "strategies": 1,
        "constraints": (),
        "segments": (),
        "variants": 0,
        "trouble": None,
        "changed_by": None,
        "changed_at": None,
        "change": None,
    }
    return CanaryState(**(told | fields))


def at(
    percent: int, *lines: Any, enabled: bool = True, readings: Readings = GOOD, **fields: Any
) -> Situation:
    """A rollout whose share the plan's job set to `percent`, and then `lines` of the log."""
    raised = (share(PLAN_JOB, 0, percent),) if percent and not lines else ()
    log = changes(*START, *raised, *lines)
    return of_log(log, percent, enabled=enabled, readings=readings, **fields)


def of_log(
    log: list[Change], percent: int | None, *, enabled: bool = True, readings: Readings = GOOD, **fields: Any
) -> Situation:
    """A rollout with this log."""
    of_flag = {name: fields.pop(name) for name in tuple(fields) if name in CanaryState.__dataclass_fields__}
    last = next((one.id for one in reversed(log) if one.tag is None), None)
    seen = Situation(
        canary=flag(percent, enabled=enabled, **({"revision": last} | of_flag)),
        changes=tuple(log),
        now=NOW,
        shadow=flag(100),
        shadow_changes=tuple(changes(*START, share(PLAN_JOB, 0, 100))),
        models=DeployedModels(known=True, challenger=VERSION),
        readings=readings,
    )
    return replace(seen, **fields)


__all__ = ["GOOD", "JOB", "NOW", "PERSON", "PLAN", "PLAN_JOB", "START", "VERSION", "at", "changes", "flag"]
__all__ += ["add", "life", "of_log", "off", "on", "share", "tag"]

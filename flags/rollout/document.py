"""A rollout as JSON: for programs, and for the service's admin route."""

from datetime import datetime
from typing import Any

from flags.people import Change
from flags.rollout.advance import Outcome
from flags.rollout.place import rolled_back
from flags.rollout.schema import Plan
from flags.rollout.situation import Situation

LAST_CHANGES = 8


def last_changes(seen: Situation) -> tuple[Change, ...]:
    """Those of both flags, the latest first."""
    both = sorted((*seen.changes, *seen.shadow_changes), key=lambda one: one.id, reverse=True)
    return tuple(both[:LAST_CHANGES])


def fields(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """All of it as JSON."""
    step, seen = outcome.step, outcome.seen
    place, canary, rollback = step.place, seen.canary, rolled_back(seen.changes)
    lease_left = (canary.lease_until - seen.now).total_seconds() if canary.lease_until else None
    return {
        "flag": canary.flag,
        "environment": canary.environment,
        "now": seen.now.isoformat(),
        "stage": {
            "name": place.name,
            "share": place.share,
            "rules": place.rules.name if place.rules else None,
            "planned": place.is_planned,
            "began": place.began.isoformat() if place.change else None,
            "stages": [stage.name for stage in plan.stages],
        },
        "step": {
            "kind": step.kind.value,
            "to": step.to.name if step.to else None,
            "sentence": step.sentence,
            "until": _iso(step.until),
            "done": outcome.done,
        },
        "gates": [
            {
                "name": gate.name,
                "holds": gate.holds,
                "sentence": gate.sentence,
                "until": None if gate.holds else _iso(gate.until),
            }
            for gate in step.gates
        ],
        "challenger": seen.version,
        "lease": None
        if canary.lease_until is None
        else {"until": canary.lease_until.isoformat(), "seconds_left": max(round(lease_left or 0.0, 1), 0.0)},
        "quarantine": list(canary.quarantined),
        "hold": None
        if seen.hold is None
        else {"limit": seen.hold.limit, "who": seen.hold.who, "at": seen.hold.at.isoformat()},
        "paused": list(seen.paused),
        "trouble": canary.trouble,
        "last_rollback": None if rollback is None else {**_change(rollback[0]), "reason": rollback[1]},
        "changes": [_change(one) for one in last_changes(seen)],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "at": change.at.isoformat(),
        "who": change.who,
        "automation": change.is_automation,
        "what": change.words,
        "users_before": change.before.reach,
        "users_after": change.after.reach,
    }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None

"""Where a rollout stands, told: a sentence for people, JSON for programs and the admin route."""

from datetime import datetime
from typing import Any

from common.figures import moment
from flags.canary.history import Change, rolled_back
from flags.rollout.controller import RolloutIteration
from flags.rollout.decide import StepKind
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import Situation

LAST_CHANGES = 8
HEADLINES = {
    StepKind.REFUSE: "refuses",
    StepKind.WAIT: "waits",
    StepKind.ADVANCE: "may go on",
    StepKind.PROMOTE: "promotes",
    StepKind.FINISHED: "finished",
}


def last_changes(seen: Situation) -> tuple[Change, ...]:
    """Those of both flags, the latest first."""
    both = sorted((*seen.changes, *seen.shadow_changes), key=lambda one: one.id, reverse=True)
    return tuple(both[:LAST_CHANGES])


def fields(plan: RolloutPlan, found: RolloutIteration) -> dict[str, Any]:
    """All of it as JSON."""
    step, seen = found.step, found.seen
    position, canary, rollback = step.position, seen.canary, rolled_back(seen.changes)
    lease_left = (canary.lease_until - seen.now).total_seconds() if canary.lease_until else None
    return {
        "flag": canary.flag,
        "environment": canary.environment,
        "now": seen.now.isoformat(),
        "stage": {
            "name": position.name,
            "share": position.share,
            "rules": position.rules.name if position.rules else None,
            "planned": position.is_planned,
            "began": position.began.isoformat() if position.change else None,
            "stages": [stage.name for stage in plan.stages],
        },
        "step": {
            "kind": step.kind.value,
            "to": step.to.name if step.to else None,
            "sentence": step.sentence,
            "until": _iso(step.until),
            "done": found.done,
        },
        "gates": [
            {
                "name": one.name,
                "holds": one.holds,
                "sentence": one.sentence,
                "until": None if one.holds else _iso(one.until),
            }
            for one in step.conditions
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


def sentence(found: RolloutIteration) -> str:
    """What an iteration did, or why it did nothing, in one line."""
    if found.done:
        return found.done
    step = found.step
    until = f"; at the earliest {moment(step.until)}" if step.until else ""
    return f"{step.position.name}: {HEADLINES[step.kind]}: {step.sentence}{until}"

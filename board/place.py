"""Where the rollout stands, as the plan sees it. Pure."""

from collections.abc import Iterator

from board.answer import capital
from board.document import Gate, Lease, Rollout, Stage
from board.facts import Facts
from flags.rollout.decide import Step
from flags.rollout.situation import Situation


def rollout_of(facts: Facts, seen: Situation, step: Step) -> Rollout:
    """Stage, step, gates, and what keeps it from going on."""
    canary, place = seen.canary, step.place
    lease = None
    if canary.lease_until:
        left = max((canary.lease_until - facts.now).total_seconds(), 0.0)
        lease = Lease(canary.lease_until, round(left, 1))
    return Rollout(
        stage=place.name,
        share=canary.percent,
        enabled=canary.enabled,
        began=place.began if place.change else None,
        stages=tuple(_stages(facts, step)),
        step=step.kind.value,
        why=step.sentence,
        until=step.until,
        gates=tuple(
            Gate(gate.name, gate.holds, capital(gate.sentence), None if gate.holds else gate.until)
            for gate in step.gates
        ),
        challenger=seen.version,
        lease=lease,
        only_where=canary.constraints,
        paused=seen.paused,
        quarantine=canary.quarantined,
        hold=seen.hold.refusal(100) if seen.hold else None,
        trouble=canary.trouble,
    )


def _stages(facts: Facts, step: Step) -> Iterator[Stage]:
    """The plan with the place in it; a person's own share stands before the stage that follows it."""
    place, passed = step.place, step.place.rules is not None
    own = Stage(place.name, "now", None) if place.share and not place.is_planned else None
    for stage in facts.plan.stages:
        lasts = stage.lasts.total_seconds() or None
        here = place.rules is stage and place.is_planned
        if place.following is stage:
            if own:
                yield own
            own, passed = None, False
            yield Stage(stage.name, "next", lasts)
        elif here:
            yield Stage(stage.name, "now", lasts)
        else:
            yield Stage(stage.name, "done" if passed else "later", lasts)
    if own:
        yield own
    yield Stage("champion", "next" if place.following is None else "later", None)

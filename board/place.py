"""Where the rollout stands, as the plan sees it. Pure."""

from collections.abc import Iterator
from typing import Literal

from board.answer import capital
from board.document import Gate, Lease, Rollout, Stage
from board.facts import Facts
from flags.canary.history import last_mark
from flags.canary.marks import BEGIN
from flags.rollout.decide import Step
from flags.rollout.schema import Stage as Planned
from flags.rollout.situation import Situation


def rollout_of(facts: Facts, seen: Situation, step: Step) -> Rollout:
    """Stage, step, gates, and what keeps it from going on."""
    canary, place = seen.canary, step.position
    lease = None
    if canary.lease_until:
        left = max((canary.lease_until - facts.now).total_seconds(), 0.0)
        lease = Lease(canary.lease_until, round(left, 1))
    return Rollout(
        stage=place.name,
        share=canary.percent,
        enabled=canary.enabled,
        began=place.began if place.change else None,
        stages=tuple(_stages(facts, seen, step)),
        step=step.kind.value,
        why=facts.typed(step.sentence),
        until=step.until,
        gates=tuple(
            Gate(
                gate.name, gate.holds, capital(facts.typed(gate.sentence)), None if gate.holds else gate.until
            )
            for gate in step.conditions
        ),
        challenger=seen.version,
        lease=lease,
        only_where=canary.constraints,
        paused=seen.paused,
        quarantine=canary.quarantined,
        hold=seen.hold.refusal(100) if seen.hold else None,
        trouble=canary.trouble,
    )


def _stages(facts: Facts, seen: Situation, step: Step) -> Iterator[Stage]:
    """The plan with the place in it; a person's own share stands before the stage that follows it."""
    if facts.rollback:
        yield from _rolled_back(facts, seen, facts.rollback.before.reach)
        return
    place, passed = step.position, step.position.rules is not None
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
            yield Stage(stage.name, _past(seen, stage) if passed else "later", lasts)
    if own:
        yield own
    yield Stage("champion", "next" if place.following is None else "later", None)


def _rolled_back(facts: Facts, seen: Situation, share: int) -> Iterator[Stage]:
    """The plan after a rollback at that share: what ran, where it ended, and what was never reached."""
    own = all(stage.canary_share != share for stage in facts.plan.stages)
    for stage in facts.plan.stages:
        lasts = stage.lasts.total_seconds() or None
        if own and stage.canary_share > share:
            yield Stage(f"{share}%", "rolled back", None)
            own = False
        if stage.canary_share == share:
            yield Stage(stage.name, "rolled back", lasts)
        else:
            yield Stage(
                stage.name, "not reached" if stage.canary_share > share else _past(seen, stage), lasts
            )
    if own:
        yield Stage(f"{share}%", "rolled back", None)
    yield Stage("champion", "not reached", None)


def _past(seen: Situation, stage: Planned) -> Literal["done", "skipped"]:
    """Whether a stage before this one ran, with this version as far as its beginning is known."""
    if stage.shadow:
        enabled = seen.shadow is not None and seen.shadow.enabled and seen.shadow.percent
        return "done" if enabled or any(one.after.reach for one in seen.shadow_changes) else "skipped"
    word = last_mark(seen.changes, BEGIN, seen.version) if seen.version else None
    shares = {one.after.reach for one in seen.changes if word is None or one.at >= word.at}
    return "done" if stage.canary_share in shares else "skipped"

"""The one decision of the rollout plan: from what is known now to the next step. Pure; nothing is remembered.

refuse     a person or a rollback stands against it, or the flag needs a person; so until somebody acts
wait       conditions are not met; time, traffic, the rollback job or an approval will meet them
advance    the next stage may start
promote    the challenger has come through, or a promotion was cut off
finished   the last stage is over, and who promotes is a person
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from common.figures import moment
from flags.canary.history import held, switched_off, unmarked_rollback
from flags.canary.marks import PAUSE, refusal
from flags.rollout.condition import Condition
from flags.rollout.conditions import conditions_of
from flags.rollout.schema import WHOLE, RolloutPlan, Stage
from flags.rollout.situation import RolloutPosition, Situation, position_of


class StepKind(StrEnum):
    """What is to be done."""

    REFUSE = "refuse"
    WAIT = "wait"
    ADVANCE = "advance"
    PROMOTE = "promote"
    FINISHED = "finished"


@dataclass(frozen=True)
class Step:
    """What is to be done now, and why.

    Attributes:
        position: where the rollout stands.
        sentence: why, for people.
        to: the stage that starts, of `advance`.
        conditions: all of this stage.
    """

    kind: StepKind
    position: RolloutPosition
    sentence: str
    to: Stage | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """The conditions that it waits for."""
        return tuple(one for one in self.conditions if not one.holds)

    @property
    def until(self) -> datetime | None:
        """When the last of these is met at the pace until now; None where one of them cannot tell."""
        known = [one.until for one in self.unmet if one.until]
        return max(known) if known and len(known) == len(self.unmet) else None


def decide(plan: RolloutPlan, seen: Situation, *, override: bool = False) -> Step:
    """What the plan wants now. `override`: a person answers for a blocked version, and for holds."""
    position = position_of(plan, seen)
    if seen.models.unfinished:
        return Step(StepKind.PROMOTE, position, "a promotion was begun, and is not finished")
    conditions = conditions_of(plan, position, seen)
    unmet = [one for one in conditions if not one.holds]
    following = position.following

    def step(kind: StepKind, sentence: str, to: Stage | None = None) -> Step:
        return Step(kind, position, sentence, to, conditions)

    for refused in _refusals(position, seen, override=override):
        return step(StepKind.REFUSE, refused)
    promotes = following is None and plan.promote == "by_itself" and position.share == WHOLE
    if following is None and not promotes:
        names = ", ".join(one.name for one in unmet)
        told = f"the last stage, whose conditions are not met: {names}" if unmet else "the plan is through"
        return step(StepKind.FINISHED, f"{told}; a person promotes: `./canario rollout promote`")
    if unmet:
        told = "; ".join(f"{one.name} ({one.sentence})" for one in unmet)
        goal = following.name if following else "the promotion"
        return step(StepKind.WAIT, f"{goal} waits for {told}", following)
    if following is None:
        return step(StepKind.PROMOTE, "the challenger has come through the whole plan")
    why = "all conditions are met" if conditions else "there is nothing to wait for"
    return step(StepKind.ADVANCE, why, following)


def _refusals(position: RolloutPosition, seen: Situation, *, override: bool) -> Iterator[str]:
    """Why a person is needed, the gravest first."""
    if told := _trouble(position, seen):
        yield told
    if seen.no_challenger:
        yield "there is no challenger to give to users: `./canario models challenger FOLDER`"
    if not override:
        if refused := refusal(seen.canary.flag, seen.canary.quarantined, seen.version):
            yield str(refused)
        if change := unmarked_rollback(seen.changes):
            yield (
                f"{change.who} rolled it back at {moment(change.at)}, and its version has no mark yet: look"
                ' at the rollback job\'s log, then go on by `./canario rollout resume --reason "..."`'
            )
    if seen.paused:
        yield f'it is paused ({_pause(seen)}) until `./canario rollout resume --reason "..."`'
    if not override and (told := _hold(position, seen)):
        yield told


def _trouble(position: RolloutPosition, seen: Situation) -> str | None:
    """Why the share of a flag does not mean what it says, and who made it so."""
    canary = seen.canary
    if canary.trouble is None:
        to_shadow = position.following is not None and position.following.shadow
        return seen.shadow.trouble if to_shadow and seen.shadow else None
    by = ""
    # Programs may have written since, and it is a person's doing all the same.
    if hold := seen.hold or switched_off(seen.changes):
        by = f" ({hold.words} by {hold.who} at {moment(hold.at)})"
    elif canary.changed_by and canary.changed_at:
        by = f" ({canary.change_in_words} by {canary.changed_by} at {moment(canary.changed_at)})"
    return f"{canary.trouble}{by}"


def _pause(seen: Situation) -> str:
    for change in reversed(seen.changes):
        if change.marked and change.marked[0] == PAUSE and change.marked[1] in seen.paused:
            return f"{change.marked[1]}, {change.who} at {moment(change.at)}"
    return "; ".join(seen.paused)


def _hold(position: RolloutPosition, seen: Situation) -> str | None:
    """Why the next stage is more than a person allows; None where it is not."""
    following = position.following
    if following is None:
        return None
    if following.shadow:
        hold = held(seen.shadow_changes) or switched_off(seen.shadow_changes)
        return hold.refusal(following.shadow) if hold else None
    hold = seen.hold
    if not seen.canary.enabled:
        hold = switched_off(seen.changes) or hold
    return hold.refusal(following.canary_share) if hold else None

"""The one decision of the rollout plan: from what is known now to the next step. Pure; nothing is remembered.

refuse     a person or a rollback has spoken, or the flag needs a person; it stays so until somebody acts
wait       gates are shut; time, traffic or the rollback job opens them
advance    the next stage may begin
promote    the challenger has come through, or a promotion was cut off
finished   the last stage is over, and who promotes is a person
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from flags.event_words import TAGGED
from flags.marks import PAUSE
from flags.people import Held
from flags.quarantine import refusal
from flags.rollout.gates import Gate, gates_of
from flags.rollout.place import Place, place_of, switched_off, unmarked_rollback
from flags.rollout.schema import WHOLE, Plan, Stage
from flags.rollout.situation import Situation
from flags.snapshot import moment


class Kind(StrEnum):
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
        place: where the rollout stands.
        sentence: why, for people.
        to: the stage that begins, of `advance`.
        gates: all of this stage.
    """

    kind: Kind
    place: Place
    sentence: str
    to: Stage | None = None
    gates: tuple[Gate, ...] = ()

    @property
    def shut(self) -> tuple[Gate, ...]:
        """The gates that wait."""
        return tuple(gate for gate in self.gates if not gate.holds)

    @property
    def until(self) -> datetime | None:
        """When the last shut gate opens at the pace until now; None where one of them cannot tell."""
        known = [gate.until for gate in self.shut if gate.until]
        return max(known) if known and len(known) == len(self.shut) else None


def decide(plan: Plan, seen: Situation, *, override: bool = False) -> Step:
    """What the plan wants now. `override`: a person answers for a version in quarantine, and for holds."""
    place = place_of(plan, seen)
    if seen.models.unfinished:
        return Step(Kind.PROMOTE, place, "a promotion was begun, and is not finished")
    gates = gates_of(plan, place, seen)
    for refused in _refusals(plan, place, seen, override=override):
        return Step(Kind.REFUSE, place, refused, gates=gates)
    step = _forward(plan, place, gates)
    shut = [gate for gate in gates if not gate.holds]
    if shut and step.kind is not Kind.FINISHED:
        goal = step.to.name if step.to else "the promotion"
        told = "; ".join(f"{gate.name} ({gate.sentence})" for gate in shut)
        return Step(Kind.WAIT, place, f"{goal} waits for {told}", step.to, gates)
    return step


def _forward(plan: Plan, place: Place, gates: tuple[Gate, ...]) -> Step:
    if place.following is not None:
        why = "all gates hold" if gates else "there is nothing to wait for"
        return Step(Kind.ADVANCE, place, why, place.following, gates)
    if plan.promote == "by_itself" and place.share == WHOLE:
        return Step(Kind.PROMOTE, place, "the challenger has come through the whole plan", gates=gates)
    shut = [gate.name for gate in gates if not gate.holds]
    told = f"the last stage, whose gates are shut: {', '.join(shut)}" if shut else "the plan is through"
    return Step(
        Kind.FINISHED, place, f"{told}; a person promotes: `python -m flags rollout promote`", gates=gates
    )


Check = Callable[[Plan, Place, Situation], str | None]


def _refusals(plan: Plan, place: Place, seen: Situation, *, override: bool) -> Iterator[str]:
    """Why a person is needed, the gravest first."""
    of_challenger: tuple[Check, ...] = () if override else (_quarantine, _rolled_back)
    of_people: tuple[Check, ...] = (_paused,) if override else (_paused, _held)
    for check in (_flag, _challenger, *of_challenger, *of_people):
        if told := check(plan, place, seen):
            yield told


def _flag(_plan: Plan, place: Place, seen: Situation) -> str | None:
    canary = seen.canary
    if canary.trouble is None:
        shadow = seen.shadow
        if place.following and place.following.shadow and shadow is not None and shadow.trouble:
            return shadow.trouble
        return None
    by = ""
    # Programs may have written since, and it is a person's doing all the same.
    if hold := seen.hold or switched_off(seen.changes):
        by = f" ({hold.words} by {hold.who} at {moment(hold.at)})"
    elif canary.changed_by and canary.changed_at:
        by = f" ({canary.change_in_words} by {canary.changed_by} at {moment(canary.changed_at)})"
    return f"{canary.trouble}{by}"


def _challenger(_plan: Plan, _place: Place, seen: Situation) -> str | None:
    if seen.no_challenger:
        return "there is no challenger to give to users: `python -m flags models challenger FOLDER`"
    return None


def _quarantine(_plan: Plan, _place: Place, seen: Situation) -> str | None:
    marked = seen.canary.quarantined
    if not marked:
        return None
    refused = refusal(seen.canary.flag, marked, seen.version)
    return str(refused) if refused else None


def _rolled_back(_plan: Plan, _place: Place, seen: Situation) -> str | None:
    change = unmarked_rollback(seen.changes)
    if change is None:
        return None
    return (
        f"{change.who} rolled it back at {moment(change.at)}, and its version has no mark yet: look at the"
        ' rollback job\'s log, then go on by `python -m flags rollout resume --reason "..."`'
    )


def _paused(_plan: Plan, _place: Place, seen: Situation) -> str | None:
    if not seen.paused:
        return None
    told = "; ".join(seen.paused)
    for change in reversed(seen.changes):
        if change.type == TAGGED and change.tag and change.tag[0] == PAUSE and change.tag[1] in seen.paused:
            told = f"{change.tag[1]}, {change.who} at {moment(change.at)}"
            break
    return f'it is paused ({told}) until `python -m flags rollout resume --reason "..."`'


def _held(_plan: Plan, place: Place, seen: Situation) -> str | None:
    following = place.following
    if following is None:
        return None
    if following.shadow:
        return _refused(seen.shadow_hold or switched_off(seen.shadow_changes), following.shadow)
    if not seen.canary.enabled and (off := switched_off(seen.changes)):
        return _refused(off, following.canary_share)
    return _refused(seen.hold, following.canary_share)


def _refused(hold: Held | None, percent: int) -> str | None:
    return hold.refusal(percent) if hold else None

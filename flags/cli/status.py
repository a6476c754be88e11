"""`./canario rollout status`: where a rollout stands, as a table for people."""

from collections.abc import Iterator
from datetime import timedelta

from common.figures import moment, short
from common.terminal import print_table
from flags.canary.aftermath import UNKNOWN, Aftermath
from flags.canary.history import Change, rolled_back
from flags.canary.marks import refusal
from flags.rollout.controller import RolloutIteration
from flags.rollout.decide import Step, StepKind
from flags.rollout.report import last_changes
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import RolloutPosition, Situation


def show_status(plan: RolloutPlan, found: RolloutIteration) -> None:
    """Stage, what comes next and when, conditions, safety timeout, what is blocked, and who changed what."""
    step, seen = found.step, found.seen
    for line in status_lines(plan, step, seen):
        print(line)
    if step.conditions:
        print()
        print_table(
            ("condition", "", "waits for", "until"),
            [
                (
                    one.name,
                    "ok" if one.holds else "waits",
                    one.sentence,
                    "-" if one.holds else moment(one.until) if one.until else "not known",
                )
                for one in step.conditions
            ],
        )
    if recent := last_changes(seen):
        print()
        print_table(
            ("when", "who", "what", "users"),
            [
                (
                    moment(one.at),
                    one.who + ("" if one.is_automation else " (a person)"),
                    one.words,
                    f"{one.before.reach}% -> {one.after.reach}%"
                    if one.before.reach != one.after.reach
                    else "-",
                )
                for one in recent
            ],
        )


def status_lines(plan: RolloutPlan, step: Step, seen: Situation) -> Iterator[str]:
    """The head of the status, one fact a line."""
    position = step.position
    yield f"stage       {_stage(plan, position, seen)}"
    yield f"next        {_next(step)}"
    yield f"challenger  {seen.version or ('none' if seen.no_challenger else 'not known')}"
    yield f"lease       {_lease(seen)}"
    yield f"blocked     {_blocked(seen)}"
    if last := rolled_back(seen.changes):
        yield from _rolled_back(seen, *last)
    if seen.hold:
        yield f"hold        {seen.hold.refusal(100)}"
    if seen.paused:
        yield f"paused      {'; '.join(seen.paused)}"
    if seen.canary.constraints:
        yield f"only where  {'; '.join(seen.canary.constraints)}"
    if seen.canary.trouble:
        yield f"trouble     {seen.canary.trouble}"


def _rolled_back(seen: Situation, change: Change, why: str | None) -> Iterator[str]:
    marked = seen.canary.quarantined
    version = next((one for one in marked if one in {seen.version, UNKNOWN}), next(iter(marked), None))
    told = Aftermath(seen.canary.flag, change.at, why, version)
    unknown = "" if why else " The rollback job left no mark that says why."
    if seen.canary.exposed:  # it was tried again
        yield (
            f"rolled back {moment(change.at)}: {why}" if why else f"rolled back {moment(change.at)}.{unknown}"
        )
        return
    yield f"rolled back {told.sentence}{unknown}"
    yield f"            {told.blocked} {told.lines[2]}"


def _stage(plan: RolloutPlan, position: RolloutPosition, seen: Situation) -> str:
    names = [stage.name for stage in plan.stages]
    where = ""
    if position.rules is not None:
        where = f", {names.index(position.rules.name) + 1} of {len(names)} ({' -> '.join(names)})"
        if not position.is_planned:
            where = f", set by a person, with the conditions of {position.rules.name} ({' -> '.join(names)})"
    since = ""
    if position.change is not None:
        by = f"{position.change.words}, {position.change.who}"
        since = f", since {moment(position.began)} ({short(seen.now - position.began)} ago; {by})"
    off = "" if seen.canary.enabled else "; the flag is off"
    return f"{position.name}{where}{since}{off}"


def _next(step: Step) -> str:
    until = f"; at the earliest {moment(step.until)}" if step.until else ""
    goal = step.to.name if step.to else "promotion" if step.kind is StepKind.PROMOTE else ""
    if step.kind is StepKind.ADVANCE:
        return f"{goal}, at the next `advance`: {step.sentence}"
    if step.kind is StepKind.WAIT:
        shut = ", ".join(one.name for one in step.unmet)
        return f"{goal or 'promotion'}, which waits for {shut}{until}"
    if step.kind is StepKind.REFUSE:
        return f"nothing by itself: {step.sentence}"
    return f"{goal or 'nothing by itself'}: {step.sentence}"


def _lease(seen: Situation) -> str:
    until = seen.canary.lease_until
    if until is None:
        return "none: the share holds whether or not the rollback job runs"
    left = until - seen.now
    if left > timedelta():
        return f"safety timeout at {moment(until)}, in {short(left)}"
    return (
        f"safety timeout was at {moment(until)}: nobody gets the challenger until the rollback job renews it"
    )


def _blocked(seen: Situation) -> str:
    marked = seen.canary.quarantined
    if not marked:
        return "none"
    concerned = "this one" if refusal(seen.canary.flag, marked, seen.version) else "not this one"
    return f"{', '.join(marked)} ({concerned})"

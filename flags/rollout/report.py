"""What the commands of the rollout plan print: sentences and tables for people, fields for programs."""

from collections.abc import Iterator
from datetime import timedelta

from flags.quarantine import refusal
from flags.report import print_table
from flags.rollout.advance import Outcome
from flags.rollout.decide import Kind, Step
from flags.rollout.document import last_changes
from flags.rollout.gates import short
from flags.rollout.place import Place, rolled_back
from flags.rollout.schema import Plan
from flags.rollout.situation import Situation
from flags.snapshot import moment

HEADLINES = {
    Kind.REFUSE: "refuses",
    Kind.WAIT: "waits",
    Kind.ADVANCE: "may go on",
    Kind.PROMOTE: "promotes",
    Kind.FINISHED: "finished",
}


def sentence(outcome: Outcome) -> str:
    """What `advance` did, or why it did nothing, in one line."""
    if outcome.done:
        return outcome.done
    step = outcome.step
    until = f"; at the earliest {moment(step.until)}" if step.until else ""
    return f"{step.place.name}: {HEADLINES[step.kind]}: {step.sentence}{until}"


def show_status(plan: Plan, outcome: Outcome) -> None:
    """Stage, what comes next and when, gates, lease, quarantine, and who changed what."""
    step, seen = outcome.step, outcome.seen
    for line in status_lines(plan, step, seen):
        print(line)
    if step.gates:
        print()
        print_table(
            ("gate", "", "waits for", "until"),
            [
                (
                    gate.name,
                    "ok" if gate.holds else "shut",
                    gate.sentence,
                    "-" if gate.holds else moment(gate.until) if gate.until else "nobody can tell",
                )
                for gate in step.gates
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


def status_lines(plan: Plan, step: Step, seen: Situation) -> Iterator[str]:
    """The head of the status, one fact a line."""
    place = step.place
    yield f"stage       {_stage(plan, place, seen)}"
    yield f"next        {_next(step)}"
    yield f"challenger  {seen.version or ('none' if seen.no_challenger else 'not known')}"
    yield f"lease       {_lease(seen)}"
    yield f"quarantine  {_quarantine(seen)}"
    if last := rolled_back(seen.changes):
        yield f"rolled back {moment(last[0].at)}: {last[1] or 'the rollback job left no mark that says why'}"
    if seen.hold:
        yield f"hold        {seen.hold.refusal(100)}"
    if seen.paused:
        yield f"paused      {'; '.join(seen.paused)}"
    if seen.canary.constraints:
        yield f"only where  {'; '.join(seen.canary.constraints)}"
    if seen.canary.trouble:
        yield f"trouble     {seen.canary.trouble}"


def _stage(plan: Plan, place: Place, seen: Situation) -> str:
    names = [stage.name for stage in plan.stages]
    position = ""
    if place.rules is not None:
        position = f", {names.index(place.rules.name) + 1} of {len(names)} ({' -> '.join(names)})"
        if not place.is_planned:
            position = f", a person's own, by the rules of {place.rules.name} ({' -> '.join(names)})"
    since = ""
    if place.change is not None:
        by = f"{place.change.words}, {place.change.who}"
        since = f", since {moment(place.began)} ({short(seen.now - place.began)} ago; {by})"
    off = "" if seen.canary.enabled else "; the flag is off"
    return f"{place.name}{position}{since}{off}"


def _next(step: Step) -> str:
    until = f"; at the earliest {moment(step.until)}" if step.until else ""
    goal = step.to.name if step.to else "promotion" if step.kind is Kind.PROMOTE else ""
    if step.kind is Kind.ADVANCE:
        return f"{goal}, at the next `advance`: {step.sentence}"
    if step.kind is Kind.WAIT:
        shut = ", ".join(gate.name for gate in step.shut)
        return f"{goal or 'promotion'}, which waits for {shut}{until}"
    if step.kind is Kind.REFUSE:
        return f"nothing by itself: {step.sentence}"
    return f"{goal or 'nothing by itself'}: {step.sentence}"


def _lease(seen: Situation) -> str:
    until = seen.canary.lease_until
    if until is None:
        return "none: the share holds whether or not the rollback job runs"
    left = until - seen.now
    if left > timedelta():
        return f"{short(left)} left, until {moment(until)}"
    return f"over since {moment(until)}: nobody gets the challenger until the rollback job renews it"


def _quarantine(seen: Situation) -> str:
    marked = seen.canary.quarantined
    if not marked:
        return "none"
    concerned = "this one" if refusal(seen.canary.flag, marked, seen.version) else "not this one"
    return f"{', '.join(marked)} ({concerned})"

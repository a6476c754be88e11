"""The list of rollouts: each with what it needs, those that need a person first. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from board.answer import answer_of, guards, lease_is_over, plan_silent, stale_for
from board.document import Answer, Tone
from board.facts import Facts
from board.series import UP
from common.measured import BREACH, CANNOT_MEASURE, OK
from flags.canary.history import rolled_back
from flags.canary.marks import refusal
from flags.rollout.conditions import BEGIN
from flags.rollout.decide import Step, StepKind
from flags.rollout.situation import Situation

VERSION: Final = 1
BLIND: Final = frozenset({CANNOT_MEASURE})
APPROVALS: Final = frozenset({BEGIN, "approval"})
ORDER: Final[dict[Tone, int]] = {"bad": 0, "wait": 1, "good": 2, "plain": 3}


@dataclass(frozen=True)
class Row:
    """One rollout in the list.

    Attributes:
        page: its page, of which this is a summary.
        state: how it is, in two or three words; `needs_person` where it does not go on by itself.
        share: per cent of the users that the flag gives the challenger; 0 where it is off, None: not known.
        guards: the verdict of its guardrails, in short.
        now, next, until: the two sentences of its page; all of it where its file does not fit.
        faults: sources that do not answer, and a file that does not fit any more.
    """

    name: str
    page: str
    description: str
    flag: str
    environment: str
    state: str
    needs_person: bool
    tone: Tone
    share: int | None
    stage: str
    guards: str
    now: str
    next: str
    until: datetime | None
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """The whole list, as `/api/rollouts` answers.

    Attributes:
        answer: the page in a sentence.
        fault: why the folder of rollouts could not be read again; all else is from before.
    """

    version: int
    at: datetime
    answer: Answer
    fault: str | None
    rollouts: tuple[Row, ...]


def overview(rows: Iterable[Row], at: datetime, fault: str | None = None) -> Overview:
    """The list; what needs a person is on top, the worst first."""
    found = sorted(rows, key=lambda one: (not one.needs_person, ORDER[one.tone], one.name))
    return Overview(VERSION, at, _answer(found), fault, tuple(found))


def row(facts: Facts) -> Row:
    """A rollout whose file fits, or did."""
    answer = answer_of(facts)
    state, needs_person, tone = state_of(facts, answer)
    seen, step = facts.seen, facts.step
    faults = [told for told in (facts.unleash.fault, facts.numbers.fault, facts.decision.fault) if told]
    if facts.file_fault:
        faults.append(f"goes by what its file said before: {first(facts.file_fault)}")
    return Row(
        name=facts.name,
        page=page_of(facts.name),
        description=facts.description,
        flag=facts.flag,
        environment=facts.environment,
        state=state,
        needs_person=needs_person or facts.file_fault is not None,
        tone="bad" if facts.file_fault else tone,
        share=None if seen is None else seen.canary.percent if seen.canary.exposed else 0,
        stage=step.position.name if step else "",
        guards=verdict(facts),
        now=answer.now,
        next=answer.next,
        until=answer.until,
        faults=tuple(faults),
    )


def broken(name: str, fault: str) -> Row:
    """A rollout whose file does not fit."""
    return Row(
        name=name,
        page=page_of(name),
        description="",
        flag="",
        environment="",
        state="file does not fit",
        needs_person=True,
        tone="bad",
        share=None,
        stage="",
        guards="",
        now=f"Its file does not fit, so nothing is known of it: {first(fault)}",
        next="Mend the file: it is read again within seconds.",
        until=None,
        faults=(),
    )


def page_of(name: str) -> str:
    """Where its page is."""
    return f"/rollouts/{name}"


def first(fault: str) -> str:
    """The first of several faults, and how many there are beside it."""
    line, *others = fault.splitlines()
    return f"{line} (and {len(others)} more)" if others else line


def verdict(facts: Facts) -> str:
    """What the guardrails say, in two or three words."""
    seen = facts.seen
    if seen is None:
        return "not known"
    if facts.rollback:
        marked = rolled_back(seen.changes)
        why = facts.told_rollback.guardrail if facts.told_rollback else marked[1] if marked else None
        return f"{why.split(':')[0]} breached" if why else "breached"
    if not seen.canary.exposed:
        return "nothing to judge"
    return _judged(facts) if facts.fresh and facts.guarded else "not known"


def _judged(facts: Facts) -> str:
    binding = [one for one in facts.judged.values() if one.binding]
    for words, verdicts in (("breached", {BREACH}), ("not measured", BLIND)):
        if names := [one.name for one in binding if one.verdict in verdicts]:
            return f"{names[0] if len(names) == 1 else len(names)} {words}"
    fine = sum(one.verdict == OK for one in binding)
    if not fine:
        return "too few calls" if binding else "not judged yet"
    return "all fine" if fine == len(binding) else f"{fine} of {len(binding)} fine"


def state_of(facts: Facts, answer: Answer) -> tuple[str, bool, Tone]:
    """How it is in a few words, whether a person is needed, and how that sounds."""
    seen, step = facts.seen, facts.step
    if seen is None or step is None:
        return ("not known", True, "bad") if facts.unleash.fault else ("being asked", False, "plain")
    for state in _bad(facts, seen):
        return state, True, "bad"
    if facts.numbers.fault is None and facts.numbers.at is None:
        return "being asked", False, "plain"
    for state in _stands(facts, seen, step):
        return state, True, "wait"
    if seen.canary.exposed and step.kind is not StepKind.PROMOTE:
        return "under way", False, answer.tone
    return _calm(seen, step), False, "plain"


def _calm(seen: Situation, step: Step) -> str:
    """How it is where nothing is wrong and nobody waits."""
    if seen.no_challenger:
        return "no challenger"
    if step.kind is StepKind.PROMOTE:
        return "being promoted"
    if seen.shadow and seen.shadow.enabled and seen.shadow.percent:
        return "shadow"
    return "not begun" if seen.canary.enabled else "off"


def _bad(facts: Facts, seen: Situation) -> Iterator[str]:
    """What is wrong with it, the gravest first."""
    if facts.unleash.fault:
        yield "not known"
    if seen.canary.trouble or not seen.canary.exists:
        yield "flag needs a person"
    if facts.rollback:
        yield "rolled back"
    if facts.fresh is None and (facts.numbers.fault or facts.numbers.at):
        yield "cannot measure"
    if not seen.canary.exposed or facts.fresh is None:
        return
    binding = {one.verdict for one in facts.judged.values() if one.binding}
    if BREACH in binding:
        yield "breached"
    if lease_is_over(facts):
        yield "safety timeout over"
    if facts.fresh.of(UP) == 0 or binding & BLIND:
        yield "cannot measure"
    if guards(facts)[0] == "bad":
        yield "not guarded"
    if stale_for(facts):
        yield "old flags"


def _stands(facts: Facts, seen: Situation, step: Step) -> Iterator[str]:
    """Why it does not go on until somebody acts."""
    if step.kind is StepKind.REFUSE and not seen.no_challenger:
        if refusal(seen.canary.flag, seen.canary.quarantined, seen.version):
            yield "blocked"
        yield "paused" if seen.paused else "held"
    if plan_silent(facts, step):
        yield "plan's job silent"
    if step.unmet and all(one.name in APPROVALS for one in step.unmet):
        yield "needs approval"
    if step.kind is StepKind.FINISHED and not step.unmet:
        yield "to be promoted"


def _answer(rows: list[Row]) -> Answer:
    """How many need a person."""
    needing = [one for one in rows if one.needs_person]
    total = f"{len(rows)} rollouts" if len(rows) != 1 else "The only rollout"
    if not needing:
        told = f"None of the {total} needs a person." if len(rows) != 1 else f"{total} needs no person."
        return Answer("good", told, "", None)
    tone = min((one.tone for one in needing), key=ORDER.__getitem__)
    verb = "needs" if len(needing) == 1 else "need"
    who = f"{len(needing)} of {total}" if len(rows) != 1 else total
    return Answer(tone, f"{who} {verb} a person.", "", None)

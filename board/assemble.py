"""From what is known to what the page shows. Pure; the tests are its table."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from board.answer import answer_of, listed
from board.charts import charts_of
from board.comparison import numbers_of
from board.document import Board, Change, ChangeKind, Decision, ServedNow, Source
from board.facts import Facts
from board.guardrails import guardrails_of
from board.place import rollout_of
from board.series import OUTCOMES, VERSIONS, missing
from common.arms import OURS
from common.names import Recorded
from flags.accounts.users import ROLLBACK_USER
from flags.canary.history import Change as Changed
from flags.rollout.situation import Situation
from rollback.decisions.record import Kind, Turn
from rollback.decisions.story import tell, title

VERSION = 1
MOST_CHANGES = 30
MOST_NAMES = 2  # of guardrails in one line
FIELDS = {
    Recorded.REQUEST_RATE: "requests_per_second",
    Recorded.LATENCY_P50: "p50",
    Recorded.LATENCY_P99: "p99",
    Recorded.ERROR_RATE: "error_rate",
    Recorded.AGREEMENT_RATE: "agreement",
    Recorded.FLAG_AGE: "flags_age",
    OUTCOMES: "outcomes",
    VERSIONS: "versions",
}
"""How the document calls what may be missing."""


def assemble(facts: Facts) -> Board:
    """The whole answer."""
    seen, step = facts.seen, facts.step
    return Board(
        version=VERSION,
        at=facts.now,
        name=facts.name,
        description=facts.description,
        rollouts=facts.rollouts,
        own_service=facts.signals == OURS,
        shadow=facts.plan.shadow is not None,
        missing={FIELDS[name]: told for name, told in missing(facts.signals).items()},
        flag=facts.flag,
        environment=facts.environment,
        flag_page=facts.flag_page,
        answer=answer_of(facts),
        served=tuple(
            ServedNow(one.role.value, one.model.name, one.model.version, one.model.sha256, one.since)
            for one in facts.served
        ),
        sources=tuple(_sources(facts)),
        rollout=rollout_of(facts, seen, step) if seen and step else None,
        numbers=numbers_of(facts),
        guardrails=tuple(guardrails_of(facts)),
        changes=_changes(seen) if seen else (),
        decision=_decision(facts),
        charts=charts_of(facts),
    )


def _sources(facts: Facts) -> Iterator[Source]:
    for name, reading in (
        ("Unleash", facts.unleash),
        ("Prometheus", replace(facts.numbers, fault=facts.numbers.fault or facts.history.fault)),
        ("decisions log", facts.decision),
    ):
        ok = reading.fault is None and reading.at is not None
        yield Source(name, ok, reading.fault, reading.at)
    if facts.file_fault:
        yield Source("rollout file", False, facts.file_fault, None)


def _changes(seen: Situation) -> tuple[Change, ...]:
    """Those of both flags, the latest first."""
    of_both = [(seen.canary.flag, False, one) for one in seen.changes]
    if seen.shadow:
        of_both += [(seen.shadow.flag, True, one) for one in seen.shadow_changes]
    latest = sorted(of_both, key=lambda each: each[2].id, reverse=True)[:MOST_CHANGES]
    return tuple(
        Change(
            id=one.id,
            at=one.at,
            flag=flag,
            copies=copies,
            who=one.who,
            person=not one.is_automation,
            what=one.words,
            kind=_kind(one),
            users_before=one.before.reach,
            users_after=one.after.reach,
        )
        for flag, copies, one in latest
    )


def _kind(change: Changed) -> ChangeKind:
    if change.lowered:
        return "rollback" if change.who == ROLLBACK_USER else "lowered"
    return "raised" if change.raised else "other"


def _decision(facts: Facts) -> Decision | None:
    told = facts.decision.value
    if told is None:
        return None
    decision = told.decision
    record = decision.rollback
    return Decision(
        decision.id,
        decision.time,
        facts.told_rollback is not None,
        title(decision) if decision.kind is not Kind.VERDICT else _turned(decision.turns),
        record.guardrail if record else None,
        tuple(tell(decision, told.stop)),
    )


def _turned(turns: Sequence[Turn]) -> str:
    """Where there was no rollback, the last change of verdicts; those that went the same way at once."""
    ways: dict[tuple[str, str], list[str]] = {}
    for turn in turns:
        ways.setdefault((turn.before, turn.after), []).append(turn.guardrail)
    told = [
        f"{listed(names) if len(names) <= MOST_NAMES else f'{len(names)} guardrails'} {before} -> {after}"
        for (before, after), names in ways.items()
    ]
    return f"no rollback; the last change of a verdict: {', '.join(told)}"

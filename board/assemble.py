"""From what is known to what the page shows. Pure; the tests are its table."""

from collections.abc import Iterator
from dataclasses import replace

from board.answer import answer_of, capital
from board.charts import charts_of
from board.document import (
    Board,
    Change,
    ChangeKind,
    Decision,
    Gate,
    Lease,
    ModelNow,
    Numbers,
    Outcome,
    Rollout,
    Source,
    Stage,
)
from board.facts import Facts
from board.guardrails import guardrails_of
from common.names import Model, Recorded
from common.rate import Rate
from flags.people import Change as Changed
from flags.rollout.decide import Step
from flags.rollout.place import ROLLBACK_USER
from flags.rollout.situation import Situation
from rollback.story import tell, title

VERSION = 1
MOST_CHANGES = 30


def assemble(facts: Facts) -> Board:
    """The whole answer."""
    seen, step = facts.seen, facts.step
    return Board(
        version=VERSION,
        at=facts.now,
        flag=facts.flag,
        environment=facts.environment,
        flag_page=facts.flag_page,
        answer=answer_of(facts),
        sources=tuple(_sources(facts)),
        rollout=_rollout(facts, seen, step) if seen and step else None,
        numbers=_numbers(facts),
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


def _rollout(facts: Facts, seen: Situation, step: Step) -> Rollout:
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


def _numbers(facts: Facts) -> Numbers | None:
    fresh = facts.fresh
    if fresh is None:
        return None
    rates = [fresh.of(Recorded.REQUEST_RATE, model) or 0.0 for model in Model]
    asked = {
        Model.CHAMPION: fresh.readings.champion_requests,
        Model.CHALLENGER: fresh.readings.challenger_requests,
    }
    return Numbers(
        since=fresh.since,
        models=tuple(
            ModelNow(
                model=model.value,
                requests_per_second=fresh.of(Recorded.REQUEST_RATE, model),
                p50=fresh.of(Recorded.LATENCY_P50, model),
                p99=fresh.of(Recorded.LATENCY_P99, model),
                error_rate=fresh.of(Recorded.ERROR_RATE, model),
                requests=round(asked[model]),
            )
            for model in Model
        ),
        observed_share=100 * rates[1] / sum(rates) if sum(rates) else None,
        agreement=fresh.of(Recorded.AGREEMENT_RATE),
        outcomes=tuple(_outcomes(fresh.outcomes, {model.value: round(asked[model]) for model in Model})),
        guard_seen=fresh.readings.last_pass,
        guarded=facts.guarded,
        flags_age=fresh.of(Recorded.FLAG_AGE),
    )


def _outcomes(found: dict[tuple[str, str], float], requests: dict[str, int]) -> Iterator[Outcome]:
    for outcome in sorted({outcome for _, outcome in found}):
        for model in Model:
            asked = requests[model]
            count = min(round(found.get((model.value, outcome), 0.0)), asked)  # Prometheus extrapolates
            if asked:
                rate = Rate(count, asked)
                yield Outcome(outcome, model.value, count, asked, rate.share, *rate.interval)


def _changes(seen: Situation) -> tuple[Change, ...]:
    """Those of both flags, the latest first."""
    of_both = [(seen.canary.flag, one) for one in seen.changes]
    of_both += [(seen.shadow.flag if seen.shadow else "shadow", one) for one in seen.shadow_changes]
    latest = sorted(of_both, key=lambda each: each[1].id, reverse=True)[:MOST_CHANGES]
    return tuple(
        Change(
            id=one.id,
            at=one.at,
            flag=flag,
            who=one.who,
            person=not one.is_automation,
            what=one.words,
            kind=_kind(one),
            users_before=one.before.reach,
            users_after=one.after.reach,
        )
        for flag, one in latest
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
        title(decision),
        record.guardrail if record else None,
        tuple(tell(decision, told.stop)),
    )

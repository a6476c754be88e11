"""The guardrails in words: what each watches, and how near it is to its limit. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from board.answer import capital
from board.document import Figure, Guardrail, Judged, Scale, Tone
from board.facts import Facts
from common.figures import in_unit, short
from flags.canary.history import rolled_back
from flags.rollout.readings import BREACH, NO_DATA, OK, GuardrailReading
from rollback.guardrails.kinds.base import Guardrail as Rule
from rollback.guardrails.measured import ROLLED_BACK, Measured
from rollback.guardrails.verdict import Status

CANNOT_MEASURE = Status.CANNOT_MEASURE.value
NOT_JUDGED, NOT_KNOWN, NOT_AVAILABLE = "not judged", "not known", "not available"
BRINGS = {
    "rollback": "the challenger is rolled back",
    "pause": "the share must not be raised",
    "warn": "nothing is turned off, somebody should look",
}


def guardrails_of(facts: Facts) -> Iterator[Guardrail]:
    """Those of the file, in its order, and those that the job judges beside them."""
    known = {one.name: one for one in facts.policy.guardrails}
    lacks = {one.name for one, _ in facts.policy.missing}
    for name in (*known, *sorted(facts.judged.keys() - known.keys() - lacks)):
        rule = known.get(name)
        told = facts.judged.get(name)
        if facts.rollback:
            yield _then(facts, name, rule)
            continue
        below = rule is not None and rule.below
        action = rule.action.value if rule else ""
        verdict = told.verdict if told else _silent(facts)
        tone, words = _words(verdict, told, action, below=below, unit=unit_of(rule))
        if told and told.warm_up and told.warm_up_start:
            length = short(timedelta(seconds=told.warm_up))
            at = datetime.fromtimestamp(told.warm_up_start, UTC)
            words += f" {length} of warm-up left out, the last after the start at {at:%H:%M} UTC."
        if facts.fresh and facts.fresh.unseen and verdict in {NO_DATA, CANNOT_MEASURE}:
            words += f" {capital(facts.fresh.unseen)}."
        measured = _measured(told, rule) if told else None
        yield Guardrail(
            name=name,
            description=rule.description if rule else "",
            action=action,
            kind=rule.kind if rule else "",
            verdict=verdict,
            tone=tone,
            words=words,
            reached=reached(told, below=below),
            below=below,
            status=measured.status if measured else verdict,
            measures=rule.measures if rule else "",
            figures=_figures(measured) if measured else (),
            scale=_scale(measured) if measured else None,
        )
    yield from (_missing(rule, why) for rule, why in facts.policy.missing)


def _missing(rule: Rule, why: str) -> Guardrail:
    """One that the rollout has no signals for."""
    words = f"{capital(why)}. It judges nothing."
    return Guardrail(
        name=rule.name,
        description=rule.description,
        action=rule.action.value,
        kind=rule.kind,
        verdict=NOT_AVAILABLE,
        tone="plain",
        words=words,
        reached=None,
        below=rule.below,
        status=NOT_AVAILABLE,
        measures=rule.measures,
    )


def _then(facts: Facts, name: str, rule: Rule | None) -> Guardrail:
    """What it said when the challenger was rolled back; of the breach at least, what Unleash's mark says."""
    record, told = facts.told_rollback, facts.decision.value
    below = rule is not None and rule.below
    card = Guardrail(
        name=name,
        description=rule.description if rule else "",
        action=rule.action.value if rule else "",
        kind=rule.kind if rule else "",
        verdict=NOT_JUDGED,
        tone="plain",
        words="Not judged at the rollback.",
        reached=None,
        below=below,
        status=NOT_JUDGED,
        measures=rule.measures if rule else "",
    )
    if record is None or told is None:
        marked = rolled_back(facts.seen.changes) if facts.seen else None
        why = marked[1] if marked else None
        if why is None or why.split(":")[0] != name:
            return replace(card, words="Not judged now: nobody has the challenger.")
        words = f"Breached, and the challenger was rolled back: {why}. The decisions log has no more of it."
        return replace(card, verdict=BREACH, tone="bad", words=words, status=ROLLED_BACK)
    verdict = next((one for one in told.decision.verdicts if one.get("guardrail") == name), None)
    if verdict is None:
        return card
    status, is_reason = str(verdict.get("verdict")), record.guardrail == name
    seen = GuardrailReading(
        name,
        status,
        value=_float(verdict.get("value")),
        limit=_float(verdict.get("limit")),
        log_e=_float(verdict.get("log_e")),
        log_e_needed=_float(verdict.get("log_e_needed")),
    )
    tone: Tone = "bad" if is_reason else "wait" if status == BREACH else "plain"
    words = "Breached: the challenger was rolled back." if is_reason else f"At the rollback: {status}."
    measured = _of_record(verdict, rule)
    figures = _figures(measured)
    return replace(
        card,
        verdict=status,
        tone=tone,
        words=words,
        reached=reached(seen, below=below),
        then=Judged(told.decision.time, figures),
        status=ROLLED_BACK if is_reason else measured.status,
        figures=figures,
        scale=_scale(measured),
    )


def _measured(told: GuardrailReading, rule: Rule | None) -> Measured:
    """What the job tells of a guardrail."""
    return Measured(
        verdict=told.verdict,
        unit=unit_of(rule),
        fewer=rule is not None and fewer_is_worse(rule),
        value=told.value,
        champion=told.champion,
        low=told.low,
        high=told.high,
        limit=told.limit,
        sample=told.sample,
        window=None if told.window is None else timedelta(seconds=told.window),
        score=told.log_e,
        threshold=told.log_e_needed,
    )


def _of_record(record: Mapping[str, Any], rule: Rule | None) -> Measured:
    """What it rested on at a rollback; documents of before lack the unit."""
    found = Measured.of_record(record)
    if "unit" in record or rule is None:
        return found
    return replace(found, unit=rule.value_unit, fewer=fewer_is_worse(rule))


def fewer_is_worse(rule: Rule) -> bool:
    """Whether a value under the limit is beyond it."""
    return rule.below or rule.bad_is_wanted


def _figures(measured: Measured) -> tuple[Figure, ...]:
    return tuple(Figure(*row) for row in measured.rows())


def _scale(measured: Measured) -> Scale | None:
    """The difference on a scale that has the champion at 0; None where there is none to draw."""
    if measured.difference is None or measured.champion is None:
        return None
    limit = None if measured.limit is None else measured.limit - measured.champion
    return Scale(measured.difference, measured.low, measured.high, limit, measured.fewer)


def _float(value: object) -> float | None:
    """A finite number of a document, in which others are text."""
    return float(value) if isinstance(value, int | float) and isfinite(value) else None


def unit_of(rule: Rule | None) -> str:
    """In which a guardrail's value and limit are."""
    return rule.value_unit if rule else "number"


def reached(told: GuardrailReading | None, *, below: bool = False) -> float | None:
    """How far the evidence or the value is on its way to the limit, which is 1.

    A share that must not fall is on its way from all of them; anything else of that kind has no beginning.
    """
    if told is None:
        return None
    if told.log_e is not None and told.log_e_needed:
        return max(told.log_e / told.log_e_needed, 0.0)
    if told.value is None or not told.limit:
        return None
    if not below:
        return told.value / told.limit
    if told.limit < 1 and 0 <= told.value <= 1:
        return (1 - told.value) / (1 - told.limit)
    return None


def _silent(facts: Facts) -> str:
    if facts.fresh is None:
        return NOT_KNOWN
    exposed = facts.seen is None or facts.seen.canary.exposed
    return NOT_KNOWN if exposed and not facts.guarded else NOT_JUDGED


def _words(
    verdict: str, told: GuardrailReading | None, action: str, *, below: bool, unit: str
) -> tuple[Tone, str]:
    numbers = _numbers(told, below=below, unit=unit)
    if verdict == OK:
        return "good", f"Fine: {numbers}." if numbers else "Fine."
    if verdict == BREACH:
        brings = f"; {BRINGS[action]}" if action in BRINGS else ""
        return "wait" if action == "warn" else "bad", f"Breached: {numbers or 'beyond its limit'}{brings}."
    if verdict == NO_DATA:
        return "plain", "Too few calls yet to judge it."
    if verdict == NOT_JUDGED:
        return "plain", "Not judged now: nobody has the challenger."
    if verdict == NOT_KNOWN:
        return "bad", "Not known: nobody has judged it lately."
    return "bad", "Cannot be measured: the log of the rollback job says why."


def _numbers(told: GuardrailReading | None, *, below: bool, unit: str) -> str:
    if told is None:
        return ""
    if told.log_e is not None and told.log_e_needed:
        part = max(told.log_e / told.log_e_needed, 0.0)
        if part >= 1:
            return f"test score {told.log_e:.1f}, threshold {told.log_e_needed:.1f}"
        if part < 0.005:
            return "no evidence against the challenger"
        return f"test score at {part:.0%} of the threshold"
    if told.value is not None and told.limit is not None:
        side = "at least" if below else "at most"
        return f"{in_unit(told.value, unit)}, {side} {in_unit(told.limit, unit)} is allowed"
    return ""

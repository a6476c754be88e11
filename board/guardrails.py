"""The guardrails in words: what each watches, and how near it is to its limit. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from board.answer import capital
from board.document import Figure, Guardrail, Judged, Tone
from board.facts import Facts
from common.figures import count, in_unit, percent, seconds, short
from flags.canary.history import rolled_back
from flags.rollout.readings import BREACH, NO_DATA, OK, GuardrailReading
from rollback.guardrails.kinds.base import Guardrail as Rule
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
    )
    if record is None or told is None:
        marked = rolled_back(facts.seen.changes) if facts.seen else None
        why = marked[1] if marked else None
        if why is None or why.split(":")[0] != name:
            return replace(card, words="Not judged now: nobody has the challenger.")
        words = f"Breached, and the challenger was rolled back: {why}. The decisions log has no more of it."
        return replace(card, verdict=BREACH, tone="bad", words=words)
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
    then = Judged(told.decision.time, tuple(_figures(verdict, seen, rule)))
    return replace(
        card, verdict=status, tone=tone, words=words, reached=reached(seen, below=below), then=then
    )


def _figures(verdict: Mapping[str, Any], seen: GuardrailReading, rule: Rule | None) -> Iterator[Figure]:
    """Both rates, difference, limit and window, as they were judged."""
    evidence = verdict.get("evidence") or {}
    counts = evidence.get("counts")
    unit = unit_of(rule)
    if counts and (mine := _rate(counts, "challenger")):
        yield Figure("Challenger", mine[1])
        if theirs := _rate(counts, "champion"):
            yield Figure("Champion", theirs[1])
            yield Figure("Difference", _points(mine[0] - theirs[0]))
        if edges := evidence.get("edges"):
            slow = f"over {seconds(edges['challenger'])}"
            if edges["champion"] != edges["challenger"]:
                slow += f" of the challenger, over {seconds(edges['champion'])} of the champion"
            yield Figure("Counted", f"calls {slow}")
    elif seen.value is not None:
        yield Figure("Challenger" if unit != "times" else "Challenger to champion", in_unit(seen.value, unit))
        if (sample := _float(verdict.get("sample"))) is not None:
            yield Figure("Calls", count(sample))
        if seen.limit is not None:
            beyond = seen.value - seen.limit
            told = _points(beyond) if unit == "share" else in_unit(beyond, unit)
            yield Figure("From the limit", told if told.startswith(("+", "-")) else f"+{told}")
    if seen.limit is not None:
        yield Figure("Limit", in_unit(seen.limit, unit))
    if seen.log_e is not None and seen.log_e_needed is not None:
        highest = _float(evidence.get("log_e_highest"))
        score = max(seen.log_e, highest) if highest is not None else seen.log_e
        yield Figure("Test score", f"{score:.1f}, threshold {seen.log_e_needed:.1f}")
    if window := verdict.get("window"):
        yield Figure(
            "Window", f"the last {window}" if seen.log_e is None else f"{window}, since the stage began"
        )


def _rate(counts: Mapping[str, Any], model: str) -> tuple[float, str] | None:
    """The share of bad calls, as a number and in words."""
    total, bad = (float(sum(counts.get(f"{model}_{part}", ()))) for part in ("total", "bad"))
    return (bad / total, f"{percent(bad / total)} ({count(bad)} of {count(total)})") if total else None


def _points(difference: float) -> str:
    told = percent(abs(difference)).removesuffix("%")
    return f"{'-' if difference < 0 else '+'}{told} points"


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

"""The guardrails in words: what each watches, and how near it is to its limit. Pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from board.answer import capital
from board.document import Figure, Guardrail, Judged, Scale, Tone
from board.facts import Facts
from common.figures import short
from common.measured import BREACH, CANNOT_MEASURE, NO_DATA, OK, ROLLED_BACK, Measured
from flags.canary.history import rolled_back
from rollback.guardrails.kinds.base import Guardrail as Rule

NOT_JUDGED, NOT_YET, NOT_KNOWN, NOT_AVAILABLE = "not judged", "not judged yet", "not known", "not available"
BRINGS = {
    "rollback": "the challenger is rolled back",
    "pause": "the share must not be raised",
    "warn": "nothing is turned off, somebody should look",
}
WORDS = {
    NO_DATA: "Too few calls yet to judge it.",
    NOT_JUDGED: "Not judged now: nobody has the challenger.",
    NOT_YET: "Not judged yet: the rollback job has not come to it in this stage.",
    NOT_KNOWN: "Not known: nobody has judged it lately.",
    CANNOT_MEASURE: "Cannot be measured: the log of the rollback job says why.",
}


def guardrails_of(facts: Facts) -> Iterator[Guardrail]:
    """Those of the file, in its order, and those that the job judges beside them."""
    known = {one.name: one for one in facts.policy.guardrails}
    lacks = {one.name for one, _ in facts.policy.missing}
    for name in (*known, *sorted(facts.judged.keys() - known.keys() - lacks)):
        rule = known.get(name)
        if facts.rollback:
            yield _then(facts, name, rule)
            continue
        if (told := facts.judged.get(name)) is None:
            verdict = _silent(facts)
            yield replace(_card(name, rule, verdict), tone=_tone(verdict, ""), words=WORDS[verdict])
            continue
        told = _in_its_unit(told, rule)
        card = _filled(_card(name, rule, told.verdict), told)
        words = _words(told, card.action)
        if told.warm_up and told.warm_up_start:
            length = short(timedelta(seconds=told.warm_up))
            at = datetime.fromtimestamp(told.warm_up_start, UTC)
            words += f" {length} of warm-up left out, the last after the start at {at:%H:%M} UTC."
        if facts.fresh and facts.fresh.unseen and told.verdict in {NO_DATA, CANNOT_MEASURE}:
            words += f" {capital(facts.fresh.unseen)}."
        yield replace(card, tone=_tone(told.verdict, card.action), words=words)
    yield from (_missing(rule, why) for rule, why in facts.policy.missing)


def _card(name: str, rule: Rule | None, verdict: str) -> Guardrail:
    """One without figures and words."""
    return Guardrail(
        name=name,
        description=rule.description if rule else "",
        action=rule.action.value if rule else "",
        kind=rule.kind if rule else "",
        verdict=verdict,
        tone="plain",
        words="",
        reached=None,
        below=rule is not None and rule.below,
        status=verdict,
        measures=rule.measures if rule else "",
    )


def _in_its_unit(told: Measured, rule: Rule | None) -> Measured:
    """Records and jobs of before do not tell it."""
    if rule is None or told.unit != "number":
        return told
    return replace(told, unit=rule.value_unit, fewer=rule.below or rule.bad_is_wanted)


def _filled(card: Guardrail, measured: Measured) -> Guardrail:
    """With what was measured."""
    return replace(
        card,
        verdict=measured.verdict,
        reached=measured.reached,
        status=measured.status,
        figures=tuple(Figure(*row) for row in measured.rows()),
        scale=_scale(measured),
    )


def _missing(rule: Rule, why: str) -> Guardrail:
    """One that the rollout has no signals for."""
    return replace(_card(rule.name, rule, NOT_AVAILABLE), words=f"{capital(why)}. It judges nothing.")


def _then(facts: Facts, name: str, rule: Rule | None) -> Guardrail:
    """What it said when the challenger was rolled back; of the breach at least, what Unleash's mark says."""
    record, told = facts.told_rollback, facts.decision.value
    card = _card(name, rule, NOT_JUDGED)
    if record is None or told is None:
        marked = rolled_back(facts.seen.changes) if facts.seen else None
        why = marked[1] if marked else None
        if why is None or why.split(":")[0] != name:
            return replace(card, words=WORDS[NOT_JUDGED])
        words = f"Breached, and the challenger was rolled back: {why}. The decisions log has no more of it."
        return replace(card, verdict=BREACH, tone="bad", words=words, status=ROLLED_BACK)
    verdict = next((one for one in told.decision.verdicts if one.get("guardrail") == name), None)
    if verdict is None:
        return replace(card, words="Not judged at the rollback.")
    card = _filled(card, _in_its_unit(Measured.of_record(verdict), rule))
    card = replace(card, then=Judged(told.decision.time, card.figures))
    if record.guardrail == name:
        words = "Breached: the challenger was rolled back."
        return replace(card, tone="bad", words=words, status=ROLLED_BACK)
    tone: Tone = "wait" if card.verdict == BREACH else "plain"
    return replace(card, tone=tone, words=f"At the rollback: {card.verdict}.")


def _scale(measured: Measured) -> Scale | None:
    """The difference on a scale that has the champion at 0; None where there is none to draw."""
    if measured.difference is None or measured.champion is None:
        return None
    limit = None if measured.limit is None else measured.limit - measured.champion
    return Scale(measured.difference, measured.low, measured.high, limit, measured.fewer)


def _silent(facts: Facts) -> str:
    if facts.fresh is None:
        return NOT_KNOWN
    if facts.seen is not None and not facts.seen.canary.exposed:
        return NOT_JUDGED
    return NOT_YET if facts.guarded else NOT_KNOWN


def _tone(verdict: str, action: str) -> Tone:
    if verdict == BREACH and action == "warn":
        return "wait"
    tones: dict[str, Tone] = {OK: "good", NO_DATA: "plain", NOT_JUDGED: "plain", NOT_YET: "plain"}
    return tones.get(verdict, "bad")


def _words(told: Measured, action: str) -> str:
    if told.verdict == OK:
        return f"Fine: {told.short}." if told.short else "Fine."
    if told.verdict == BREACH:
        brings = f"; {BRINGS[action]}" if action in BRINGS else ""
        return f"Breached: {told.short or 'beyond its limit'}{brings}."
    return WORDS.get(told.verdict, WORDS[CANNOT_MEASURE])

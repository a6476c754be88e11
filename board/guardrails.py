"""The guardrails in words: what each watches, and how near it is to its limit. Pure."""

from collections.abc import Iterator

from board.document import Guardrail, Tone
from board.facts import Facts
from flags.rollout.situation import BREACH, NO_DATA, OK, Guarded
from rollback.guardrails import Direction, Sequential, Threshold

NOT_JUDGED, NOT_KNOWN = "not judged", "not known"
BRINGS = {
    "rollback": "the challenger is taken away",
    "pause": "the share must not be raised",
    "warn": "nothing is turned off, somebody should look",
}


def guardrails_of(facts: Facts) -> Iterator[Guardrail]:
    """Those of the file, in its order, and those that the job judges beside them."""
    known = {one.name: one for one in facts.policy.guardrails}
    for name in (*known, *sorted(facts.judged.keys() - known.keys())):
        rule = known.get(name)
        told = facts.judged.get(name)
        below = isinstance(rule, Threshold) and rule.direction is Direction.BELOW
        action = rule.action.value if rule else ""
        verdict = told.verdict if told else _silent(facts)
        tone, words = _words(verdict, told, action, below=below)
        yield Guardrail(
            name=name,
            description=rule.description if rule else "",
            action=action,
            kind="" if rule is None else "sequential" if isinstance(rule, Sequential) else "threshold",
            verdict=verdict,
            tone=tone,
            words=words,
            reached=reached(told, below=below),
            below=below,
        )


def reached(told: Guarded | None, *, below: bool = False) -> float | None:
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


def _words(verdict: str, told: Guarded | None, action: str, *, below: bool) -> tuple[Tone, str]:
    numbers = _numbers(told, below=below)
    if verdict == OK:
        return "good", f"Fine: {numbers}." if numbers else "Fine."
    if verdict == BREACH:
        brings = f"; {BRINGS[action]}" if action in BRINGS else ""
        return "wait" if action == "warn" else "bad", f"Breached: {numbers or 'beyond its limit'}{brings}."
    if verdict == NO_DATA:
        return "plain", "Too few calls yet to judge it."
    if verdict == NOT_JUDGED:
        return "plain", "Not judged now."
    if verdict == NOT_KNOWN:
        return "bad", "Not known: nobody has judged it lately."
    return "bad", "Cannot be measured: the log of the rollback job says why."


def _numbers(told: Guarded | None, *, below: bool) -> str:
    if told is None:
        return ""
    if told.log_e is not None and told.log_e_needed:
        part = max(told.log_e / told.log_e_needed, 0.0)
        if part >= 1:
            return f"evidence against the challenger {told.log_e:.1f}, {told.log_e_needed:.1f} is the limit"
        if part < 0.005:
            return "no evidence against the challenger"
        return f"evidence against the challenger is at {part:.0%} of the limit"
    if told.value is not None and told.limit is not None:
        return f"{told.value:.3g}, {'at least' if below else 'at most'} {told.limit:.3g} is allowed"
    return ""

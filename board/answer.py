"""The answer first: who has the challenger, whether it may, and what comes next, in two sentences. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from board.document import Answer, Tone
from board.facts import Facts
from board.series import PLAN_SEEN, UP
from common.figures import moment, short
from common.measured import BREACH, NO_DATA, OK, Measured
from common.names import Recorded
from flags.canary.aftermath import UNKNOWN, Aftermath
from flags.canary.history import rolled_back
from flags.canary.marks import refusal
from flags.rollout.conditions import BEGIN, NO_WORSE
from flags.rollout.decide import Step, StepKind
from flags.rollout.situation import Situation
from rollback.decisions.story import aftermath

PLAN_SILENT: Final = timedelta(minutes=5)  # it comes every minute
STALE_SECONDS: Final = 30  # of the flags in the service, as the alert FlagStateStale has it
JUDGES_WITHIN: Final = timedelta(minutes=1)  # of a new stage
JOB_LATE: Final = timedelta(seconds=30)  # it comes every few seconds
GATE_WORDS: Final = {
    "time": "time",
    "requests": "more requests",
    "outcomes": "more feedback",
    "samples": "more copied requests",
    "agreement": "agreement",
    "rank correlation": "scores in the champion's order",
    "rarer class": "agreement on the rarer class",
    "score shift": "scores that are spread alike",
    "failures": "fewer failures",
    "share": "the share to be as wanted",
    "lease": "a renewed safety timeout",
    "approval": "a person's approval",
    "rollback job": "the rollback job",
    "prometheus": "Prometheus",
    "challenger": "the service to serve this version",
    "shadow report": "a good shadow report",
    "excluded": "excluded users to be let in",
    "window": "a time at which stages may begin",
}


def answer_of(facts: Facts) -> Answer:
    """The two sentences, and how they sound."""
    answer = _answer(facts)
    return replace(answer, next=facts.typed(answer.next))


def _answer(facts: Facts) -> Answer:
    seen, step = facts.seen, facts.step
    if seen is None or step is None:
        told = "Unleash does not answer" if facts.unleash.fault else "Unleash is being asked"
        return Answer("bad", f"{told}: who has the challenger is not known.", "", None)
    tone, now = _as_far_as_seen(facts, *_now(facts, seen))
    if facts.unleash.fault and facts.unleash.at:
        now = (
            "Unleash does not answer: who has the challenger is not known now."
            f" At {moment(facts.unleash.at)} it was so: {now}"
        )
        return Answer("bad", now, "What comes next is not known.", None)
    if seen.canary.trouble:
        return Answer("bad", now, f"The flag needs a person: {seen.canary.trouble}.", None)
    if marked := _in_quarantine(seen, step):
        return Answer(tone, now, marked, None)
    if breached := _named([one for one in facts.judged.values() if one.binding], BREACH):
        goal = step.to.name if step.to else "the promotion"
        verb = "is" if len(breached) == 1 else "are"
        return Answer(
            tone, now, f"{capital(goal)} does not come while {listed(breached)} {verb} breached.", None
        )
    silent = plan_silent(facts, step)
    until: tuple[str, datetime | None] = (silent, None) if silent else next_of(step)
    return Answer("bad" if silent and tone == "good" else tone, now, *until)


def _as_far_as_seen(facts: Facts, tone: Tone, now: str) -> tuple[Tone, str]:
    """With what is known of the service, where that is not as the flag says."""
    if facts.fresh and facts.fresh.of(UP) == 0:
        return "bad", f"{now} Prometheus reaches no instance of the service: what users get now is not known."
    age = stale_for(facts)
    if age is None or facts.unleash.fault:
        return tone, now
    return (
        "bad",
        f"{now} The service has not heard from Unleash for {short(age)}: users have what was so then.",
    )


def plan_silent(facts: Facts, step: Step) -> str | None:
    """Where the job that carries out the plan is not at work, no time of a step holds."""
    if facts.fresh is None or step.kind not in (StepKind.WAIT, StepKind.ADVANCE, StepKind.PROMOTE):
        return None
    last = facts.fresh.of(PLAN_SEEN)
    age = facts.now - datetime.fromtimestamp(last, UTC) if last else None
    if age is not None and age <= PLAN_SILENT:
        return None
    heard = f"was last heard of {short(age)} ago" if age is not None else "is silent"
    return f"Nothing comes by itself: the plan's job {heard}."


def lease_is_over(facts: Facts) -> bool:
    """Whether everybody has the champion because nobody renewed the lease."""
    until = facts.seen.canary.lease_until if facts.seen else None
    return until is not None and until <= facts.now


def stale_for(facts: Facts) -> timedelta | None:
    """How old the flags are that the service goes by, where that is too old."""
    seconds = facts.fresh.of(Recorded.FLAG_AGE) if facts.fresh else None
    return timedelta(seconds=seconds) if seconds and seconds > STALE_SECONDS else None


def _in_quarantine(seen: Situation, step: Step) -> str | None:
    """The refusal that everybody asks about, in fewer words than the command line's."""
    refused = refusal(seen.canary.flag, seen.canary.quarantined, seen.version)
    if step.kind is not StepKind.REFUSE or refused is None or str(refused) != step.sentence:
        return None
    version = UNKNOWN if UNKNOWN in seen.canary.quarantined else seen.version
    _, blocked, ways = replace(_aftermath(seen), version=version or UNKNOWN).lines
    return f"Nothing comes by itself. {blocked} {ways}"


def _aftermath(seen: Situation) -> Aftermath:
    """Of the last rollback that Unleash knows, with the reason that its mark gives."""
    change, why = rolled_back(seen.changes) or (None, None)
    return Aftermath(seen.canary.flag, change.at if change else None, why, None)


def _now(facts: Facts, seen: Situation) -> tuple[Tone, str]:
    canary = seen.canary
    if facts.rollback:
        marked = _aftermath(seen)
        kept = facts.decision.value if facts.told_rollback else None
        if kept and not marked.why and (known := aftermath(kept.decision)):
            marked = replace(marked, why=known.why)
        return "bad", marked.sentence
    if not canary.exposed:
        return _nobody(seen)
    if canary.lease_until is not None and lease_is_over(facts):
        return "bad", (
            f"The lease ran out {short(facts.now - canary.lease_until)} ago: everybody has the champion until"
            " the rollback job renews it."
        )
    tone, told = guards(facts)
    return tone, f"{_who(seen)}; {told}."


def _who(seen: Situation) -> str:
    canary = seen.canary
    where = f" where {' and '.join(canary.constraints)}" if canary.constraints else ""
    if canary.percent is None:
        return f"Some users{where} have the challenger, and nobody can tell how many"
    if canary.percent == 100:
        return f"All users{where} have the challenger"
    return f"{canary.percent}% of the users{where} have the challenger"


def _nobody(seen: Situation) -> tuple[Tone, str]:
    everybody = "everybody has the champion"
    if not seen.canary.exists:
        return "bad", f"The flag {seen.canary.flag} is not there: {everybody}."
    if not seen.canary.enabled:
        by = (
            f", {seen.canary.changed_by} turned it off" if seen.canary.change_in_words == "turned off" else ""
        )
        return "plain", f"The flag is off{by}: {everybody}."
    shadow = seen.shadow
    if shadow and shadow.enabled and shadow.percent:
        return "plain", (
            f"Nobody has the challenger yet: it gets copies of {shadow.percent}% of the users' requests, and"
            f" {everybody}."
        )
    return "plain", f"Nobody has the challenger: {everybody}."


def guards(facts: Facts) -> tuple[Tone, str]:
    """How the guardrails find the challenger that users have, the gravest first."""
    if facts.fresh is None:
        return "bad", "how it does is not known, because Prometheus does not answer"
    last = facts.fresh.readings.last_pass
    if not facts.guarded:
        heard = f"was last heard of {short(facts.now - last)} ago" if last else "is silent"
        return "bad", f"nobody guards it: the rollback job {heard}"
    if not facts.judged:
        if facts.step and facts.now - facts.step.position.began > JUDGES_WITHIN:
            return "bad", "the rollback job has not judged it: it cannot read the flag, its log says why"
        return "wait", "the guardrails have not judged it yet"
    tone, told = _judged([*facts.judged.values()])
    if last and facts.now - last > JOB_LATE:
        return "bad" if tone == "good" else tone, f"{told}, as judged {short(facts.now - last)} ago"
    return tone, told


def _judged(told: Sequence[Measured]) -> tuple[Tone, str]:
    binding = [one for one in told if one.binding]
    breached = _named(binding, BREACH)
    blind = [one.name for one in binding if one.verdict not in (OK, BREACH, NO_DATA)]
    if breached or blind:
        names, what = (breached, "breached") if breached else (blind, "not to be measured")
        return "bad", f"{listed(names)} {'is' if len(names) == 1 else 'are'} {what}"
    warning = _named([one for one in told if not one.binding], BREACH)
    warns = f", and {listed(warning)} {'warns' if len(warning) == 1 else 'warn'}" if warning else ""
    fine = len(_named(binding, OK))
    if not fine:
        return "wait", f"the guardrails need more calls to judge it{warns}"
    tone: Tone = "wait" if warning else "good"
    if fine < len(binding):
        return tone, f"{fine} of {len(binding)} guardrails are fine, the others need more calls{warns}"
    return tone, f"all guardrails are fine{warns}"


def _named(guardrails: Sequence[Measured], verdict: str) -> list[str]:
    return [one.name for one in guardrails if one.verdict == verdict]


def next_of(step: Step) -> tuple[str, datetime | None]:
    """What comes, with `{until}` where the time belongs that stands beside it."""
    goal = step.to.name if step.to else "the promotion"
    if step.kind is StepKind.WAIT and any(gate.name == BEGIN for gate in step.unmet):
        return (
            "Nothing comes by itself until a person begins the rollout: `./canario rollout begin`.",
            None,
        )
    if step.kind is StepKind.ADVANCE:
        begins = "the shadow" if step.to and step.to.shadow else goal
        return f"{capital(begins)} may come now: all conditions are met.", None
    if step.kind is StepKind.PROMOTE:
        return f"It becomes the champion now: {step.sentence}.", None
    if step.kind in (StepKind.REFUSE, StepKind.FINISHED):
        return f"Nothing comes by itself: {step.sentence}.", None
    words = [GATE_WORDS[gate.name] for gate in step.unmet if gate.name in GATE_WORDS]
    others = [gate.name for gate in step.unmet if gate.name not in GATE_WORDS]
    if judges := [name for name in others if not name.startswith(NO_WORSE)]:
        words.append(f"a good verdict of {listed(judges)}")
    if compared := [name.removeprefix(f"{NO_WORSE}: ") for name in others if name.startswith(NO_WORSE)]:
        of = "" if compared == [NO_WORSE] else f" in {listed(compared)}"
        words.append(f"evidence that it is no worse{of}")
    known = [gate.until for gate in step.unmet if gate.until]
    if not known:
        return f"{capital(goal)} waits for {listed(words)}.", None
    fine = "if the guardrails stay fine" if step.position.share else "if the shadow stays fine"
    return f"{capital(goal)} comes {{until}} at the earliest, {fine}. It waits for {listed(words)}.", max(
        known
    )


def listed(words: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def capital(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]

"""What must hold before a challenger gets more users, each with what it waits for and until when. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from common.figures import moment, percent, short
from common.measured import BREACH, NO_DATA, OK, Measured
from flags.canary import marks
from flags.canary.history import last_mark
from flags.rollout.closeness import of_closeness, of_scores
from flags.rollout.condition import Condition
from flags.rollout.readings import Readings
from flags.rollout.schema import WHOLE, RolloutPlan, Stage
from flags.rollout.shadow_report import ShadowReport
from flags.rollout.situation import RolloutPosition, Situation
from flags.rollout.windows import Calendar

NO_WORSE: Final = "no worse"
BEGIN: Final = "begin"  # the condition that a person meets once for each version, by an approval


def conditions_of(plan: RolloutPlan, position: RolloutPosition, seen: Situation) -> tuple[Condition, ...]:
    """All of the stage, those that hold too; before the first stage only the approvals."""
    found: list[Condition] = []
    if plan.begin == "by_hand":
        found.append(_start(seen))
    if position.rules is not None:
        found += _of_stage(plan, position.rules, position, seen)
    if position.following is not None and position.following.approval:
        found.append(_approval(position, position.following, seen))
    if calendar := plan.calendar(position.following):
        found.append(_window(calendar, found, seen.now))
    return tuple(found)


def _window(calendar: Calendar, others: Sequence[Condition], now: datetime) -> Condition:
    """Of the moment at which all `others` will be met, as far as they can tell, and else of now."""
    unmet = [one.until for one in others if not one.holds]
    known = [until for until in unmet if until is not None]
    at = max([now, *known]) if len(known) == len(unmet) else now
    holds, told = calendar.judge(at)
    if at > now:
        told = f"the rest is met at the earliest on {told}" if calendar.window else told
    return Condition("window", holds, told, None if holds else calendar.opens(at))


def _start(seen: Situation) -> Condition:
    version = seen.version
    if version is None:
        told = "there is no challenger" if seen.no_challenger else "which challenger is deployed is not known"
        return Condition(BEGIN, False, f"it needs approval to start, and {told}")
    if version not in seen.begun:
        return Condition(
            BEGIN, False, f"{marks.named(version)} needs approval to start: `./canario rollout begin`"
        )
    approval = last_mark(seen.changes, marks.BEGIN, version)
    by = f" by {approval.who} at {moment(approval.at)}" if approval else ""
    return Condition(BEGIN, True, f"the start of {marks.named(version)} was approved{by}")


def _of_stage(
    plan: RolloutPlan, rules: Stage, position: RolloutPosition, seen: Situation
) -> Iterator[Condition]:
    yield _time(rules, position, seen.now)
    readings = seen.readings
    if readings.fault:
        yield Condition("prometheus", False, f"nothing can be measured: {readings.fault}")
        return
    if told := _not_its_own(seen):
        yield Condition("challenger", False, told)
        return
    if position.share == 0:
        yield from _shadow(rules, position, seen)
        return
    yield from _lease(seen)
    for name, count in (("requests", readings.challenger_requests), ("outcomes", readings.outcomes)):
        if needed := getattr(rules, name):
            yield _count(name, count, needed, position, seen.now)
    yield from _guardrails(plan, position, seen)
    if position.share == WHOLE and seen.canary.kept_out:
        yield _excluded(seen)
    if rules.share_within is not None and position.share < WHOLE:
        yield _share(rules.share_within, position, seen)
    if rules.score_shift is not None and position.share < WHOLE:
        yield _score_shift(rules.score_shift, seen)
    if plan.no_worse_than(rules):
        yield from _no_worse(position, seen)


def _excluded(seen: Situation) -> Condition:
    """A promotion has no constraints: it would give the challenger to those who were kept from it."""
    users = seen.canary.kept_out
    return Condition(
        "excluded",
        False,
        f"{', '.join(users)} would get the challenger by a promotion: let them in"
        f" (`./canario include {seen.canary.flag} {' '.join(users)}`), or promote by hand"
        " (`./canario rollout promote`)",
    )


def _no_worse(position: RolloutPosition, seen: Situation) -> Iterator[Condition]:
    """Evidence, or the word of a person who answers for the lack of it."""
    following = position.following.name if position.following else f"{WHOLE}%"
    word = last_mark(seen.changes, marks.APPROVE, f"{following} {marks.WITHOUT_EVIDENCE}")
    # At 100% it was given before that stage began.
    counts = word is not None and (position.share == WHOLE or word.at >= position.began)
    answers = f"{word.who} answers for it since {moment(word.at)}" if word and counts else None
    readings = seen.readings
    if readings.evidence_fault or not readings.evidence:
        why = readings.evidence_fault or "nothing is known of how the models compare"
        yield Condition(NO_WORSE, bool(answers), f"{why}; {answers}" if answers else why)
        return
    for one in readings.evidence:
        told = one.sentence()
        if answers and not one.holds:
            told = f"{told}; {answers}"
        elif one.takes_a_person:
            told = f"{told}: {_word_for(position)}"
        holds = one.holds or answers is not None
        yield Condition(f"{NO_WORSE}: {one.name}", holds, told, None if holds else one.until(seen.now))


def _word_for(position: RolloutPosition) -> str:
    """What a person says who answers for it."""
    if position.following is None:
        return "`./canario rollout promote`"
    return f"`./canario rollout approve {position.following.name} --without-evidence`"


def _not_its_own(seen: Situation) -> str | None:
    """Why what was counted is no evidence about the challenger that is meant; None where it is."""
    readings, version = seen.readings, seen.version
    if readings.mixed:
        return readings.mixed
    if version is not None and readings.version != version:
        served = readings.version or "none"
        return (
            f"{marks.named(version)} is to be served, and the service is seen to serve {served}: wait for it"
        )
    return None


def _time(rules: Stage, position: RolloutPosition, now: datetime) -> Condition:
    age, end = now - position.began, position.began + rules.lasts
    if now >= end:
        return Condition("time", True, f"at {position.name} for {short(age)} of {short(rules.lasts)} needed")
    return Condition("time", False, f"at {position.name} for {short(age)} of {short(rules.lasts)}", end)


def _count(name: str, count: float, needed: int, position: RolloutPosition, now: datetime) -> Condition:
    told = f"{int(count):,} {name} of {needed:,} needed"
    if count >= needed:
        return Condition(name, True, told)
    return Condition(name, False, told, _when(count, needed, position.began, now))


def _when(count: float, needed: float, began: datetime, now: datetime) -> datetime | None:
    """When the count will be there at the pace until now."""
    if count <= 0 or now <= began:
        return None
    try:
        return began + (now - began) * (needed / count)
    except OverflowError:
        return None


def _shadow(rules: Stage, position: RolloutPosition, seen: Situation) -> Iterator[Condition]:
    readings = seen.readings
    copies = readings.samples + readings.failures
    if rules.samples:
        yield _count("samples", readings.samples, rules.samples, position, seen.now)
    if rules.agreement is not None:
        name, limit = "agreement", rules.agreement
        if not readings.samples:
            yield Condition(name, False, "no request was answered by both models yet")
        else:
            agreed = readings.agreements / readings.samples
            told = f"{percent(agreed)} in {int(readings.samples):,} requests, {percent(limit)} needed"
            yield Condition(name, agreed >= limit, told)
    yield from of_closeness(rules, readings.closeness)
    if rules.failures is not None:
        failed = readings.failures / copies if copies else 0.0
        allowed = percent(rules.failures)
        told = f"no usable answer to {percent(failed)} of {int(copies):,} copies, {allowed} allowed"
        if not copies:
            told = "the challenger has not seen a copy of any request yet"
        yield Condition("failures", bool(copies) and failed <= rules.failures, told)
    if rules.shadow_report is not None:
        report = seen.shadow_report or ShadowReport(fault="it was not read")
        yield Condition("shadow report", *report.judge(rules.shadow_report, seen.version, seen.now))


def _lease(seen: Situation) -> Iterator[Condition]:
    until = seen.canary.lease_until
    if until is None:
        return
    if until > seen.now:
        left = short(until - seen.now)
        yield Condition("lease", True, f"the safety timeout is {left} away; the rollback job renews it")
        return
    yield Condition(
        "lease",
        False,
        f"the safety timeout ran out {short(seen.now - until)} ago, so nobody gets the challenger until the"
        " rollback job renews it",
    )


def _guardrails(plan: RolloutPlan, position: RolloutPosition, seen: Situation) -> Iterator[Condition]:
    silent = _silence(plan, position, seen)
    if silent:
        yield Condition("rollback job", False, silent)
        return
    known = {one.name: one for one in seen.readings.guardrails}
    for name in plan.must_judge:
        if name not in known:
            yield Condition(
                name, False, "the rollback job reports nothing on this guardrail: look at its file"
            )
    for one in seen.readings.guardrails:
        if one.binding:
            yield _guardrail(one, needed=one.name in plan.must_judge, whole=position.share == WHOLE)


def _silence(plan: RolloutPlan, position: RolloutPosition, seen: Situation) -> str | None:
    """Why the job's verdicts do not count; None where they do."""
    last = seen.readings.last_pass
    if last is None:
        return "Prometheus has no metrics of the rollback job: does it run, and is it scraped?"
    age = seen.now - last
    if age > plan.guard_silent_for:
        return f"its last iteration was {short(age)} ago, and {short(plan.guard_silent_for)} is the most"
    if seen.readings.judged_version != seen.version:
        return f"it has not judged {marks.named(seen.version)} yet"
    since = seen.readings.version_since
    if since is not None and last < since:
        return f"it has not judged {marks.named(seen.version)} since every instance serves it"
    revision = seen.canary.revision
    if seen.readings.judged is None or (revision is not None and seen.readings.judged < revision):
        return f"it has not judged this stage yet, which began {short(seen.now - position.began)} ago"
    return None


def _guardrail(one: Measured, *, needed: bool, whole: bool) -> Condition:
    numbers = f": {one.short}" if one.short else ""
    if one.verdict == OK:
        return Condition(one.name, True, f"ok{numbers}")
    if one.verdict == NO_DATA:
        if whole:
            return Condition(one.name, True, "no data: at 100% there is no champion to compare with")
        if not needed:
            return Condition(one.name, True, "no data, and the plan does not ask for it")
        return Condition(one.name, False, "no data yet: too few calls to judge it")
    if one.verdict == BREACH:
        return Condition(one.name, False, f"breached{numbers}")
    return Condition(one.name, False, f"{one.verdict}: the log of the rollback job says why")


def _share(within: float, position: RolloutPosition, seen: Situation) -> Condition:
    """Requests are no test of the flag's dice, because a busy user counts often: only a gross error shows."""
    if seen.canary.constraints or seen.canary.variants:
        return Condition(
            "share", True, f"not judged: constraints narrow it ({'; '.join(seen.canary.constraints)})"
        )
    readings: Readings = seen.readings
    total = readings.champion_requests + readings.challenger_requests
    if not total:
        return Condition("share", False, "nobody has called the service in this stage")
    found, wanted = readings.challenger_requests / total, position.share / WHOLE
    given = f"the challenger was given {percent(found)} of {int(total):,} requests"
    told = f"{given}, the flag says {position.share}%"
    return Condition("share", abs(found - wanted) <= within * wanted, told)


def _score_shift(limit: float, seen: Situation) -> Condition:
    if seen.canary.constraints:
        told = f"not judged: constraints make its users others ({'; '.join(seen.canary.constraints)})"
        return Condition("score shift", True, told)
    return of_scores(limit, seen.readings.scores)


def _approval(position: RolloutPosition, following: Stage, seen: Situation) -> Condition:
    name, stage = "approval", following.name
    approval = last_mark(seen.changes, marks.APPROVE, stage)
    if approval and approval.at >= position.began:  # one of the stage before is over
        return Condition(name, True, f"{stage} was approved by {approval.who}")
    return Condition(name, False, f"{stage} needs approval: `./canario rollout approve {stage}`")

"""What must hold before a challenger gets more users, each with what it waits for and until when. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from common.durations import format_duration
from common.figures import number, percent
from flags.quarantine import label
from flags.rollout.place import Place, approved, begun
from flags.rollout.schema import WHOLE, Plan, ShadowReportRule, Stage
from flags.rollout.shadow_report import ShadowReport
from flags.rollout.situation import BREACH, NO_DATA, OK, Guarded, Readings, Situation
from flags.snapshot import moment

BEGIN: Final = "begin"  # the gate that a person opens once for each version
SLACK = timedelta(seconds=10)  # between the clocks of this machine and of the rollback job


@dataclass(frozen=True)
class Gate:
    """One condition.

    Attributes:
        name: a word for tables and JSON.
        holds: whether it lets the rollout go on.
        sentence: why, or what it waits for.
        until: when it will hold if all goes on as until now; None where that cannot be told.
    """

    name: str
    holds: bool
    sentence: str
    until: datetime | None = None


def gates_of(plan: Plan, place: Place, seen: Situation) -> tuple[Gate, ...]:
    """All gates of the stage, those that hold too; before the first stage only those that people open."""
    found: list[Gate] = []
    if plan.begin == "by_hand":
        found.append(_begin(seen))
    if place.rules is not None:
        found += _of_stage(plan, place.rules, place, seen)
    if place.following is not None and place.following.approval:
        found.append(_approval(place, place.following, seen))
    return tuple(found)


def _begin(seen: Situation) -> Gate:
    version = seen.version
    if version is None:
        told = "there is none" if seen.no_challenger else "which one is deployed is not known"
        return Gate(BEGIN, False, f"a person's word for the challenger, and {told}")
    if version not in seen.begun:
        return Gate(BEGIN, False, f"a person's word for version {version}: `python -m flags rollout begin`")
    word = begun(seen.changes, version)
    by = f" by {word.who} at {moment(word.at)}" if word else ""
    return Gate(BEGIN, True, f"the rollout of version {version} was begun{by}")


def _of_stage(plan: Plan, rules: Stage, place: Place, seen: Situation) -> Iterator[Gate]:
    yield _time(rules, place, seen.now)
    readings = seen.readings
    if readings.fault:
        yield Gate("prometheus", False, f"nothing can be measured: {readings.fault}")
        return
    if told := _not_its_own(seen):
        yield Gate("challenger", False, told)
        return
    if place.share == 0:
        yield from _shadow(rules, place, seen)
        return
    yield from _lease(seen)
    for name, count in (("requests", readings.challenger_requests), ("outcomes", readings.outcomes)):
        if needed := getattr(rules, name):
            yield _count(name, count, needed, place, seen.now)
    yield from _guardrails(plan, place, seen)
    if rules.share_within is not None and place.share < WHOLE:
        yield _share(rules.share_within, place, seen)


def _not_its_own(seen: Situation) -> str | None:
    """Why what was counted is no evidence about the challenger that is meant; None where it is."""
    readings, version = seen.readings, seen.version
    if readings.mixed:
        return readings.mixed
    if version is not None and readings.version != version:
        served = readings.version or "none"
        return f"version {version} is to be served, and the service is seen to serve {served}: wait for it"
    return None


def _time(rules: Stage, place: Place, now: datetime) -> Gate:
    age, end = now - place.began, place.began + rules.lasts
    if now >= end:
        return Gate("time", True, f"at {place.name} for {short(age)} of {short(rules.lasts)} needed")
    return Gate("time", False, f"at {place.name} for {short(age)} of {short(rules.lasts)}", end)


def _count(name: str, count: float, needed: int, place: Place, now: datetime) -> Gate:
    told = f"{int(count):,} {name} of {needed:,} needed"
    if count >= needed:
        return Gate(name, True, told)
    return Gate(name, False, told, _when(count, needed, place.began, now))


def _when(count: float, needed: float, began: datetime, now: datetime) -> datetime | None:
    """When the count will be there at the pace until now."""
    if count <= 0 or now <= began:
        return None
    try:
        return began + (now - began) * (needed / count)
    except OverflowError:
        return None


def _shadow(rules: Stage, place: Place, seen: Situation) -> Iterator[Gate]:
    readings = seen.readings
    copies = readings.samples + readings.failures
    if rules.samples:
        yield _count("samples", readings.samples, rules.samples, place, seen.now)
    if rules.agreement is not None:
        name, limit = "agreement", rules.agreement
        if not readings.samples:
            yield Gate(name, False, "no request was answered by both models yet")
        else:
            agreed = readings.agreements / readings.samples
            told = f"both chose the same for {percent(agreed)} of {int(readings.samples):,} requests"
            yield Gate(name, agreed >= limit, f"{told}, of {percent(limit)} needed")
    if rules.failures is not None:
        failed = readings.failures / copies if copies else 0.0
        allowed = percent(rules.failures)
        told = f"no usable answer to {percent(failed)} of {int(copies):,} copies, of {allowed} allowed"
        if not copies:
            told = "the challenger has not seen a copy of any request yet"
        yield Gate("failures", bool(copies) and failed <= rules.failures, told)
    if rules.shadow_report is not None:
        yield _shadow_report(rules.shadow_report, seen)


def _shadow_report(rule: ShadowReportRule, seen: Situation) -> Gate:
    name, report = "shadow report", seen.shadow_report or ShadowReport(fault="it was not read")
    if report.fault or report.written is None:
        return Gate(name, False, report.fault or "it has no date")
    age, version = seen.now - report.written, seen.version
    if age > rule.max_age or age < -SLACK:
        told = f"made {short(age)} ago" if age > SLACK else "dated in the future"
        return Gate(
            name, False, f"{rule.file} was {told}, and {short(rule.max_age)} is the most: make it anew"
        )
    if version is None or label(report.version, version.rpartition(" ")[2]) != version:
        return Gate(name, False, f"{rule.file} is about version {report.version}, and {version} is deployed")
    if report.passed is None:
        return Gate(name, False, f"{rule.file} was made without --fail-on, so nothing was asked of it")
    if not report.passed:
        return Gate(name, False, f"{rule.file}: {'; '.join(report.breached)}")
    return Gate(name, True, f"made {short(age)} ago on {report.requests:,} requests: all its limits hold")


def _lease(seen: Situation) -> Iterator[Gate]:
    until = seen.canary.lease_until
    if until is None:
        return
    if until > seen.now:
        yield Gate("lease", True, f"users have the challenger for {short(until - seen.now)} yet")
        return
    yield Gate(
        "lease",
        False,
        f"it ran out {short(seen.now - until)} ago, so nobody gets the challenger until the rollback job"
        " vouches for it again",
    )


def _guardrails(plan: Plan, place: Place, seen: Situation) -> Iterator[Gate]:
    silent = _silence(plan, place, seen)
    if silent:
        yield Gate("rollback job", False, silent)
        return
    known = {one.name: one for one in seen.readings.guardrails}
    for name in plan.must_judge:
        if name not in known:
            yield Gate(name, False, "the rollback job tells nothing of this guardrail: look at its file")
    for one in seen.readings.guardrails:
        if one.binding:
            yield _guardrail(one, needed=one.name in plan.must_judge, whole=place.share == WHOLE)


def _silence(plan: Plan, place: Place, seen: Situation) -> str | None:
    """Why the job's verdicts do not count; None where they do."""
    last = seen.readings.last_pass
    if last is None:
        return "the rollback job tells Prometheus nothing: does it run, and is it scraped?"
    age = seen.now - last
    if age > plan.guard_silent_for:
        return f"its last pass was {short(age)} ago, and {short(plan.guard_silent_for)} is the most"
    if seen.readings.judged_version != seen.version:
        return f"it has not judged version {seen.version} yet"
    since = seen.readings.version_since
    if since is not None and last < since:
        return f"it has not judged version {seen.version} since every instance serves it"
    revision = seen.canary.revision
    if seen.readings.judged is None or (revision is not None and seen.readings.judged < revision):
        return f"it has not judged this stage yet, which began {short(seen.now - place.began)} ago"
    return None


def _guardrail(one: Guarded, *, needed: bool, whole: bool) -> Gate:
    numbers = _numbers(one)
    if one.verdict == OK:
        return Gate(one.name, True, f"ok{numbers}")
    if one.verdict == NO_DATA:
        if whole:
            return Gate(one.name, True, "no data: at 100% there is no champion to compare with")
        if not needed:
            return Gate(one.name, True, "no data, and the plan does not ask for it")
        return Gate(one.name, False, "no data yet: too few calls to judge it")
    if one.verdict == BREACH:
        return Gate(one.name, False, f"breached{numbers}")
    return Gate(one.name, False, f"{one.verdict}: the log of the rollback job says why")


def _numbers(one: Guarded) -> str:
    if one.log_e is not None and one.log_e_needed is not None:
        return f": test score {one.log_e:.1f}, threshold {one.log_e_needed:.1f}"
    if one.value is not None and one.limit is not None:
        return f": {number(one.value)}, limit {number(one.limit)}"
    return ""


def _share(within: float, place: Place, seen: Situation) -> Gate:
    """Requests are no test of the flag's dice, because a busy user counts often: only a gross error shows."""
    if seen.canary.constraints or seen.canary.variants:
        return Gate("share", True, f"not judged: conditions narrow it ({'; '.join(seen.canary.constraints)})")
    readings: Readings = seen.readings
    total = readings.champion_requests + readings.challenger_requests
    if not total:
        return Gate("share", False, "nobody has called the service in this stage")
    found, wanted = readings.challenger_requests / total, place.share / WHOLE
    given = f"the challenger was given {percent(found)} of {int(total):,} requests"
    told = f"{given}, the flag says {place.share}%"
    return Gate("share", abs(found - wanted) <= within * wanted, told)


def _approval(place: Place, following: Stage, seen: Situation) -> Gate:
    word = approved(seen.changes, following.name, place.began)
    if word:
        return Gate("approval", True, f"{following.name} was approved by {word.who}")
    return Gate(
        "approval",
        False,
        f"a person's word for {following.name}: `python -m flags rollout approve {following.name}`",
    )


def short(length: timedelta) -> str:
    """A duration for people: its two largest units."""
    seconds = max(length, timedelta()).total_seconds()
    unit = 60 if seconds >= 3600 else 1
    if seconds >= 86400:
        unit = 3600
    if seconds < 1:
        return format_duration(timedelta(seconds=round(seconds, 1)))
    return format_duration(timedelta(seconds=seconds // unit * unit))

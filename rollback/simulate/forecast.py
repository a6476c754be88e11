"""What a plan will cost and what it can see, before it begins; and how that is told. Pure, but for printing.

`users` are those of a day, taken to come evenly over it. A worst case is a challenger all of whose answers
fail from the first second of a stage on: the champion answers instead, so those users wait for nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, inf
from typing import Any, Final

from common.durations import format_duration
from common.terminal import print_table
from flags.rollout.schema import WHOLE, RolloutPlan, Stage
from rollback.guardrails.file import Policy
from rollback.simulate.detect import Sensor, Stream, seconds_to_detect, smallest

# The guardrails that the table is about, by their names.
ERRORS, SLOW_CALLS, OUTCOMES = "errors", "tail-latency", "conversion"
DAY: Final = 86_400.0
LONGEST: Final = 3650 * DAY
ACT: Final = 25.0  # seconds: a scrape of 5, a pass every 15, 2-3 until every worker has the flag
SLOW: Final = 0.01  # of the champion's calls are slower than its p99
OUTCOMES_SHARE: Final = 0.2  # of alpha, where no guardrail watches outcomes


@dataclass(frozen=True)
class ExpectedTraffic:
    """What comes in.

    Attributes:
        rate: requests a second.
        users: of a day; None where nobody said.
        errors: the champion's share of failed calls.
        outcomes: feedback a second.
        accuracy: the champion's share of right outcomes.
    """

    rate: float
    users: float | None = None
    errors: float = 0.01
    outcomes: float = 0.0
    accuracy: float = 0.9


@dataclass(frozen=True)
class Outlook:
    """What one stage will cost and what it can see.

    Attributes:
        seconds: how long it takes by its time and counts; inf where the traffic never brings those.
        waits: seconds before it, until it may begin by the plan's windows and freezes.
        requests, users: that get the challenger; users None where nobody said how many there are.
        rollback_seconds: of the worst case, until nobody gets the challenger any more; inf for never.
        worst_requests, worst_users: that meet the worst case.
        errors, slow, wrong: the smallest share of bad calls that it detects; None where it sees none.
        doubled_errors_seconds: until twice the champion's errors are detected.
        honest: what it cannot see, in a sentence; None where it sees doubled errors in time.
    """

    stage: Stage
    seconds: float
    requests: float
    users: float | None
    rollback_seconds: float
    worst_requests: float
    worst_users: float | None
    errors: float | None
    slow: float | None
    wrong: float | None
    doubled_errors_seconds: float
    honest: str | None
    waits: float = 0.0


def sensors_of(policy: Policy) -> dict[str, Sensor]:
    """What each guardrail can detect, by its name; without those that say nothing of it."""
    found = {each.name: each.sensor(policy) for each in policy.guardrails}
    return {name: sensor for name, sensor in found.items() if sensor}


def foresee(
    plan: RolloutPlan, traffic: ExpectedTraffic, policy: Policy, start: datetime | None = None
) -> tuple[Outlook, ...]:
    """Each stage in its order, from `start` on; without it nothing waits for windows and freezes."""
    found, at = [], start
    for stage in plan.stages:
        outlook = _outlook(stage, traffic, policy)
        opens = plan.calendar(stage).opens(at) if at else None
        if at and opens:
            outlook = replace(outlook, waits=(opens - at).total_seconds())
        lasts = outlook.waits + outlook.seconds
        at = at + timedelta(seconds=lasts) if at and lasts < LONGEST else None
        found.append(outlook)
    return tuple(found)


def days_to_all(outlooks: tuple[Outlook, ...]) -> float:
    """Until every user has the challenger; inf where the traffic is too small for ever."""
    before = sum(one.seconds for one in outlooks if one.stage.share != WHOLE)
    return (before + sum(one.waits for one in outlooks)) / DAY


def seconds_in_all(outlooks: tuple[Outlook, ...]) -> float:
    """Until the challenger may be the champion; inf where the traffic is too small for ever."""
    return sum(one.seconds + one.waits for one in outlooks)


def _outlook(stage: Stage, traffic: ExpectedTraffic, policy: Policy) -> Outlook:
    share = stage.canary_share / WHOLE
    seconds = _lasts(stage, traffic)
    requests = traffic.rate * share * seconds if share else 0.0
    errors = Stream(traffic.rate, share, traffic.errors)
    slow = Stream(traffic.rate, share, SLOW)
    wrong = Stream(traffic.outcomes, share, 1 - traffic.accuracy)
    sensors = sensors_of(policy)
    of_errors, of_latency = sensors.get(ERRORS), sensors.get(SLOW_CALLS)
    of_outcomes = sensors.get(OUTCOMES, Sensor(policy.alpha * OUTCOMES_SHARE))
    doubled = 2 * max(traffic.errors, (of_errors.at_least or 0.0) if of_errors else 0.0)
    seen = seconds_to_detect(of_errors, errors, min(doubled, 1.0)) if of_errors else inf
    gone = _gone(stage, errors, of_errors)
    worst = traffic.rate * share * gone if share else 0.0
    return Outlook(
        stage=stage,
        seconds=seconds,
        requests=requests,
        users=_users(traffic, share, seconds),
        rollback_seconds=gone,
        worst_requests=worst,
        worst_users=_worst_users(traffic, share, gone, worst),
        errors=smallest(of_errors, errors, seconds) if of_errors else None,
        slow=smallest(of_latency, slow, seconds) if of_latency else None,
        wrong=smallest(of_outcomes, wrong, seconds) if traffic.outcomes else None,
        doubled_errors_seconds=seen,
        honest=_honest(stage, traffic, doubled, seen, seconds),
    )


def _lasts(stage: Stage, traffic: ExpectedTraffic) -> float:
    needs = [stage.lasts.total_seconds()]
    share = (stage.share or stage.shadow or 0) / WHOLE
    for count, rate in (
        (stage.requests, traffic.rate),
        (stage.samples, traffic.rate),
        (stage.outcomes, traffic.outcomes),
    ):
        if count:
            needs.append(count / (rate * share) if rate else inf)
    return max(needs)


def _users(traffic: ExpectedTraffic, share: float, seconds: float) -> float | None:
    """The same users come every day: a stage longer than a day meets no more of them."""
    return None if traffic.users is None else traffic.users * share * min(seconds / DAY, 1.0)


def _gone(stage: Stage, errors: Stream, sensor: Sensor | None) -> float:
    if not stage.share:
        return 0.0
    if stage.share == WHOLE:  # beside no champion only fixed limits count; twenty failed calls are enough
        return ACT + 20 / errors.rate if errors.rate else inf
    return ACT + seconds_to_detect(sensor, errors, 1.0) if sensor else inf


def _worst_users(traffic: ExpectedTraffic, share: float, gone: float, requests: float) -> float | None:
    if traffic.users is None or not share:
        return None if traffic.users is None else 0.0
    return min(traffic.users * share * min(gone / DAY, 1.0), requests) if requests else 0.0


def _honest(
    stage: Stage, traffic: ExpectedTraffic, doubled: float, seen: float, seconds: float
) -> str | None:
    if not stage.share or stage.share == WHOLE or seen <= seconds:
        return None
    canary = f"a {stage.share}% canary of {traffic.rate:.3g} req/s"
    what = f"{canary} cannot see {percent(doubled / 2)} -> {percent(doubled)}"
    needs = f"it needs {length(seen)}" if seen < inf else "it never can"
    return f"{what} errors in {length(seconds)}; {needs}"


def percent(share: float) -> str:
    """A share for people, in three digits."""
    return f"{100 * share:.3g}%"


def length(seconds: float) -> str:
    """A time for people: 40s, 35m, 12h, 3.1 days."""
    if seconds == inf:
        return "never"
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.1f} days"
    unit = 3600 if seconds >= 10 * 3600 else 60 if seconds >= 600 else 1
    return format_duration(timedelta(seconds=ceil(seconds / unit) * unit))


def show(outlooks: tuple[Outlook, ...], traffic: ExpectedTraffic, policy: Policy) -> None:
    """Print it for a person."""
    rows = [_row(one, traffic) for one in outlooks]
    margin = next((one.margin for one in sensors_of(policy).values() if one.margin), 1.0)
    print_table(
        ("stage", "lasts", "requests", "users", "worst case", "errors", "slow", "wrong", "errors x2"), rows
    )
    print()
    of_users = "" if traffic.users is None else f", {traffic.users:,.0f} users a day"
    print(f"{traffic.rate:.3g} requests a second{of_users}; the champion fails {percent(traffic.errors)}.")
    print(
        "errors, slow, wrong: the smallest share of the challenger's calls that the stage finds, in four runs"
        f" of five;\nslow is beyond {margin:g} times the champion's p99 (1% of its own calls at most),"
        f" wrong is against an accuracy\nof {percent(traffic.accuracy)}. errors x2: how soon twice the"
        " champion's errors are found. Worst case: every call fails."
    )
    for one in outlooks:
        if one.honest:
            print(f"! {one.honest}")
    if not traffic.outcomes:
        print("! no feedback comes in, so no stage can see a model that answers wrongly: POST /feedback")
    if traffic.users is None:
        print("! how many users these are is not known: give --users, those of a day")
    print(
        f"{length(DAY * days_to_all(outlooks))} until all users have the challenger,"
        f" {length(seconds_in_all(outlooks))} until it may be the champion"
    )
    if waits := [one for one in outlooks if one.waits]:
        told = ", ".join(f"{length(one.waits)} before {one.stage.name}" for one in waits)
        print(f"of that, if it begins now, stages wait for the plan's windows and freezes: {told}")


def _row(one: Outlook, traffic: ExpectedTraffic) -> tuple[str, ...]:
    lasts = length(one.seconds)
    if not one.stage.share:
        return (one.stage.name, lasts, "0", "0", "-", "-", "-", "-", "-")
    worst = f"{one.worst_requests:,.0f} requests in {length(one.rollback_seconds)}"
    if one.worst_users is not None:
        users = ceil(one.worst_users)
        worst = f"{users:,} user{'s' if users != 1 else ''}, {worst}"
    users_told = "?" if one.users is None else f"{one.users:,.0f}"
    exposed = (one.stage.name, lasts, f"{one.requests:,.0f}", users_told, worst)
    if one.stage.share == WHOLE:  # beside no champion
        return (*exposed, "fixed limits only", "fixed limits only", "-", "-")
    return (
        *exposed,
        percent(one.errors) if one.errors else "none",
        percent(one.slow) if one.slow else "none",
        percent(one.wrong) if one.wrong else "none" if traffic.outcomes else "-",
        length(one.doubled_errors_seconds),
    )


def fields(outlooks: tuple[Outlook, ...], traffic: ExpectedTraffic) -> dict[str, Any]:
    """All of it as JSON; times without an end are null."""

    def finite(number: float | None) -> float | None:
        return None if number is None or number == inf else round(number, 6)

    return {
        "traffic": {
            "requests_a_second": traffic.rate,
            "users_a_day": traffic.users,
            "error_share": traffic.errors,
            "outcomes_a_second": traffic.outcomes,
            "accuracy": traffic.accuracy,
        },
        "days_to_all_users": finite(days_to_all(outlooks)),
        "days_to_promotion": finite(seconds_in_all(outlooks) / DAY),
        "stages": [
            {
                "name": one.stage.name,
                "seconds": finite(one.seconds),
                "waits_seconds": finite(one.waits),
                "requests": finite(one.requests),
                "users": finite(one.users),
                "worst_case": {
                    "rollback_seconds": finite(one.rollback_seconds),
                    "requests": finite(one.worst_requests),
                    "users": finite(one.worst_users),
                },
                "detects": {
                    "error_share": finite(one.errors),
                    "slow_share": finite(one.slow),
                    "wrong_share": finite(one.wrong),
                    "doubled_errors_seconds": finite(one.doubled_errors_seconds),
                },
                "cannot": one.honest,
            }
            for one in outlooks
        ],
    }

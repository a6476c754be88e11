"""What a plan will cost and what it can see, before it begins. Pure.

`users` are those of a day, taken to come evenly over it. A worst case is a challenger all of whose answers
fail from the first second of a stage on: the champion answers instead, so those users wait for nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from common.config import load_yaml
from common.durations import format_duration
from flags.rollout.detect import Sensor, Stream, seconds_to_detect, smallest
from flags.rollout.schema import WHOLE, Plan, Stage

GUARDRAILS: Final = Path(__file__).parents[2] / "rollback" / "guardrails.yaml"
DAY: Final = 86_400.0
ACT: Final = 25.0  # seconds: a scrape of 5, a pass every 15, 2-3 until every worker has the flag
SLOW: Final = 0.01  # of the champion's calls are slower than its p99
OUTCOMES_SHARE: Final = 0.2  # of alpha, where no guardrail watches outcomes


@dataclass(frozen=True)
class Traffic:
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


class _Guardrail(BaseModel):
    """Of a guardrail what decides how much it sees; the rollback job validates the rest."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: str
    name: str
    share_of_alpha: float = 0.0
    at_least: float | None = None
    dispersion: float = 1.0
    margin: float | None = None
    worse: str = "more"


class _Late(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    weight: float = 0.0


class Policy(BaseModel):
    """Of rollback/guardrails.yaml what decides how much it sees."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    alpha: float = 0.05
    late_start: _Late = Field(default_factory=_Late)
    guardrails: tuple[_Guardrail, ...] = ()

    def sensor(self, name: str, *, share_of_alpha: float | None = None) -> Sensor | None:
        """The sequential guardrail of this name; None where there is none."""
        found = next((one for one in self.guardrails if one.kind == "sequential" and one.name == name), None)
        if found is None:
            return None if share_of_alpha is None else Sensor(self.alpha * share_of_alpha)
        return Sensor(
            self.alpha * found.share_of_alpha, self.late_start.weight, found.at_least, found.dispersion
        )

    @property
    def margin(self) -> float:
        """How many times slower than the champion's p99 is allowed."""
        return next((one.margin for one in self.guardrails if one.margin), 1.0)


def load_policy(path: Path = GUARDRAILS) -> Policy:
    """Raises ConfigError."""
    return load_yaml(path, Policy)


@dataclass(frozen=True)
class Outlook:
    """What one stage will cost and what it can see.

    Attributes:
        seconds: how long it takes by its time and counts; inf where the traffic never brings those.
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


def foresee(plan: Plan, traffic: Traffic, policy: Policy) -> tuple[Outlook, ...]:
    """Each stage in its order."""
    return tuple(_outlook(stage, traffic, policy) for stage in plan.stages)


def days_to_all(outlooks: tuple[Outlook, ...]) -> float:
    """Until every user has the challenger; inf where the traffic is too small for ever."""
    return sum(one.seconds for one in outlooks if one.stage.share != WHOLE) / DAY


def _outlook(stage: Stage, traffic: Traffic, policy: Policy) -> Outlook:
    share = stage.canary_share / WHOLE
    seconds = _lasts(stage, traffic)
    requests = traffic.rate * share * seconds if share else 0.0
    errors = Stream(traffic.rate, share, traffic.errors)
    slow = Stream(traffic.rate, share, SLOW)
    wrong = Stream(traffic.outcomes, share, 1 - traffic.accuracy)
    of_errors, of_latency = policy.sensor("errors"), policy.sensor("tail-latency")
    of_outcomes = policy.sensor("conversion", share_of_alpha=OUTCOMES_SHARE)
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
        wrong=smallest(of_outcomes, wrong, seconds) if of_outcomes and traffic.outcomes else None,
        doubled_errors_seconds=seen,
        honest=_honest(stage, traffic, doubled, seen, seconds),
    )


def _lasts(stage: Stage, traffic: Traffic) -> float:
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


def _users(traffic: Traffic, share: float, seconds: float) -> float | None:
    """The same users come every day: a stage longer than a day meets no more of them."""
    return None if traffic.users is None else traffic.users * share * min(seconds / DAY, 1.0)


def _gone(stage: Stage, errors: Stream, sensor: Sensor | None) -> float:
    if not stage.share:
        return 0.0
    if stage.share == WHOLE:  # beside no champion only fixed limits count; twenty failed calls are enough
        return ACT + 20 / errors.rate if errors.rate else inf
    return ACT + seconds_to_detect(sensor, errors, 1.0) if sensor else inf


def _worst_users(traffic: Traffic, share: float, gone: float, requests: float) -> float | None:
    if traffic.users is None or not share:
        return None if traffic.users is None else 0.0
    return min(traffic.users * share * min(gone / DAY, 1.0), requests) if requests else 0.0


def _honest(stage: Stage, traffic: Traffic, doubled: float, seen: float, seconds: float) -> str | None:
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


def fields(outlooks: tuple[Outlook, ...], traffic: Traffic) -> dict[str, Any]:
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
        "days_to_promotion": finite(sum(one.seconds for one in outlooks) / DAY),
        "stages": [
            {
                "name": one.stage.name,
                "seconds": finite(one.seconds),
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

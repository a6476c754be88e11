"""Logs for tests, small and with known contents: records as the service writes them, and files of them."""

import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

Record = dict[str, Any]
START = datetime(2026, 11, 2, tzinfo=UTC)


@dataclass(frozen=True)
class LogPlan:
    """What the log is to hold.

    Attributes:
        users: users, each with at least one request.
        requests: mean requests of a user during the test.
        start, days: the time of the test; requests are spread over it evenly.
        days_before: time before the test in which all had the champion (for CUPED); 0: none.
        share: of users assigned to the challenger.
        baseline: probability that a champion's user has the outcome (once, after the first request); it
            varies between users by `spread` (standard deviation), the same before and during the test.
        effect: what the challenger adds to it; `segment_effects` instead, where a user is in that segment.
        segments: property of the context -> its values and their shares of the users.
        segment_effects: ("country", "NO") -> effect there.
        segment_share: ("country", "NO") -> share of the challenger there (Simpson's paradox).
        segment_baseline: ("country", "NO") -> baseline there.
        value: mean of the outcome's value (log-normal); None: outcomes without values.
        value_effect: factor of the challenger on it.
        by_user: share of the outcomes told by user and not by request id.
        late: mean time from request to outcome (exponential).
        changers: share of the users that get the other arm in the second half of the test.
        latency: seconds of champion and challenger, medians (log-normal).
        shadow: share of the champion's requests that have a pair; `shift` is added to the logit of the
            challenger's probability, `noise` is its standard deviation, `failures` the share without an
            answer, `nans` the share with a class and no probability.
        regressor: class_name and probability null, predictions are numbers.
        seed: of everything.
    """

    users: int = 200
    requests: float = 3.0
    start: datetime = START
    days: float = 7.0
    days_before: float = 0.0
    share: float = 0.5
    outcome: str = "bought"
    baseline: float = 0.2
    spread: float = 0.0
    effect: float = 0.0
    segments: Mapping[str, Mapping[str, float]] = field(
        default_factory=lambda: {
            "country": {"NO": 0.5, "SE": 0.3, "DE": 0.2},
            "plan": {"free": 0.7, "pro": 0.3},
        }
    )
    segment_effects: Mapping[tuple[str, str], float] = field(default_factory=dict)
    segment_share: Mapping[tuple[str, str], float] = field(default_factory=dict)
    segment_baseline: Mapping[tuple[str, str], float] = field(default_factory=dict)
    value: float | None = 40.0
    value_effect: float = 1.0
    by_user: float = 0.0
    late: timedelta = timedelta(hours=2)
    changers: float = 0.0
    latency: tuple[float, float] = (0.004, 0.006)
    shadow: float = 0.5
    shift: float = 0.0
    noise: float = 0.3
    failures: float = 0.0
    nans: float = 0.0
    regressor: bool = False
    seed: int = 1


def make_records(plan: LogPlan | None = None) -> list[Record]:
    """The records of `plan`, by time."""
    plan = plan or LogPlan()
    rng = np.random.default_rng(plan.seed)
    records: list[Record] = []
    for number in range(plan.users):
        records.extend(_of_user(plan, rng, number))
    return sorted(records, key=lambda record: str(record["time"]))


def _of_user(plan: LogPlan, rng: np.random.Generator, number: int) -> Iterable[Record]:
    user = f"{number:032x}"
    context = {name: str(rng.choice(list(of), p=_shares(of))) for name, of in plan.segments.items()}
    places = list(context.items())
    share = next((plan.segment_share[place] for place in places if place in plan.segment_share), plan.share)
    arm = "challenger" if rng.random() < share else "champion"
    effect = next(
        (plan.segment_effects[place] for place in places if place in plan.segment_effects), plan.effect
    )
    baseline = next(
        (plan.segment_baseline[place] for place in places if place in plan.segment_baseline), plan.baseline
    )
    inclined = baseline + plan.spread * rng.standard_normal()
    begin = plan.start - timedelta(days=plan.days_before)
    if plan.days_before:
        times = _times(rng, begin, plan.days_before, plan.requests)
        yield from _requests(plan, rng, user, context, ["champion"] * len(times), times, inclined)
    times = _times(rng, plan.start, plan.days, plan.requests)
    arms = [arm] * len(times)
    if rng.random() < plan.changers:
        half = plan.start + timedelta(days=plan.days / 2)
        arms = [other(arm) if time >= half else arm for time in times]
    chance = inclined + (effect if arms[0] == "challenger" else 0.0)
    yield from _requests(plan, rng, user, context, arms, times, chance)


def _requests(
    plan: LogPlan,
    rng: np.random.Generator,
    user: str,
    context: dict[str, str],
    arms: Sequence[str],
    times: Sequence[datetime],
    chance: float,
) -> Iterable[Record]:
    ids = []
    for arm, time in zip(arms, times, strict=True):
        record = prediction(plan, rng, user, context, arm, time)
        ids.append(record["request_id"])
        yield record
        if arm == "champion" and rng.random() < plan.shadow:
            yield pair(plan, rng, record)
    if rng.random() < min(1.0, max(0.0, chance)):
        by_user = rng.random() < plan.by_user
        value = None
        if plan.value is not None:
            factor = plan.value_effect if arms[0] == "challenger" else 1.0
            value = round(float(plan.value * factor * rng.lognormal(-0.125, 0.5)), 2)
        after = timedelta(seconds=float(rng.exponential(plan.late.total_seconds())))
        yield feedback(
            times[0] + after,
            plan.outcome,
            request_id=None if by_user else ids[0],
            user=user if by_user else None,
            value=value,
            assigned=arms[0],
        )


def prediction(
    plan: LogPlan,
    rng: np.random.Generator,
    user: str | None,
    context: Mapping[str, str],
    arm: str,
    time: datetime,
) -> Record:
    """A prediction's record."""
    probability = round(float(1 / (1 + math.exp(-rng.normal(0.5, 1.5)))), 6)
    number = round(float(rng.normal(100, 15)), 3)
    return {
        "schema": 1,
        "time": stamp(time),
        "kind": "prediction",
        "request_id": rng.bytes(16).hex(),
        "user": user,
        "context": dict(context),
        "assigned": arm,
        "model": arm,
        "reason": "flag_on" if arm == "challenger" else "flag_off",
        "model_name": f"{arm}-model",
        "model_version": "1.0.0",
        "prediction": number if plan.regressor else int(probability > 0.5),
        "class_name": None if plan.regressor else ("yes" if probability > 0.5 else "no"),
        "probability": None if plan.regressor else probability,
        "seconds": _latency(plan, rng, arm),
    }


def pair(plan: LogPlan, rng: np.random.Generator, record: Record) -> Record:
    """The shadow record of the prediction `record`, some tens of milliseconds later."""
    names = ("class_name", "prediction", "probability", "seconds")
    challenger: Record = dict.fromkeys(names)
    agree, error = None, None
    if rng.random() < plan.failures:
        error = str(rng.choice(["timeout", "exception"]))
    else:
        challenger["seconds"] = _latency(plan, rng, "challenger")
        if plan.regressor:
            challenger["prediction"] = round(
                record["prediction"] + float(rng.normal(plan.shift, plan.noise)), 3
            )
            agree = challenger["prediction"] == record["prediction"]
        else:
            logit = math.log(record["probability"] / (1 - record["probability"]))
            probability = round(1 / (1 + math.exp(-logit - float(rng.normal(plan.shift, plan.noise)))), 6)
            challenger["prediction"] = int(probability > 0.5)
            challenger["class_name"] = "yes" if probability > 0.5 else "no"
            challenger["probability"] = None if rng.random() < plan.nans else probability
            agree = challenger["class_name"] == record["class_name"]
    return {
        "schema": 1,
        "time": stamp(datetime.fromisoformat(record["time"]) + timedelta(milliseconds=40)),
        "kind": "shadow",
        "request_id": record["request_id"],
        "user": record["user"],
        "context": record["context"],
        "champion": {"name": record["model_name"], "version": record["model_version"]}
        | {name: record[name] for name in names},
        "challenger": {"name": "challenger-model", "version": "1.0.0"} | challenger,
        "agree": agree,
        "error": error,
    }


def feedback(
    time: datetime,
    outcome: str,
    *,
    request_id: str | None = None,
    user: str | None = None,
    value: float | None = None,
    assigned: str | None = None,
) -> Record:
    """A feedback's record."""
    return {
        "schema": 1,
        "time": stamp(time),
        "kind": "feedback",
        "request_id": request_id,
        "user": user,
        "outcome": outcome,
        "value": value,
        "known": assigned is not None,
        "assigned": assigned,
    }


def write_log(
    folder: Path,
    records: Sequence[Record],
    *,
    files: int = 1,
    packed: bool = False,
    bad: Sequence[bytes] = (),
) -> Path:
    """Write `records` to `files` files in `folder`, packed or not; `bad` are lines 2... of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        lines = [line(record) for record in records[number::files]]
        if number == 0:
            lines[1:1] = bad
        data = b"".join(text + b"\n" for text in lines)
        path = folder / f"predictions-{number:03d}.jsonl{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(data) if packed else data)
    return folder


def line(record: Record) -> bytes:
    """The record as the service writes it, without the line break."""
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def other(arm: str) -> str:
    """The other arm."""
    return "champion" if arm == "challenger" else "challenger"


def stamp(time: datetime) -> str:
    """As the service writes times."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _times(rng: np.random.Generator, begin: datetime, days: float, mean: float) -> list[datetime]:
    count = 1 + int(rng.poisson(max(0.0, mean - 1)))
    return sorted(begin + timedelta(days=float(day)) for day in rng.uniform(0, days, count))


def _latency(plan: LogPlan, rng: np.random.Generator, arm: str) -> float:
    median = plan.latency[0] if arm == "champion" else plan.latency[1]
    return round(float(median * rng.lognormal(0, 0.4)), 6)


def _shares(of: Mapping[str, float]) -> list[float]:
    total = sum(of.values())
    return [share / total for share in of.values()]

"""Was the rollback as it must be? From what was measured; and why the job rolled back, from its own log."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.names import Model
from drills.load import Sample

ALLOWED_DELAY_SECONDS = 0.25  # by which a user outside the canary may be slower than before, at most


@dataclass(frozen=True)
class Outsiders:
    """What users outside the canary got, before and since the fault.

    Attributes:
        users: how many of them there are.
        requests: how many requests they sent since the fault.
        failed: how many of these brought no prediction.
        median_before, p99_before: of their requests in the healthy canary, seconds.
        p99, slowest: of their requests since the fault, seconds.
    """

    users: int
    requests: int
    failed: int
    median_before: float
    p99_before: float
    p99: float
    slowest: float

    @property
    def delay(self) -> float:
        """By how much the slowest request since the fault exceeds what 99% of them took before, seconds.

        Not the median: on a busy machine single requests are slow with or without a fault.
        """
        return self.slowest - self.p99_before


@dataclass(frozen=True)
class Measured:
    """What a drill measured; all times in seconds since the fault, None for what did not come to pass.

    Attributes:
        seconds_to_off: until Unleash said that the flag is off.
        turned_off_by: user who did it, by Unleash's event log.
        seconds_to_first_failure: until the first user whom the challenger failed.
        seconds_to_last_challenger: until the last request that was given to the challenger.
        given_after: requests given to the challenger when everybody should have the champion again.
    """

    seconds_to_off: float | None
    turned_off_by: str | None
    seconds_to_first_failure: float | None
    seconds_to_last_challenger: float | None
    given_after: int
    outsiders: Outsiders


@dataclass(frozen=True)
class Outcome:
    """Verdict of a drill: passed when `faults` is empty."""

    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.faults


def outsiders(canary: Iterable[Sample], since_fault: Iterable[Sample]) -> Outsiders:
    """Compare users who were never assigned the challenger in the healthy canary with themselves later.

    Raises:
        ValueError: one of the two phases has no request of theirs.
    """
    healthy = list(canary)
    inside = {sample.user for sample in healthy if sample.assigned == Model.CHALLENGER}
    outside = {sample.user for sample in healthy} - inside
    before = [sample.seconds for sample in healthy if sample.user in outside]
    later = [sample for sample in since_fault if sample.user in outside]
    if not before or not later:
        raise ValueError("no user outside the canary sent a request in both phases")
    seconds = [sample.seconds for sample in later]
    return Outsiders(
        users=len(outside),
        requests=len(later),
        failed=sum(sample.failed for sample in later),
        median_before=median(before),
        p99_before=p99(before),
        p99=p99(seconds),
        slowest=max(seconds),
    )


def p99(seconds: Sequence[float]) -> float:
    """The 99th percentile of one or more durations."""
    return quantiles(seconds, n=100, method="inclusive")[98] if len(seconds) > 1 else seconds[0]


def judge(measured: Measured, *, limit_seconds: float, job: str) -> Outcome:
    """What is wrong with a drill, in sentences; `job` is the user who should have turned the flag off."""
    faults = []
    if measured.seconds_to_off is None or measured.seconds_to_off > limit_seconds:
        faults.append(f"the flag was not off within {limit_seconds:.0f} s of the fault")
    elif measured.turned_off_by != job:
        faults.append(f"the flag was turned off by {measured.turned_off_by}, not by {job}")
    if measured.seconds_to_off is not None and measured.given_after:
        faults.append(f"{measured.given_after} requests were given to the challenger after the flag was off")
    if measured.seconds_to_first_failure is None:
        faults.append("no user met the fault: the drill proved nothing")
    seen = measured.outsiders
    if seen.failed:
        faults.append(f"{seen.failed} of {seen.requests} requests of users outside the canary failed")
    if seen.delay > ALLOWED_DELAY_SECONDS:
        faults.append(
            f"a request of a user outside the canary took {seen.slowest * 1000:.0f} ms, "
            f"{seen.delay * 1000:.0f} ms more than before (allowed: {ALLOWED_DELAY_SECONDS * 1000:.0f} ms)"
        )
    return Outcome(tuple(faults))


def tally(samples: Iterable[Sample]) -> Counter[tuple[str, str]]:
    """Requests by the model that answered and by outcome: `ok`, `fallback_...`, `HTTP 500`, `no answer`."""
    counts: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        if sample.status is None:
            counts["nobody", "no answer"] += 1
        elif sample.failed:
            counts["nobody", f"HTTP {sample.status}"] += 1
        else:
            counts[sample.model or "?", str(sample.reason) if sample.fell_back else "ok"] += 1
    return counts


class Evidence(BaseModel):
    """A verified rollback as the job logged it, in a JSON line; value and limit in the guardrail's unit."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    guardrail: str
    value: float | str | None
    limit: float | None
    sample: float | str | None
    sentence: str
    verified: Literal[True]


def reasons(log: Path, since: int) -> list[Evidence]:
    """The rollbacks logged after byte `since` of `log`, first one first; other lines are passed over."""
    found = []
    with log.open("rb") as file:
        file.seek(since if log.stat().st_size >= since else 0)  # a rotated log begins anew
        for line in file:
            try:
                found.append(Evidence.model_validate_json(line))
            except ValidationError:
                continue
    return found

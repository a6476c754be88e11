"""The acceptance scenario: champion -> canary -> the challenger becomes slow -> rolled back -> champion."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import requests

from common.names import Model
from drills.judge import Evidence, Measured, Outcome, judge, outsiders, reasons
from drills.load import Load, Sample
from drills.target import SETTLE_SECONDS, Target
from flags.canary.share import read_state
from flags.canary.state import CanaryState
from flags.unleash.errors import AdminError

CHAMPION_SECONDS = 8.0
CANARY_LEAST_SECONDS = 15.0
CANARY_MOST_SECONDS = 240.0
AFTER_SECONDS = 8.0
PATIENCE_SECONDS = 30.0  # beyond the limit, to tell late from never
POLL_SECONDS = 0.25
COUNT_EVERY_SECONDS = 5.0

Say = Callable[[float | None, str], None]  # seconds since the fault, if there is one yet, and a sentence


@dataclass(frozen=True)
class Phase:
    """A stretch of a drill, in seconds on the monotonic clock."""

    name: str
    begin: float
    end: float

    def of(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those that were due in this phase."""
        return [sample for sample in samples if self.begin <= sample.due < self.end]


@dataclass
class Timeline:
    """Phases one after the other; a new one ends the one before."""

    _starts: list[tuple[str, float]] = field(default_factory=list)

    def enter(self, name: str) -> float:
        """Begin the phase `name` now; its beginning."""
        self._starts.append((name, time.monotonic()))
        return self._starts[-1][1]

    def phases(self) -> list[Phase]:
        """All phases; the last one has not ended."""
        ends = [begin for _, begin in self._starts[1:]] + [float("inf")]
        return [Phase(name, begin, end) for (name, begin), end in zip(self._starts, ends, strict=True)]

    def phase(self, name: str) -> Phase:
        """The first phase of that name.

        Raises:
            KeyError: there is none.
        """
        for phase in self.phases():
            if phase.name == name:
                return phase
        raise KeyError(name)


@dataclass(frozen=True)
class Plan:
    """What to do.

    Attributes:
        percent: share of the canary.
        rate: requests a second.
        users: number of different users.
        sleep_seconds: the fault.
        limit_seconds: from the fault until the flag must be off.
        warm_calls: answers of the challenger before the fault, so that guardrails have their sample.
    """

    percent: int = 25
    rate: float = 50.0
    users: int = 400
    sleep_seconds: float = 0.5
    limit_seconds: float = 60.0
    warm_calls: int = 120


@dataclass(frozen=True)
class Result:
    """What happened; `state` is the flag's at the end, `evidence` what the job says of its rollbacks."""

    plan: Plan
    phases: tuple[Phase, ...]
    samples: tuple[Sample, ...]
    measured: Measured
    state: CanaryState
    evidence: tuple[Evidence, ...]
    outcome: Outcome


class Scenario:
    """One run of `plan` on `target`, told to `say` as it goes; `set_share` gives the canary its share."""

    def __init__(self, target: Target, plan: Plan, say: Say, set_share: Callable[[int], object]) -> None:
        self._target, self._plan, self._say, self._set_share = target, plan, say, set_share
        self._timeline = Timeline()

    def run(self, rows: Sequence[Sequence[float]]) -> Result:
        """Carry it out with `rows` of features. The flag is left as the job left it, the fault switched off.

        Raises:
            AdminError, FlagError: the canary cannot be begun.
            RequestException: the service is not there.
        """
        target, plan = self._target, self._plan
        requests.get(f"{target.service}/readyz", timeout=5).raise_for_status()
        target.switch_fault_off()
        log_begin = target.job_log.stat().st_size
        users = [f"drill-{number}" for number in range(plan.users)]
        self._share(0)
        with Load(target.service, rows, users, plan.rate) as load:
            try:
                self._timeline.enter("champion only")
                time.sleep(CHAMPION_SECONDS)
                self._timeline.enter("share changes")
                self._share(plan.percent)
                self._warm_up(load, self._timeline.enter("canary"))
                target.switch_fault_on("sleep", plan.sleep_seconds)
                fault = self._timeline.enter("fault")
                self._say(0.0, f"FAULT: each call of the challenger now sleeps {plan.sleep_seconds:g} s")
                off = self._wait_until_off(load, fault)
                time.sleep(SETTLE_SECONDS)
                self._timeline.enter("champion again")
                time.sleep(AFTER_SECONDS)
            finally:
                target.switch_fault_off()
        evidence = tuple(reasons(target.job_log, log_begin))
        return self._conclude(load.samples, fault, off, evidence)

    def _share(self, percent: int) -> None:
        self._say(None, f"the challenger's share is set to {percent}%")
        self._set_share(percent)
        time.sleep(SETTLE_SECONDS)

    def _warm_up(self, load: Load, since: float) -> None:
        """Let the canary run until every user was seen and the challenger answered often enough."""
        least = since + max(CANARY_LEAST_SECONDS, self._plan.users / self._plan.rate + 1)
        told = since
        while (now := time.monotonic()) < since + CANARY_MOST_SECONDS:
            calls = sum(each.model == Model.CHALLENGER and each.due >= since for each in load.samples)
            if now >= least and calls >= self._plan.warm_calls:
                return
            if now - told >= COUNT_EVERY_SECONDS:
                told = now
                self._say(
                    None,
                    f"the challenger gave {calls} answers; the fault comes after {self._plan.warm_calls}",
                )
            time.sleep(POLL_SECONDS)

    def _wait_until_off(self, load: Load, fault: float) -> float | None:
        """Seconds from the fault until Unleash says that the flag is off; None if it does not."""
        told_failure, told_count = False, 0.0
        while (since := time.monotonic() - fault) < self._plan.limit_seconds + PATIENCE_SECONDS:
            failed = [each for each in load.samples if each.due >= fault and each.fell_back]
            if failed and not told_failure:
                told_failure = True
                self._say(
                    failed[0].due - fault,
                    f"the challenger fails a user ({failed[0].reason}): the champion answers",
                )
            if since - told_count >= COUNT_EVERY_SECONDS:
                told_count = since
                self._say(
                    since, f"{len(failed)} requests got the champion's answer instead of the challenger's"
                )
            try:
                state = read_state(self._target.admin, self._target.flag)
            except AdminError as error:
                self._say(since, f"Unleash could not be asked: {error}")
            else:
                if not state.enabled:
                    since = time.monotonic() - fault
                    self._say(since, f"the flag is OFF: {state.change} by {state.changed_by}")
                    return since
            time.sleep(POLL_SECONDS)
        return None

    def _conclude(
        self, samples: Sequence[Sample], fault: float, off: float | None, evidence: tuple[Evidence, ...]
    ) -> Result:
        state = read_state(self._target.admin, self._target.flag)
        since_fault = [each for each in samples if each.due >= fault]
        given = [each.due - fault for each in since_fault if each.assigned == Model.CHALLENGER]
        measured = Measured(
            seconds_to_off=off,
            turned_off_by=state.changed_by,
            seconds_to_first_failure=min(
                (each.due - fault for each in since_fault if each.fell_back), default=None
            ),
            seconds_to_last_challenger=max(given, default=None),
            given_after=sum(
                each.assigned == Model.CHALLENGER
                for each in self._timeline.phase("champion again").of(samples)
            ),
            outsiders=outsiders(self._timeline.phase("canary").of(samples), since_fault),
        )
        if measured.seconds_to_last_challenger is not None:
            self._say(
                measured.seconds_to_last_challenger, "the last request that was given to the challenger"
            )
        outcome = judge(measured, limit_seconds=self._plan.limit_seconds, job=self._target.job)
        return Result(
            self._plan, tuple(self._timeline.phases()), tuple(samples), measured, state, evidence, outcome
        )

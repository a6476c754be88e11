"""What the job tells of itself, on a registry of each test, and once over its port."""

import math
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common.every_rollout import broken_gauge
from common.names import JobMetric
from rollback.actions.stop import Off, Stop, StopState
from rollback.actions.turn_off import Rollback
from rollback.guardrails.verdict import Status
from rollback.guardrails.warm_up import LeftOut
from rollback.iteration import Iteration
from rollback.metrics import JobMetrics
from tests.unit.rollback.conftest import NOW, STATE, make_policy

VERDICT = replace(
    make_policy().guardrails[0].unjudged(Status.BREACH, "too slow"),
    value=0.3,
    log_e=7.5,
    log_e_needed=4.1,
    breached_at=NOW,
)
JUDGED = replace(STATE, revision=17)
DONE = Iteration(JUDGED, None, False, 0.2, verdicts=(VERDICT,))
OFF_AT = NOW + timedelta(seconds=3)
ROLLBACK = Rollback("slow", None, 0.5, NOW + timedelta(seconds=2), replace(STATE, changed_at=OFF_AT))


class Job:
    """Metrics and what they say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = JobMetrics(
            self.registry,
            cannot_measure_for=timedelta(minutes=5),
            renewed_below=timedelta(minutes=10),
            guardrails=["slow"],
            channels=["1-slack", "2-json"],
        )

    def value(self, name: JobMetric, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def stop(state: StopState) -> Stop:
    seen = OFF_AT + timedelta(seconds=17)
    stopped = seen if state is StopState.VERIFIED else None
    return Stop(state, Off(OFF_AT), timedelta(minutes=1), seen, "", (), stopped)


def test_every_metric_exists_under_its_name() -> None:
    registry = Job().registry
    broken_gauge(JobMetric.ROLLOUT_BROKEN, registry)  # of the process, for all its rollouts
    text = generate_latest(registry).decode()
    for name in JobMetric:
        assert f"# TYPE {name} " in text or f"# TYPE {name.removesuffix('_total')} " in text


def test_an_iteration_with_its_verdicts() -> None:
    job = Job()
    job.metrics.after_iteration(DONE)
    assert job.value(JobMetric.PASSES, outcome="fine") is None
    verdicts = {
        status: job.value(JobMetric.VERDICT, guardrail="slow", verdict=status.value) for status in Status
    }
    assert [status for status, value in verdicts.items() if value] == [Status.BREACH]
    assert job.value(JobMetric.LOG_E, guardrail="slow") == 7.5
    assert job.value(JobMetric.LOG_E_LIMIT, guardrail="slow") == 4.1
    assert job.value(JobMetric.VALUE, guardrail="slow") == 0.3
    assert job.value(JobMetric.LIMIT, guardrail="slow") == 0.2
    assert job.value(JobMetric.GUARDRAIL, guardrail="slow", unit=VERDICT.unit, limit_is="most") == 1
    assert job.value(JobMetric.BINDING, guardrail="slow") == 1
    assert job.value(JobMetric.JUDGED) == 17
    job.metrics.after_iteration(Iteration(replace(STATE, enabled=False), None, False, 0.2))
    assert job.value(JobMetric.LOG_E, guardrail="slow") is None, "nothing was judged"
    assert job.value(JobMetric.PASSES, outcome="not exposed") == 1


def test_a_warm_up_is_told_for_as_long_as_it_is_left_out() -> None:
    job = Job()
    warm = replace(VERDICT, left_out=LeftOut(135, 1, NOW))
    job.metrics.after_iteration(replace(DONE, verdicts=(warm,)))
    assert job.value(JobMetric.WARM_UP, guardrail="slow") == 135
    assert job.value(JobMetric.WARM_UP_START, guardrail="slow") == NOW.timestamp()
    job.metrics.after_iteration(DONE)
    assert job.value(JobMetric.WARM_UP, guardrail="slow") is None
    assert job.value(JobMetric.WARM_UP_START, guardrail="slow") is None


def test_an_iteration_that_could_not_measure_moves_one_clock_and_not_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = Job()
    job.metrics.after_iteration(DONE)
    measured = job.value(JobMetric.LAST_MEASURED)
    assert measured is not None
    moment = time.monotonic()
    monkeypatch.setattr("rollback.metrics.time.time", lambda: measured + 100)
    monkeypatch.setattr("rollback.metrics.time.monotonic", lambda: moment + 100)
    job.metrics.after_iteration(replace(DONE, flag_error="no Unleash"))
    assert job.value(JobMetric.LAST_MEASURED) == measured
    assert job.value(JobMetric.LAST) == measured + 100
    assert job.value(JobMetric.LAST_MEASURED_AGO) == pytest.approx(100, abs=1)
    assert job.value(JobMetric.LAST_AGO) == 0
    assert job.value(JobMetric.BLIND_LIMIT) == 300


def test_an_age_goes_on_where_the_wall_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job()
    job.metrics.after_iteration(DONE)
    moment, unix_time = time.monotonic(), time.time()
    monkeypatch.setattr("rollback.metrics.time.time", lambda: unix_time - 3600)
    monkeypatch.setattr("rollback.metrics.time.monotonic", lambda: moment + 70)
    assert job.value(JobMetric.LAST_AGO) == pytest.approx(70, abs=1)
    assert job.value(JobMetric.LAST_MEASURED_AGO) == pytest.approx(70, abs=1)


def test_a_rollback_is_timed_from_the_breach() -> None:
    job = Job()
    job.metrics.after_rollback(ROLLBACK, VERDICT)
    job.metrics.after_iteration(replace(DONE, rollback=ROLLBACK, stop=stop(StopState.PENDING)))
    assert job.value(JobMetric.TO_OFF) == 2.5
    assert job.value(JobMetric.ROLLBACKS, guardrail="slow", verified="true") == 1
    assert job.value(JobMetric.STOP, state="pending") == 1
    job.metrics.after_iteration(replace(DONE, verdicts=(), stop=stop(StopState.VERIFIED)))
    assert job.value(JobMetric.TO_STOP) == 20
    assert job.value(JobMetric.STOP, state="verified") == 1
    assert job.value(JobMetric.STOP_UNVERIFIED) == 0


def test_what_could_not_be_done_stays_said_until_it_is() -> None:
    job = Job()
    failed = replace(ROLLBACK, error="no Unleash", after=None)
    job.metrics.after_rollback(failed, VERDICT)
    job.metrics.after_iteration(replace(DONE, state=None, rollback=failed))
    job.metrics.after_iteration(replace(DONE, state=None, verdicts=()))
    assert job.value(JobMetric.UNVERIFIED) == 1, "Unleash is silent, so nothing is known to be better"
    job.metrics.after_iteration(replace(DONE, rollback=ROLLBACK))
    assert job.value(JobMetric.UNVERIFIED) == 0


def test_the_first_rollback_is_seen_as_a_rise() -> None:
    job = Job()
    assert job.value(JobMetric.ROLLBACKS, guardrail="slow", verified="true") == 0
    assert job.value(JobMetric.ROLLBACKS, guardrail="slow", verified="false") == 0


def test_what_the_flag_wants_and_who_changed_it_last() -> None:
    job = Job()
    assert job.value(JobMetric.LEASE_RENEWAL) == 600
    until = NOW + timedelta(minutes=12)
    person = replace(STATE, percent=25, changed_by="ada", changed_at=NOW, lease_until=until)
    job.metrics.after_iteration(replace(DONE, state=person))
    assert job.value(JobMetric.FLAG_SHARE, flag="canary") == 0.25
    assert job.value(JobMetric.FLAG_CHANGED, flag="canary", by="person") == NOW.timestamp()
    assert job.value(JobMetric.LEASE_END, flag="canary") == until.timestamp()
    job.metrics.after_iteration(replace(DONE, state=None))
    assert job.value(JobMetric.FLAG_SHARE, flag="canary") == 0.25, (
        "Unleash is silent: nothing is known to differ"
    )
    off = replace(person, enabled=False, changed_by="canario-rollback", changed_at=OFF_AT, lease_until=None)
    job.metrics.after_iteration(replace(DONE, state=person, rollback=replace(ROLLBACK, after=off)))
    assert job.value(JobMetric.FLAG_SHARE, flag="canary") == 0
    assert job.value(JobMetric.FLAG_CHANGED, flag="canary", by="canario-rollback") == OFF_AT.timestamp()
    assert job.value(JobMetric.FLAG_CHANGED, flag="canary", by="person") is None
    assert job.value(JobMetric.LEASE_END, flag="canary") is None


def test_a_share_that_cannot_be_told_is_no_number_and_leases_may_be_off() -> None:
    job = Job()
    job.metrics.after_iteration(replace(DONE, state=replace(STATE, enabled=True, percent=None)))
    share = job.value(JobMetric.FLAG_SHARE, flag="canary")
    assert share is not None
    assert math.isnan(share)
    registry = CollectorRegistry()
    JobMetrics(registry, cannot_measure_for=timedelta(minutes=5))
    assert registry.get_sample_value(JobMetric.LEASE_RENEWAL) == 0


def test_a_challenger_that_goes_on_and_messages_that_do_not() -> None:
    job = Job()
    job.metrics.after_iteration(replace(DONE, stop=stop(StopState.RISING)))
    job.metrics.notified("1-slack", False)
    job.metrics.notified("2-json", True)
    job.metrics.decision_not_kept()
    assert job.value(JobMetric.STOP_UNVERIFIED) == 1
    assert job.value(JobMetric.NOTIFICATIONS_FAILED, channel="1-slack") == 1
    assert job.value(JobMetric.NOTIFICATIONS_FAILED, channel="2-json") == 0
    assert job.value(JobMetric.NOTIFICATIONS, channel="2-json") == 1
    assert job.value(JobMetric.DECISIONS_FAILED) == 1

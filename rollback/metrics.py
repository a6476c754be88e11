"""What the job tells Prometheus about itself, so that somebody watches the watchman."""

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric

from common.names import JobMetric
from flags.canary import CanaryState
from rollback.decision import breached_at, seconds_to_off
from rollback.guardrails import Action
from rollback.outcome import Pass, Rollback
from rollback.stop import StopState
from rollback.verdict import Status, Verdict


class LabelledRegistry(CollectorRegistry):
    """A registry whose series all say whose they are: several jobs may be on one Prometheus."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__()
        self._labels = dict(labels)

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [
                sample._replace(labels={**self._labels, **sample.labels}) for sample in metric.samples
            ]
            yield metric


class JobMetrics:
    """An observer. What can be foreseen is there from the start, at 0: an alert must see it rise."""

    def __init__(self, registry: CollectorRegistry, *, cannot_measure_for: timedelta) -> None:
        def gauge(name: JobMetric, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def counter(name: JobMetric, text: str, *labels: str) -> Counter:
            return Counter(name.removesuffix("_total"), text, labels, registry=registry)

        self._passes = counter(JobMetric.PASSES, "Passes by what they came to.", "outcome")
        # A Unix time looks young for long where the wall clock is set back, an age by the monotonic one not.
        self._last = gauge(JobMetric.LAST, "When the last pass ended (Unix time).")
        self._last_at = self._measured_at = time.monotonic()
        gauge(JobMetric.LAST_AGO, "Since the last pass ended, or the job began.").set_function(
            lambda: time.monotonic() - self._last_at
        )
        self._measured = gauge(
            JobMetric.LAST_MEASURED, "When the last pass ended that could measure all (Unix time)."
        )
        gauge(
            JobMetric.LAST_MEASURED_AGO, "Since the last pass ended that could measure all, or the job began."
        ).set_function(lambda: time.monotonic() - self._measured_at)
        self._seconds = gauge(JobMetric.DURATION, "Duration of the last pass.")
        self._verdicts = gauge(
            JobMetric.VERDICT, "1 for the verdict of the last pass.", "guardrail", "verdict"
        )
        self._binding = gauge(
            JobMetric.BINDING, "1 where the verdict holds up a promotion, 0 where it only warns.", "guardrail"
        )
        self._judged = gauge(JobMetric.JUDGED, "The flag's revision that the last pass judged.")
        self._judged_model = gauge(
            JobMetric.JUDGED_MODEL, "1 for the challenger that the last pass judged.", "version", "sha256"
        )
        self._log_e = gauge(
            JobMetric.LOG_E, "Evidence against the challenger, natural logarithm.", "guardrail"
        )
        self._needed = gauge(JobMetric.LOG_E_LIMIT, "The evidence at which it is breached.", "guardrail")
        self._value = gauge(JobMetric.VALUE, "The value that was judged.", "guardrail")
        self._limit = gauge(JobMetric.LIMIT, "Its limit.", "guardrail")
        self._rollbacks = counter(
            JobMetric.ROLLBACKS, "Orders to turn the flag off.", "guardrail", "verified"
        )
        self._unverified = gauge(
            JobMetric.UNVERIFIED, "1 while a rollback is due and the flag is not known to be off."
        )
        self._to_off = gauge(JobMetric.TO_OFF, "From the breach to the flag off, of the last rollback.")
        self._to_stop = gauge(
            JobMetric.TO_STOP, "From the breach to the verified stop, of the last rollback."
        )
        self._stop = gauge(JobMetric.STOP, "1 for what was last seen of the challenger's stop.", "state")
        self._unstopped = gauge(
            JobMetric.STOP_UNVERIFIED,
            "1 while the challenger is not seen to stop in time after the flag went off.",
        )
        self._sent = counter(JobMetric.NOTIFICATIONS, "Messages that were sent.", "channel")
        self._unsent = counter(JobMetric.NOTIFICATIONS_FAILED, "Messages that were not.", "channel")
        self._unkept = counter(JobMetric.DECISIONS_FAILED, "Decisions that could not be kept.")
        gauge(JobMetric.BLIND_LIMIT, "How long it may go without measuring.").set(
            cannot_measure_for.total_seconds()
        )
        for state in StopState:
            self._stop.labels(state.value)
        # A job that has never measured is as blind as one that has just begun to be.
        self._measured.set(time.time())
        self._breached_at: float | None = None

    def expect_guardrails(self, names: tuple[str, ...]) -> None:
        """Make the counters of rollbacks by these guardrails."""
        for name in names:
            for verified in ("true", "false"):
                self._rollbacks.labels(name, verified)

    def expect_channels(self, names: tuple[str, ...]) -> None:
        """Make the counters of these channels."""
        for name in names:
            self._sent.labels(name)
            self._unsent.labels(name)

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        pass

    def on_rollback(
        self,
        rollback: Rollback,
        breach: Verdict,
        state: CanaryState | None,  # noqa: ARG002 - as observers are told
    ) -> None:
        self._rollbacks.labels(rollback.guardrail, str(rollback.verified).lower()).inc()
        if rollback.verified:
            began = breached_at(breach)
            self._breached_at = began.timestamp() if began else None
            self._to_off.set(_or_nan(seconds_to_off(rollback, breach)))
            self._to_stop.set(float("nan"))

    def on_pass(self, done: Pass) -> None:
        now, moment = time.time(), time.monotonic()
        self._passes.labels(done.summary).inc()
        self._seconds.set(done.seconds)
        if done.could_measure:
            self._measured.set(now)
            self._measured_at = moment
        if (
            done.rollback is not None or done.state is not None
        ):  # where Unleash is silent, nothing has changed
            self._unverified.set(int(done.rollback is not None and not done.rollback.verified))
        for gauge in (self._verdicts, self._binding, self._log_e, self._needed, self._value, self._limit):
            gauge.clear()
        self._judged_model.clear()
        if judged := done.challenger:
            self._judged_model.labels(judged.version, judged.sha256).set(1)
        for verdict in done.verdicts:
            self._tell_verdict(verdict)
        self._judged.set(_or_nan(done.state.revision if done.state and done.verdicts else None))
        for state in StopState:
            self._stop.labels(state.value).set(int(done.stop is not None and done.stop.state is state))
        self._unstopped.set(int(done.stop is not None and done.stop.failed))
        if done.stop and done.stop.stopped_at and self._breached_at:
            self._to_stop.set(max(0.0, done.stop.stopped_at.timestamp() - self._breached_at))
            self._breached_at = None
        self._last.set(now)
        self._last_at = moment

    def notified(self, channel: str, sent: bool) -> None:
        """A message was sent, or not."""
        (self._sent if sent else self._unsent).labels(channel).inc()

    def decision_not_kept(self) -> None:
        """The decisions log could not be written."""
        self._unkept.inc()

    def _tell_verdict(self, verdict: Verdict) -> None:
        self._binding.labels(verdict.guardrail).set(int(verdict.action is not Action.WARN))
        for status in Status:
            self._verdicts.labels(verdict.guardrail, status.value).set(int(verdict.status is status))
        numbers = (
            (self._log_e, verdict.log_e),
            (self._needed, verdict.log_e_needed),
            (self._value, verdict.value),
            (self._limit, verdict.limit),
        )
        for gauge, number in numbers:
            if number is not None:
                gauge.labels(verdict.guardrail).set(number)


def _or_nan(number: float | None) -> float:
    return float("nan") if number is None else number

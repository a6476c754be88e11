"""What the job tells Prometheus: of itself, so that somebody watches it, and of the flag that it guards."""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from math import nan
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from common.measured import LEAST, MOST
from common.names import JobMetric
from flags.accounts.users import is_automation
from flags.canary.state import CanaryState
from rollback.actions.stop import StopState
from rollback.actions.turn_off import Rollback
from rollback.decisions.record import breached_at, seconds_to_off
from rollback.guardrails.verdict import Action, Status, Verdict
from rollback.iteration import Iteration

PERSON = "person"  # who, is in Unleash and on the board: names of people are no labels


_NUMBERS: Final[tuple[tuple[JobMetric, str, Callable[[Verdict], float | None]], ...]] = (
    (JobMetric.LOG_E, "Test score against the challenger, a natural logarithm.", lambda one: one.log_e),
    (
        JobMetric.LOG_E_LIMIT,
        "The threshold: at this test score it is breached.",
        lambda one: one.log_e_needed,
    ),
    (JobMetric.VALUE, "The value that was judged.", lambda one: one.value),
    (JobMetric.LIMIT, "Its limit.", lambda one: one.limit),
    (
        JobMetric.CHAMPION,
        "The champion by the same measure.",
        lambda one: one.effect.champion if one.effect else None,
    ),
    (
        JobMetric.DIFFERENCE_LOW,
        "Challenger less champion, at 95%: the lower end. At every look where there is a test score.",
        lambda one: one.effect.low if one.effect else None,
    ),
    (JobMetric.DIFFERENCE_HIGH, "The upper end.", lambda one: one.effect.high if one.effect else None),
    (JobMetric.SAMPLE, "Calls under the value.", lambda one: one.sample),
    (
        JobMetric.WINDOW,
        "How far back the value reaches.",
        lambda one: one.window.total_seconds() if one.window else None,
    ),
)
"""Of each guardrail, with what it tells; none where that is None."""


class _Series:
    """The series of a gauge whose labels come and go. A scrape never finds them half written."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: dict[tuple[str, ...], Gauge] = {}
        self._values: Mapping[tuple[str, ...], float] = {}

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Have these, by their labels, and no others."""
        if values == self._values:  # as most are from one iteration to the next
            return
        self._values = values
        for labels in self._shown.keys() - values.keys():
            del self._shown[labels]
            self._gauge.remove(*labels)
        for labels, value in values.items():
            if labels not in self._shown:
                self._shown[labels] = self._gauge.labels(*labels)
            self._shown[labels].set(value)


class JobMetrics:
    """Of one job. What can be foreseen is there from the start, at 0: an alert must see it rise."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        cannot_measure_for: timedelta,
        renewed_below: timedelta | None = None,
        guardrails: Iterable[str] = (),
        channels: Iterable[str] = (),
    ) -> None:
        """`renewed_below` is what is left of a lease when it is renewed; None: leases are off."""

        def gauge(name: JobMetric, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def series(name: JobMetric, text: str, *labels: str) -> _Series:
            return _Series(gauge(name, text, *labels))

        def counter(name: JobMetric, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self._iterations = counter(JobMetric.PASSES, "Iterations by outcome.", "outcome")
        # A Unix time looks young for long where the wall clock is set back, an age by the monotonic one not.
        self._last_at = self._measured_at = time.monotonic()
        self._last = gauge(JobMetric.LAST, "When the last iteration ended (Unix time).")
        gauge(JobMetric.LAST_AGO, "Since the last iteration ended, or the job began.").set_function(
            lambda: time.monotonic() - self._last_at
        )
        self._measured = gauge(
            JobMetric.LAST_MEASURED, "When the last iteration ended that could measure all (Unix time)."
        )
        gauge(
            JobMetric.LAST_MEASURED_AGO,
            "Since the last iteration ended that could measure all, or the job began.",
        ).set_function(lambda: time.monotonic() - self._measured_at)
        self._seconds = gauge(JobMetric.DURATION, "Duration of the last iteration.")
        gauge(JobMetric.BLIND_LIMIT, "How long it may go without measuring.").set(
            cannot_measure_for.total_seconds()
        )
        self._verdict = series(
            JobMetric.VERDICT, "1 for the verdict of the last iteration.", "guardrail", "verdict"
        )
        self._binding = series(
            JobMetric.BINDING, "1 where the verdict holds up a promotion, 0 where it only warns.", "guardrail"
        )
        self._guardrail = series(
            JobMetric.GUARDRAIL,
            "1 for the unit of value, limit and champion, and whether the limit is the most or the least.",
            "guardrail",
            "unit",
            "limit_is",
        )
        self._numbers = [(series(name, text, "guardrail"), number_of) for name, text, number_of in _NUMBERS]
        self._warm_up = series(
            JobMetric.WARM_UP,
            "What is left out of the stage, since the challenger was warming up.",
            "guardrail",
        )
        self._warm_up_start = series(
            JobMetric.WARM_UP_START,
            "When the challenger was last seen to start then (Unix time).",
            "guardrail",
        )
        self._judged = gauge(JobMetric.JUDGED, "The flag's revision that the last iteration judged.")
        self._judged_model = series(
            JobMetric.JUDGED_MODEL,
            "1 for the challenger that it judged.",
            "version",
            "sha256",
        )
        self._rollbacks = counter(
            JobMetric.ROLLBACKS, "Orders to turn the flag off.", "guardrail", "verified"
        )
        self._exclusions = counter(
            JobMetric.EXCLUSIONS, "Segments of users that were excluded, in place of that.", "guardrail"
        )
        self._unverified = gauge(
            JobMetric.UNVERIFIED, "1 while a rollback is due and the flag is not known to be off."
        )
        self._to_off = gauge(JobMetric.TO_OFF, "From the breach to the flag off, of the last rollback.")
        self._to_stop = gauge(
            JobMetric.TO_STOP, "From the breach to the verified stop, of the last rollback."
        )
        self._breached_at: float | None = None
        self._stop = gauge(JobMetric.STOP, "1 for what was last seen of the challenger's stop.", "state")
        self._unstopped = gauge(
            JobMetric.STOP_UNVERIFIED,
            "1 while the challenger is not seen to stop in time after the flag went off.",
        )
        self._sent = counter(JobMetric.NOTIFICATIONS, "Messages that were sent.", "channel")
        self._unsent = counter(JobMetric.NOTIFICATIONS_FAILED, "Messages that were not.", "channel")
        self._unkept = counter(JobMetric.DECISIONS_FAILED, "Decisions that could not be kept.")
        self._share = series(
            JobMetric.FLAG_SHARE, "Part of the users that the flag gives the challenger.", "flag"
        )
        self._changed = series(
            JobMetric.FLAG_CHANGED, "When the flag was last changed in Unleash (Unix time).", "flag", "by"
        )
        self._lease_end = series(
            JobMetric.LEASE_END, "When users lose the challenger without a renewal (Unix time).", "flag"
        )
        gauge(JobMetric.LEASE_RENEWAL, "What is left of a lease when it is renewed; 0: leases are off.").set(
            max(0.0, renewed_below.total_seconds()) if renewed_below else 0.0
        )
        # A job that has never measured is as blind as one that has just begun to be.
        self._measured.set(time.time())
        for state in StopState:
            self._stop.labels(state.value)
        for name in guardrails:
            for verified in ("true", "false"):
                self._rollbacks.labels(name, verified)
            self._exclusions.labels(name)
        for name in channels:
            self._sent.labels(name)
            self._unsent.labels(name)

    def after_rollback(self, rollback: Rollback, breach: Verdict) -> None:
        """An order was given, and this became of it."""
        if rollback.excluded:
            self._exclusions.labels(rollback.guardrail).inc()
            return
        self._rollbacks.labels(rollback.guardrail, str(rollback.verified).lower()).inc()
        if rollback.verified:
            began = breached_at(breach)
            self._breached_at = began.timestamp() if began else None
            self._to_off.set(_or_nan(seconds_to_off(rollback, breach)))
            self._to_stop.set(nan)

    def after_iteration(self, iteration: Iteration) -> None:
        """An iteration is over."""
        now, moment = time.time(), time.monotonic()
        state, rollback, stop = iteration.state, iteration.rollback, iteration.stop
        self._iterations.labels(iteration.outcome).inc()
        self._seconds.set(iteration.seconds)
        if iteration.could_measure:
            self._measured.set(now)
            self._measured_at = moment
        if rollback is not None or state is not None:  # where Unleash is silent, nothing has changed
            self._unverified.set(int(rollback is not None and not rollback.verified))
        self._set_verdicts(iteration)
        for each in StopState:
            self._stop.labels(each.value).set(int(stop is not None and stop.state is each))
        self._unstopped.set(int(stop is not None and stop.failed))
        if stop and stop.stopped_at and self._breached_at:
            self._to_stop.set(max(0.0, stop.stopped_at.timestamp() - self._breached_at))
            self._breached_at = None
        # Where Unleash is silent the flag's series go on saying what was last known.
        if known := (rollback and rollback.after) or state:
            self._set_flag(known)
        self._last.set(now)
        self._last_at = moment

    def notified(self, channel: str, sent: bool) -> None:
        """A message was sent, or not."""
        (self._sent if sent else self._unsent).labels(channel).inc()

    def decision_not_kept(self) -> None:
        """The decisions log could not be written."""
        self._unkept.inc()

    def _set_verdicts(self, iteration: Iteration) -> None:
        verdicts, judged = iteration.verdicts, iteration.challenger
        self._binding.show({(one.guardrail,): int(one.action is not Action.WARN) for one in verdicts})
        self._verdict.show(
            {
                (one.guardrail, status.value): int(one.status is status)
                for one in verdicts
                for status in Status
            }
        )
        told = ((one.guardrail, one.unit, LEAST if one.fewer else MOST) for one in verdicts)
        self._guardrail.show(dict.fromkeys(told, 1))
        for series, number_of in self._numbers:
            numbers = ((one.guardrail, number_of(one)) for one in verdicts)
            series.show({(name,): number for name, number in numbers if number is not None})
        starts = {(one.guardrail,): (one.left_out, last) for one in verdicts if (last := one.left_out.last)}
        self._warm_up.show({labels: left_out.seconds for labels, (left_out, _) in starts.items()})
        self._warm_up_start.show({labels: last.timestamp() for labels, (_, last) in starts.items()})
        self._judged_model.show({(judged.version, judged.sha256): 1} if judged else {})
        state = iteration.state if verdicts else None
        self._judged.set(_or_nan(state.revision if state else None))

    def _set_flag(self, state: CanaryState) -> None:
        percent = state.percent if state.exposed else 0
        self._share.show({(state.flag,): nan if percent is None else percent / 100})
        by = state.changed_by or ""
        by = by if is_automation(by) else PERSON
        changed, lease = state.changed_at, state.lease_until
        self._changed.show({(state.flag, by): changed.timestamp()} if changed else {})
        self._lease_end.show({(state.flag,): lease.timestamp()} if lease else {})


def _or_nan(number: float | None) -> float:
    return nan if number is None else number

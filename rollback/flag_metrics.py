"""What the job tells Prometheus about the flag that it guards: what people want, beside what users get."""

from datetime import timedelta

from prometheus_client import CollectorRegistry, Gauge

from common.names import JobMetric
from flags.accounts import is_automation
from flags.canary import CanaryState
from rollback.outcome import Pass, Rollback
from rollback.verdict import Verdict

PERSON = "person"  # who, is in Unleash and on the board: names of people are no labels


class FlagMetrics:
    """An observer. Where Unleash is silent it goes on saying what was last known."""

    def __init__(
        self, registry: CollectorRegistry, *, lease: timedelta | None, lease_every: timedelta
    ) -> None:
        def gauge(name: JobMetric, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self._share = gauge(
            JobMetric.FLAG_SHARE, "Part of the users that the flag gives the challenger.", "flag"
        )
        self._changed = gauge(
            JobMetric.FLAG_CHANGED, "When the flag was last changed in Unleash (Unix time).", "flag", "by"
        )
        self._lease = gauge(
            JobMetric.LEASE_END, "When users lose the challenger without a renewal (Unix time).", "flag"
        )
        gauge(JobMetric.LEASE_RENEWAL, "What is left of a lease when it is renewed; 0: leases are off.").set(
            max(0.0, (lease - lease_every).total_seconds()) if lease else 0.0
        )

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        pass

    def on_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:
        pass

    def on_pass(self, done: Pass) -> None:
        state = done.rollback.after if done.rollback and done.rollback.after else done.state
        if state is None:
            return
        for gauge in (self._share, self._changed, self._lease):
            gauge.clear()
        self._share.labels(state.flag).set(_share(state))
        if state.changed_at is not None:
            by = state.changed_by or ""
            self._changed.labels(state.flag, by if is_automation(by) else PERSON).set(
                state.changed_at.timestamp()
            )
        if state.lease_until is not None:
            self._lease.labels(state.flag).set(state.lease_until.timestamp())


def _share(state: CanaryState) -> float:
    if not state.exposed:
        return 0.0
    return float("nan") if state.percent is None else state.percent / 100

"""What a job does beside judging and rolling back, made from its settings.

None of it fails an iteration or holds it up by more than a fraction of a second.
"""

from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Self

from common.arms import Arms
from common.every_rollout import LabelledRegistry
from common.prometheus import Prometheus
from flags.unleash.admin import admin_from
from flags.unleash.token import Accounts, check_from, watch
from rollback.actions.lease import LeaseRenewer, VersionBlocker, challenger, served
from rollback.actions.stop import StopVerifier
from rollback.actions.turn_off import Canary
from rollback.decisions.log import log_from
from rollback.decisions.recorder import DecisionRecorder
from rollback.guardrails.file import Policy
from rollback.metrics import JobMetrics
from rollback.notify import Notifier, open_channels
from rollback.settings import RollbackSettings

CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class JobServices:
    """Of one job."""

    stop: StopVerifier
    lease: LeaseRenewer
    blocker: VersionBlocker
    recorder: DecisionRecorder
    metrics: JobMetrics
    registry: LabelledRegistry
    _ended: Event = field(default_factory=Event)

    @classmethod
    def open(
        cls, policy: Policy, arms: Arms, settings: RollbackSettings, canary: Canary, *, rollout: str
    ) -> Self:
        """Make them as the settings want it. What asks in a thread has a client of its own."""

        def prometheus() -> Prometheus:
            return Prometheus(settings.prometheus_url.get_secret_value())

        admin, renewing = admin_from(settings), prometheus()
        registry = LabelledRegistry({"rollout": rollout, "flag": arms.flag, "environment": arms.environment})
        channels = open_channels(settings.notify_urls)
        metrics = JobMetrics(
            registry,
            cannot_measure_for=policy.cannot_measure_for,
            renewed_below=settings.lease - settings.lease_every if settings.lease else None,
            guardrails=[guardrail.name for guardrail in policy.guardrails],
            channels=[channel.name for channel in channels],
        )
        recorder = DecisionRecorder(
            canary,
            log_from(settings),
            Notifier(channels, on_end=metrics.notified) if channels else None,
            models=partial(served, prometheus(), arms),
            cannot_measure_for=policy.cannot_measure_for,
            prediction_log=settings.prediction_log,
            on_failure=metrics.decision_not_kept,
        )
        return cls(
            StopVerifier(prometheus(), arms, policy.scrape_interval, settings.stop_limit),
            LeaseRenewer(
                admin,
                arms.flag,
                can_measure=lambda: renewing.instant(f"max({arms.alive})") == 1,
                lease=settings.lease,
                lease_every=settings.lease_every,
            ),
            VersionBlocker(admin, arms.flag, partial(challenger, settings.models, prometheus(), arms)),
            recorder,
            metrics,
            registry,
        )

    def watch_token(self, settings: RollbackSettings, accounts: Accounts) -> None:
        """See each minute that the token still works, until the end."""
        watch(check_from(settings, accounts), self.registry, ended=self._ended)

    def close(self) -> None:
        """Let what is to be blocked, kept and told come to its end, for some seconds."""
        self._ended.set()
        self.blocker.close(CLOSE_SECONDS)
        self.recorder.close(CLOSE_SECONDS)

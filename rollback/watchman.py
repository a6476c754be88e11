"""What a job does beside judging and acting: it watches the stop, tells, keeps and counts."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Self

from common.metrics_port import serve
from common.prometheus import Prometheus
from common.served import Arms
from flags.admin import UnleashAdmin
from flags.token import LEASES, SHARES, TokenCheck
from flags.token import watch as watch_token
from rollback.act import Canary
from rollback.decisions import DecisionLog
from rollback.flag_metrics import FlagMetrics
from rollback.follow import Watch
from rollback.guardian import Guardian
from rollback.guardrails import Policy
from rollback.metrics import JobMetrics, LabelledRegistry
from rollback.notify import Notifier, open_channels
from rollback.observer import Observer, Several, Silent
from rollback.outcome import Pass
from rollback.settings import RollbackSettings
from rollback.teller import Teller
from rollback.versions import challenger, served

CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class Watchman:
    """Beside one job."""

    watch: Watch
    observer: Observer
    teller: Teller | None = None
    guardian: Guardian | None = None

    @classmethod
    def of(
        cls, policy: Policy, settings: RollbackSettings, canary: Canary, *, dry_run: bool, serving: bool
    ) -> Self:
        """Make it as the settings want it; a dry run tells nobody. `serving`: with the metrics' port."""
        url = settings.prometheus_url.get_secret_value()
        arms = Arms(canary.flag, canary.environment, settings.selector)
        watch = Watch(Prometheus(url), arms, policy.scrape_interval, settings.stop_limit)
        if dry_run:
            return cls(watch, Silent())
        registry = LabelledRegistry({"flag": arms.flag, "environment": arms.environment})
        metrics = JobMetrics(registry, cannot_measure_for=policy.cannot_measure_for)
        metrics.expect_guardrails(tuple(guardrail.name for guardrail in policy.guardrails))
        flag = FlagMetrics(registry, lease=settings.lease, lease_every=settings.lease_every)
        channels = open_channels(settings.notify_urls)
        metrics.expect_channels(tuple(channel.name for channel in channels))
        teller = Teller(
            canary,
            DecisionLog(settings.decisions_dir, most_bytes=settings.decisions_megabytes * 10**6)
            if settings.decisions_dir
            else None,
            Notifier(channels, on_end=metrics.notified) if channels else None,
            versions=partial(
                served, Prometheus(url), arms
            ),  # a client of its own, because it asks in a thread
            cannot_measure_for=policy.cannot_measure_for,
            on_failure=metrics.decision_not_kept,
        )
        guardian = _guardian(settings, arms, url)
        if serving:
            watch_token(_token_check(settings), registry)
            if settings.rollback_metrics_bind:
                serve(settings.rollback_metrics_bind, registry)
        return cls(watch, Several(metrics, flag, teller, guardian), teller, guardian)

    def after(self, done: Pass, *, wait: bool) -> Pass:
        """Look at the stop, and tell of the pass. With `wait` a rollback is watched until it is proved.

        Never raises; without `wait` it takes as long as two questions to Prometheus.
        """
        stop = self.watch.follow(done)
        if wait and done.rollback is not None and done.rollback.verified:
            stop = self.watch.wait()
        done = replace(done, stop=stop)
        self.observer.on_pass(done)
        return done

    def close(self) -> None:
        """Let what is to be kept and told come to its end, for some seconds."""
        if self.guardian is not None:
            self.guardian.close(CLOSE_SECONDS)
        if self.teller is not None:
            self.teller.close(CLOSE_SECONDS)


def _token_check(settings: RollbackSettings) -> TokenCheck:
    return TokenCheck(
        settings.unleash_url,
        settings.unleash_admin_token,
        settings.unleash_project,
        settings.unleash_environment,
        needed=(*SHARES, *(LEASES if settings.lease else ())),
    )


def _guardian(settings: RollbackSettings, arms: Arms, prometheus_url: str) -> Guardian:
    """With clients of its own, because it asks in threads."""
    admin = UnleashAdmin(
        settings.unleash_url,
        settings.unleash_admin_token,
        project=settings.unleash_project,
        environment=settings.unleash_environment,
    )
    marking, renewing = Prometheus(prometheus_url), Prometheus(prometheus_url)
    return Guardian(
        admin,
        arms.flag,
        partial(challenger, settings.models, marking, arms),
        lambda: renewing.instant(f"max({arms.of('up')})") == 1,
        lease=settings.lease,
        lease_every=settings.lease_every,
    )

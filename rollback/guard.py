"""The jobs of all rollouts at once, for as long as the process lives."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

from prometheus_client import CollectorRegistry

from common.config import ConfigError
from common.durations import format_duration
from common.every_rollout import FINISH_SECONDS, EveryRollout, Undisturbed, stamp_of
from common.names import JobMetric
from common.prometheus import Prometheus
from common.schedule import Shutdown
from flags.canary.feed import Feeds, FollowedFlag
from flags.unleash.admin import admin_from
from flags.unleash.token import Accounts
from rollback.actions.turn_off import FollowedCanary, UnleashCanary
from rollback.iteration import ExitCode, Iteration, iteration_fields
from rollback.job import Job
from rollback.rollouts import Guarded
from rollback.services import JobServices
from rollback.settings import JobSettings

_log = logging.getLogger("rollback")

Undisturbing = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Shared:
    """What is read of Unleash once for all rollouts there: the event log, and whose the token is."""

    feeds: Feeds = field(default_factory=Feeds)
    accounts: Accounts = field(default_factory=Accounts)


@dataclass(frozen=True)
class Guard:
    """The job of one rollout, for as long as its file is there."""

    job: Job

    @property
    def registry(self) -> CollectorRegistry | None:
        """What it tells Prometheus; a dry run tells nothing."""
        return self.job.services.registry if self.job.services else None

    def run(self) -> None:
        """One iteration."""
        iterate(self.job)

    def close(self) -> None:
        """See through what follows a rollback."""
        if self.job.services:
            self.job.services.close()


def guard(
    read: Callable[[], Mapping[str, Guarded | ConfigError]],
    every: timedelta,
    settings: JobSettings,
    *,
    dry_run: bool,
) -> NoReturn:
    """Guard every rollout that `read` tells of, until a signal ends the process."""
    undisturbed, shutdown, shared = Undisturbed(), Shutdown(exit_code=0), Shared()

    def begin(rollout: str, said: Guarded) -> Guard:
        made = Guard(job_of(said, undisturbed.held, dry_run=dry_run, shared=shared))
        told = {"rollout": rollout, "flag": said.arms.flag, "every": format_duration(every)}
        _log.info("watching", extra=told)
        for guardrail, why in said.policy.missing:
            of_one = {"rollout": rollout, "guardrail": guardrail.name, "error": why}
            _log.warning("a guardrail cannot judge", extra=of_one)
        return made

    guards = EveryRollout(
        read, begin, every, stamp=stamp_of(settings.rollouts), broken=JobMetric.ROLLOUT_BROKEN
    )
    if settings.rollback_metrics_bind and not dry_run:
        guards.serve(settings.rollback_metrics_bind)
    shutdown.install()
    try:
        guards.follow()
    finally:
        undisturbed.wait(FINISH_SECONDS)
        guards.close()
        _log.info("stopped")


def job_of(
    guarded: Guarded, undisturbed: Undisturbing = nullcontext, *, dry_run: bool, shared: Shared | None = None
) -> Job:
    """The job of a rollout; `shared`: of a process that goes on, which also watches its token."""
    settings = guarded.settings
    admin = admin_from(settings, stickiness=settings.stickiness)
    canary = UnleashCanary(admin, settings.canary_flag)
    if shared:
        followed = FollowedFlag(admin, settings.canary_flag, shared.feeds.of(settings, admin))
        canary = FollowedCanary(admin, settings.canary_flag, followed)
    services = None
    if not dry_run:
        services = JobServices.open(guarded.policy, guarded.arms, settings, canary, rollout=guarded.name)
        if shared:
            services.watch_token(settings, shared.accounts)
    return Job(
        guarded.policy,
        Prometheus(settings.prometheus_url.get_secret_value()),
        canary,
        guarded.arms,
        dry_run=dry_run,
        services=services,
        undisturbed=undisturbed,
    )


def iterate(job: Job, *, wait: bool = False) -> Iteration:
    """One iteration, and its line of the log."""
    iteration = job.run(wait=wait)
    level = logging.INFO if iteration.exit_code is ExitCode.FINE else logging.WARNING
    _log.log(level, iteration.outcome, extra=iteration_fields(iteration, job.canary, brief=True))
    return iteration

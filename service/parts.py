"""The parts of one worker, made from its settings and tied together."""

import os
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from common.errors import CanarioError
from flags.unleash.admin import UnleashAdmin, admin_from
from service.api.access import Access
from service.assignment.assigner import Assigner
from service.assignment.assignment import Assigns
from service.assignment.fixed import FixedShare
from service.feedback.memory import Memory
from service.feedback.outcomes import Outcomes, judged_outcomes, listed_outcomes
from service.metrics.models import ModelMetrics
from service.metrics.segments import Segments
from service.metrics.service import ServiceMetrics
from service.metrics.user_windows import UserWindows
from service.models.lineup import LineupMaker
from service.models.load import load_or_last_good
from service.models.reload import Reloader
from service.models.reports import Refusal, Reports, WorkerReport
from service.prediction_log.log import RecordLog, open_log
from service.prediction_log.secret import secret
from service.segments import judged_segments, listed_segments
from service.settings import Settings
from service.spans import Flag, Spans, open_spans


@dataclass(frozen=True)
class Parts:
    """What the routes work with. `reloader.lineup` may be another at each look."""

    settings: Settings
    metrics: ServiceMetrics
    reloader: Reloader
    reports: Reports
    assigner: Assigns
    admin: UnleashAdmin | None
    access: Access
    log: RecordLog
    memory: Memory
    outcomes: Outcomes
    users: UserWindows
    segments: Segments
    spans: Spans

    def close(self) -> None:
        """Stop background work; in-flight requests are the web server's to finish first."""
        self.reloader.close()
        lineup = self.reloader.lineup
        lineup.close_shadow()
        self.log.close()  # before the others: they may take until the master loses its patience
        lineup.close_challenger()
        self.assigner.close()
        self.reports.end()
        self.spans.close()


def assemble(settings: Settings, registry: CollectorRegistry) -> Parts:
    """Make all parts, and begin to follow Unleash; call it after the fork of a worker.

    Raises:
        CanarioError: no models can be served, see `load_or_last_good`.
    """
    reports = Reports(settings.workers_dir)
    reports.write(WorkerReport(pid=os.getpid()))  # before the models are looked at
    model_metrics = ModelMetrics(registry)
    try:
        loaded = load_or_last_good(settings)
    except CanarioError as error:
        model_metrics.refusals.labels("start").inc()
        reports.write(WorkerReport(pid=os.getpid(), refused=Refusal(revision=None, reason=str(error))))
        raise
    flags = (settings.canary_flag, settings.shadow_flag)
    metrics = ServiceMetrics(registry, flags, (settings.canary_flag, settings.followed_environment))
    metrics.models_changed({}, loaded.models.metadata)
    users = UserWindows(metrics.called, metrics.failed_user, metrics.user_windows_dropped.inc)
    assigner: Assigns = (
        FixedShare(settings.canary_percent)
        if settings.canary_percent is not None
        else Assigner(
            settings,
            metrics.flags_fetched,
            lambda flag, known: metrics.flag_known.labels(flag).set(known),
            users.follow,
        )
    )
    assigner.start()
    salt = secret(settings)
    log = open_log(settings, salt, metrics)
    listed = listed_outcomes(settings.feedback_outcomes)
    reloader = Reloader(
        settings,
        loaded,
        LineupMaker(settings, registry, metrics, log),
        assigner=assigner,
        metrics=metrics,
        model_metrics=model_metrics,
        reports=reports,
    )
    reloader.start()
    return Parts(
        settings=settings,
        metrics=metrics,
        reloader=reloader,
        reports=reports,
        assigner=assigner,
        admin=admin_from(settings) if settings.unleash_admin_token else None,
        access=Access(settings.admin_token, settings.admin_calls_per_minute),
        log=log,
        memory=Memory(salt),
        outcomes=Outcomes(listed | judged_outcomes(settings.guardrails), is_closed=bool(listed)),
        spans=open_spans(
            Flag(settings.canary_flag, "unleash" if settings.canary_percent is None else "canario")
        ),
        users=users,
        segments=Segments(registry, listed_segments(settings.segments), judged_segments(settings.guardrails)),
    )

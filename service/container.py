"""The parts of one service, made from its settings and tied together."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from common.errors import CanarioError
from flags.admin import UnleashAdmin
from service.assignment import Assigner
from service.feedback.feedback import Feedback
from service.feedback.memory import memory
from service.feedback.outcomes import Outcomes, judged_outcomes, listed_outcomes
from service.feedback.request_ids import RequestIds
from service.guest.guest import Guest
from service.last_good import load_or_last_good
from service.lineup import Lineup, LineupMaker
from service.model_metrics import ModelMetrics
from service.models import Models
from service.rate import AdminRate
from service.records.log import RecordLog
from service.records.open import open_log
from service.records.users import Users, secret
from service.reload import Hearing, Line, Reloader
from service.reports import Refusal, Reports, WorkerReport
from service.serving import Predictor
from service.settings import Settings
from service.shadow import Records, Shadow
from service.telemetry import Telemetry


@dataclass(frozen=True)
class Parts:
    """What the routes work with. Models, predictor, guest and shadow may be others at each look."""

    settings: Settings
    line: Line
    reloader: Reloader
    reports: Reports
    assigner: Assigner
    admin: UnleashAdmin | None
    admin_rate: AdminRate
    log: RecordLog
    users: Users
    feedback: Feedback

    @property
    def predictor(self) -> Predictor:
        """What answers a request that begins now."""
        return self.line.lineup.predictor

    @property
    def models(self) -> Models:
        """What is served now."""
        return self.line.lineup.models

    @property
    def guest(self) -> Guest | None:
        """The challenger now, if there is one."""
        return self.line.lineup.guest

    @property
    def shadow(self) -> Shadow | None:
        """What takes samples now, if there is a challenger."""
        return self.line.lineup.shadow

    def close(self) -> None:
        """Stop background work; in-flight requests are the web server's to finish first."""
        self.reloader.close()
        lineup = self.line.lineup
        lineup.close_shadow()
        self.log.close()  # before the others: they may take until the master loses its patience
        lineup.close_guest()
        self.assigner.close()
        self.reports.end()


def assemble(settings: Settings, registry: CollectorRegistry) -> Parts:
    """Make all parts, and begin to follow Unleash; call it after the fork of a worker.

    Raises:
        CanarioError: no models can be served, see `load_or_last_good`.
    """
    reports = Reports(settings.workers_dir)
    reports.tell(WorkerReport(pid=os.getpid()))  # before the models are looked at
    metrics = ModelMetrics(registry)
    try:
        loaded = load_or_last_good(settings)
    except CanarioError as error:
        metrics.refused("start")
        reports.tell(WorkerReport(pid=os.getpid(), refused=Refusal(revision=None, reason=str(error))))
        raise
    flags = (settings.canary_flag, settings.shadow_flag)
    telemetry = Telemetry(
        registry, loaded.models.metadata, flags, (settings.canary_flag, settings.followed_environment)
    )
    hearing = Hearing()

    def heard(moment: float) -> None:
        telemetry.flags_fetched(moment)
        hearing.note(moment)

    assigner = Assigner(settings, heard, telemetry.flag_known)
    assigner.start()
    records, salt = open_log(settings, telemetry), secret(settings)
    users = Users(settings.log_users, salt)
    listed = listed_outcomes(settings.feedback_outcomes)
    outcomes = Outcomes(listed | judged_outcomes(settings.guardrails), is_closed=bool(listed))
    feedback = Feedback(RequestIds(salt), memory(), outcomes, records, users, telemetry)
    pairs = Records(records.record, users.name) if settings.log_predictions else None
    maker = LineupMaker(settings, registry, telemetry, assigner, pairs)
    line = Line(maker.make(loaded.models))
    metrics.began(line.lineup.revision)
    reloader = Reloader(
        settings,
        line,
        maker,
        hearing=hearing,
        metrics=metrics,
        reports=reports,
        on_swap=_swapped(telemetry),
        on_ended=_ended(telemetry, line),
        refused=loaded.refused,
    )
    reloader.start()
    return Parts(
        settings=settings,
        line=line,
        reloader=reloader,
        reports=reports,
        assigner=assigner,
        admin=_admin(settings),
        admin_rate=AdminRate(settings.admin_calls_per_minute),
        log=records,
        users=users,
        feedback=feedback,
    )


def _swapped(telemetry: Telemetry) -> Callable[[Lineup, Lineup], None]:
    def told(old: Lineup, new: Lineup) -> None:
        telemetry.models_changed(old.models.metadata, new.models.metadata)

    return told


def _ended(telemetry: Telemetry, line: Line) -> Callable[[], None]:
    def told() -> None:
        guest = line.lineup.guest  # the old one may have left its breaker open
        telemetry.breaker_open(guest is not None and guest.is_left_alone)

    return told


def _admin(settings: Settings) -> UnleashAdmin | None:
    if settings.unleash_admin_token is None:
        return None
    return UnleashAdmin(
        settings.unleash_url,
        settings.unleash_admin_token,
        project=settings.unleash_project,
        environment=settings.unleash_environment,
    )

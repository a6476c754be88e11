"""The parts of one service, made from its settings and tied together."""

import logging
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from flags.admin import UnleashAdmin
from service.artifact import Artifact, Metadata
from service.assignment import Assigner
from service.feedback.feedback import Feedback, Outcomes
from service.feedback.memory import memory
from service.feedback.request_ids import RequestIds
from service.guest.guest import Guest
from service.guest.sandbox import Terms
from service.guest.wire import rows_in_a_packet
from service.models import Models, load_models
from service.records.log import RecordLog
from service.records.open import open_log
from service.records.users import Users, secret
from service.serving import Predictor
from service.settings import Settings
from service.shadow import Limits, Records, Shadow
from service.shadow_metrics import ShadowMetrics
from service.telemetry import Telemetry

log = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Parts:
    """What the routes work with."""

    settings: Settings
    models: Models
    assigner: Assigner
    predictor: Predictor
    guest: Guest | None
    shadow: Shadow | None
    admin: UnleashAdmin | None
    log: RecordLog
    users: Users
    feedback: Feedback

    def close(self) -> None:
        """Stop background work; in-flight requests are the web server's to finish first."""
        if self.shadow:
            self.shadow.close()
        self.log.close()  # before the others: they may take until the master loses its patience
        if self.guest:
            self.guest.close()
        self.assigner.close()


def assemble(settings: Settings, registry: CollectorRegistry) -> Parts:
    """Make all parts, and begin to follow Unleash; call it after the fork of a worker.

    Raises:
        ArtifactError: see `load_models`.
    """
    models = load_models(settings)
    telemetry = Telemetry(registry, models.metadata, (settings.canary_flag, settings.shadow_flag))
    assigner = Assigner(settings, telemetry.flags_fetched, telemetry.flag_known)
    assigner.start()
    guest = _invite(models.challenger, settings, telemetry) if models.challenger else None
    records, salt = open_log(settings, telemetry), secret(settings)
    users = Users(settings.log_users, salt)
    outcomes = Outcomes({each.strip() for each in settings.feedback_outcomes.split(",")} - {""})
    feedback = Feedback(RequestIds(salt), memory(), outcomes, records, users, telemetry)
    pairs = Records(records.record, users.name) if settings.log_predictions else None
    shadow = _shadow(guest, models, settings, ShadowMetrics(registry), pairs) if guest else None
    predictor = Predictor(models, guest, assigner, telemetry, shadow)
    return Parts(
        settings=settings,
        models=models,
        assigner=assigner,
        predictor=predictor,
        guest=guest,
        shadow=shadow,
        admin=_admin(settings),
        log=records,
        users=users,
        feedback=feedback,
    )


def _invite(challenger: Artifact, settings: Settings, telemetry: Telemetry) -> Guest:
    if settings.drill_file:
        log.warning("drills are allowed: %s can make the challenger fail", settings.drill_file)
    terms = Terms(
        artifact=challenger.folder,
        classes=challenger.metadata.outputs,
        channels=settings.guest_concurrency,
        batch_rows=_batch_rows(challenger.metadata, settings),
        patience_seconds=settings.guest_deadline_seconds / 10,  # many times what a healthy call takes
        hang_seconds=settings.guest_hang_seconds,
        memory_bytes=settings.guest_memory_mb * MEBIBYTE,
        output=settings.state_dir,
        drill_file=settings.drill_file,
    )
    guest = Guest(challenger.metadata, terms, telemetry, settings.guest_deadline_seconds)
    guest.start()
    return guest


def _shadow(
    guest: Guest, models: Models, settings: Settings, metrics: ShadowMetrics, records: Records | None
) -> Shadow:
    limits = Limits(
        queue=settings.shadow_queue,
        rows=_batch_rows(models.champion.metadata, settings),
        linger_seconds=settings.shadow_linger_ms / 1000,
        batch_seconds=settings.guest_deadline_seconds,
        hang_seconds=settings.guest_hang_seconds,
    )
    shadow = Shadow(guest.ask_batch, models.metadata, metrics, limits, records)
    shadow.start()
    return shadow


def _batch_rows(metadata: Metadata, settings: Settings) -> int:
    return min(settings.shadow_batch, rows_in_a_packet(metadata))


def _admin(settings: Settings) -> UnleashAdmin | None:
    if settings.unleash_admin_token is None:
        return None
    return UnleashAdmin(
        settings.unleash_url,
        settings.unleash_admin_token,
        project=settings.unleash_project,
        environment=settings.unleash_environment,
    )

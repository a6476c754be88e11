"""The parts of one service, made from its settings and tied together."""

import logging
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from flags.admin import UnleashAdmin
from service.artifact import Artifact
from service.assignment import Assigner
from service.guest.guest import Guest
from service.guest.sandbox import Terms
from service.models import Models, load_models
from service.serving import Predictor
from service.settings import Settings
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
    admin: UnleashAdmin | None

    def close(self) -> None:
        """Stop background work; in-flight requests are the web server's to finish first."""
        if self.guest:
            self.guest.close()
        self.assigner.close()


def assemble(settings: Settings, registry: CollectorRegistry) -> Parts:
    """Make all parts, and begin to follow Unleash; call it after the fork of a worker.

    Raises:
        ArtifactError: see `load_models`.
    """
    models = load_models(settings)
    telemetry = Telemetry(registry, models.metadata, settings.canary_flag)
    assigner = Assigner(settings, telemetry.flags_fetched, telemetry.flag_known)
    assigner.start()
    guest = _invite(models.challenger, settings, telemetry) if models.challenger else None
    predictor = Predictor(models, guest, assigner, telemetry)
    return Parts(settings, models, assigner, predictor, guest, _admin(settings))


def _invite(challenger: Artifact, settings: Settings, telemetry: Telemetry) -> Guest:
    if settings.drill_file:
        log.warning("drills are allowed: %s can make the challenger fail", settings.drill_file)
    terms = Terms(
        artifact=challenger.folder,
        classes=challenger.metadata.outputs,
        channels=settings.guest_concurrency,
        patience_seconds=settings.guest_deadline_seconds / 10,  # many times what a healthy call takes
        hang_seconds=settings.guest_hang_seconds,
        memory_bytes=settings.guest_memory_mb * MEBIBYTE,
        output=settings.state_dir,
        drill_file=settings.drill_file,
    )
    guest = Guest(challenger.metadata, terms, telemetry, settings.guest_deadline_seconds)
    guest.start()
    return guest


def _admin(settings: Settings) -> UnleashAdmin | None:
    if settings.unleash_admin_token is None:
        return None
    return UnleashAdmin(
        settings.unleash_url,
        settings.unleash_admin_token,
        project=settings.unleash_project,
        environment=settings.unleash_environment,
    )

"""The parts of one service, made from its settings and tied together."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from common.names import Model
from flags.admin import UnleashAdmin
from service.artifact import load_artifact, require_same_interface
from service.assignment import Assigner
from service.drill import Drill
from service.guest import Guest
from service.model import OnnxModel
from service.serving import Predictor
from service.settings import Settings
from service.telemetry import Telemetry


@dataclass(frozen=True)
class Models:
    """The loaded models; both take the same features and know the same classes."""

    champion: OnnxModel
    challenger: OnnxModel | None


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


def load_models(settings: Settings) -> Models:
    """Load and verify the artifacts that `settings` name.

    Raises:
        ArtifactError: a folder must not be served, or the two do not fit each other.
    """
    champion = load_artifact(settings.champion)
    if settings.challenger is None:
        return Models(OnnxModel(champion), None)
    challenger = load_artifact(settings.challenger)
    require_same_interface(champion, challenger)
    return Models(OnnxModel(champion), OnnxModel(challenger))


def assemble(settings: Settings, registry: CollectorRegistry) -> Parts:
    """Make all parts, and begin to follow Unleash; call it after the fork of a worker.

    Raises:
        ArtifactError: see `load_models`.
    """
    models = load_models(settings)
    loaded = {Model.CHAMPION: models.champion.metadata}
    if models.challenger:
        loaded[Model.CHALLENGER] = models.challenger.metadata
    telemetry = Telemetry(registry, loaded, settings.canary_flag)
    assigner = Assigner(settings, telemetry.flags_fetched, telemetry.flag_known)
    guest = _invite(models.challenger, settings, telemetry) if models.challenger else None
    assigner.start()
    predictor = Predictor(models.champion, models.challenger, guest, assigner, telemetry)
    return Parts(settings, models, assigner, predictor, guest, _admin(settings))


def _invite(challenger: OnnxModel, settings: Settings, telemetry: Telemetry) -> Guest:
    return Guest(
        challenger,
        Drill(settings.drill_file),
        telemetry,
        deadline_seconds=settings.guest_deadline_seconds,
        concurrency=settings.guest_concurrency,
    )


def _admin(settings: Settings) -> UnleashAdmin | None:
    if settings.unleash_admin_token is None:
        return None
    return UnleashAdmin(
        settings.unleash_url,
        settings.unleash_admin_token,
        project=settings.unleash_project,
        environment=settings.unleash_environment,
    )

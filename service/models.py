"""Which models are served: loaded, verified, and fit for each other."""

from dataclasses import dataclass
from pathlib import Path

from common.model_store import ModelStore
from common.names import Model
from common.release import Entry, Release
from service.artifact import (
    METADATA_FILE,
    Artifact,
    ArtifactError,
    Metadata,
    load_artifact,
    require_same_interface,
)
from service.model import OnnxModel
from service.settings import Settings


@dataclass(frozen=True)
class Models:
    """What is served; both models take the same features and know the same classes.

    The challenger is verified but not loaded: that is for its own process, because even that may crash.

    Attributes:
        release: what `roles.json` said; None where the settings name the folders.
    """

    champion: OnnxModel
    challenger: Artifact | None
    release: Release | None = None

    @property
    def metadata(self) -> dict[Model, Metadata]:
        """Of each model that there is."""
        found = {Model.CHAMPION: self.champion.metadata}
        if self.challenger:
            found[Model.CHALLENGER] = self.challenger.metadata
        return found


def load_models(settings: Settings) -> Models:
    """Load and verify the artifacts that `settings` name, or `roles.json` of their models folder.

    Raises:
        ArtifactError: a folder must not be served, or the two do not fit each other.
        ConfigError: `roles.json` is missing, or is none.
    """
    if settings.models is not None:
        return load_release(settings, ModelStore(settings.models).read())
    if settings.champion is None:
        raise ArtifactError("no champion is named")  # the settings are validated: never
    challenger = load_artifact(settings.challenger) if settings.challenger else None
    return _load(settings, load_artifact(settings.champion), challenger)


def load_release(settings: Settings, release: Release) -> Models:
    """Load and verify the artifacts to which `release` gives roles.

    Raises:
        ArtifactError: see `load_models`; or a folder holds another model than the release says.
    """
    if settings.models is None:
        raise ArtifactError("no models folder is set")
    roles = release.roles
    champion = _entry(settings.models, roles.champion)
    challenger = _entry(settings.models, roles.challenger) if roles.challenger else None
    return _load(settings, champion, challenger, release)


def _entry(models: Path, entry: Entry) -> Artifact:
    artifact = load_artifact(models / entry.folder)
    if artifact.metadata.sha256 != entry.sha256:
        raise ArtifactError(
            f"{artifact.folder}: its sha256 is {artifact.metadata.sha256}, but roles.json says {entry.sha256}"
        )
    return artifact


def _load(
    settings: Settings, champion: Artifact, challenger: Artifact | None, release: Release | None = None
) -> Models:
    if challenger is not None:
        require_same_interface(champion, challenger)
    for each in (champion, challenger):
        if each is not None and each.metadata.faults and not settings.drill_file:
            raise ArtifactError(
                f"{each.folder}: this model is made to fail (its {METADATA_FILE} has `faults`); that is "
                "for drills, and those are allowed only with CANARIO_DRILL_FILE"
            )
    return Models(OnnxModel(champion), challenger, release)

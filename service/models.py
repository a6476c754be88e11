"""Which models are served: loaded, verified, and fit for each other."""

from dataclasses import dataclass

from common.names import Model
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
    """

    champion: OnnxModel
    challenger: Artifact | None

    @property
    def metadata(self) -> dict[Model, Metadata]:
        """Of each model that there is."""
        found = {Model.CHAMPION: self.champion.metadata}
        if self.challenger:
            found[Model.CHALLENGER] = self.challenger.metadata
        return found


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
    if challenger.metadata.faults and not settings.drill_file:
        raise ArtifactError(
            f"{challenger.folder}: this model is made to fail (its {METADATA_FILE} has `faults`); that is "
            "for drills, and those are allowed only with CANARIO_DRILL_FILE"
        )
    return Models(OnnxModel(champion), challenger)

"""Which models are served: loaded, verified, and fit for each other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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


class Source(NamedTuple):
    """Where a model lies, and which one must be there; None where the settings name the folder."""

    role: Model
    folder: Path
    entry: Entry | None


Fetch = Callable[[Source], Artifact]


@dataclass(frozen=True)
class Models:
    """What is served; both models take the same features and know the same classes.

    The challenger is verified but not loaded: that is for its own process, because even that may crash.

    Attributes:
        release: what `roles.json` said; None where the settings name the folders.
        left_out: why a challenger that is wanted is not among them, if so.
    """

    champion: OnnxModel
    challenger: Artifact | None
    release: Release | None = None
    left_out: str | None = None

    @property
    def metadata(self) -> dict[Model, Metadata]:
        """Of each model that there is."""
        found = {Model.CHAMPION: self.champion.metadata}
        if self.challenger:
            found[Model.CHALLENGER] = self.challenger.metadata
        return found


def fetch(source: Source) -> Artifact:
    """The artifact at `source`.

    Raises:
        ArtifactError: it must not be served, or is another one.
    """
    artifact = load_artifact(source.folder)
    if source.entry and artifact.metadata.sha256 != source.entry.sha256:
        raise ArtifactError(
            f"{artifact.folder}: its sha256 is {artifact.metadata.sha256}, but roles.json says "
            f"{source.entry.sha256}"
        )
    return artifact


def load_models(settings: Settings, fetched: Fetch = fetch, *, left_out: str | None = None) -> Models:
    """Load and verify the artifacts that `settings` name, or `roles.json` of their models folder.

    Args:
        left_out: why to do without a challenger; None: it is loaded.

    Raises:
        ArtifactError: a folder must not be served, or the two do not fit each other.
        ConfigError: `roles.json` is missing, or is none.
    """
    if settings.models is not None:
        return load_release(settings, ModelStore(settings.models).read(), fetched, left_out=left_out)
    if settings.champion is None:
        raise ArtifactError("no champion is named")  # the settings are validated: never
    champion = Source(Model.CHAMPION, settings.champion, None)
    challenger = Source(Model.CHALLENGER, settings.challenger, None) if settings.challenger else None
    return _load(settings, fetched, champion, challenger, left_out=left_out)


def load_release(
    settings: Settings, release: Release, fetched: Fetch = fetch, *, left_out: str | None = None
) -> Models:
    """Load and verify the artifacts to which `release` gives roles.

    Raises:
        ArtifactError: see `load_models`; or a folder holds another model than the release says.
    """
    if settings.models is None:
        raise ArtifactError("no models folder is set")
    roles = release.roles
    champion = Source(Model.CHAMPION, settings.models / roles.champion.folder, roles.champion)
    challenger = None
    if roles.challenger:
        challenger = Source(Model.CHALLENGER, settings.models / roles.challenger.folder, roles.challenger)
    return _load(settings, fetched, champion, challenger, release, left_out=left_out)


def _load(  # noqa: PLR0913 - it is private, and its callers name them
    settings: Settings,
    fetched: Fetch,
    wanted: Source,
    rival: Source | None,
    release: Release | None = None,
    *,
    left_out: str | None,
) -> Models:
    champion = fetched(wanted)
    challenger = fetched(rival) if rival and left_out is None else None
    if challenger is not None:
        require_same_interface(champion, challenger)
    for each in (champion, challenger):
        if each is not None and each.metadata.faults and not settings.drill_file:
            raise ArtifactError(
                f"{each.folder}: this model is made to fail (its {METADATA_FILE} has `faults`); that is "
                "for drills, and those are allowed only with CANARIO_DRILL_FILE"
            )
    return Models(OnnxModel(champion), challenger, release, left_out if rival else None)

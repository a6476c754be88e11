"""Which models are served: loaded, verified, and fit for each other; or copies of those served last.

The copies lie in the state folder, as a models folder of their own: whatever happens to the folder that
models come from, running workers go on with what they loaded, and one that must start meanwhile is no worse
off. Copies, no hard links: a file may also be damaged in place.
"""

import hashlib
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from common.config import ConfigError, load_json
from common.errors import CanarioError
from common.model_store import METADATA_FILE, ModelStore
from common.names import Model
from common.release import Entry, Note, Release, installed
from service.models.artifact import (
    Artifact,
    ArtifactError,
    Metadata,
    load_artifact,
    require_same_interface,
)
from service.models.interface import Interface
from service.models.onnx_model import Answer, OnnxModel, Row
from service.remote.champion import RemoteChampion
from service.settings import Settings

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """Where a model lies, and which one must be there; None where the settings name the folder."""

    role: Model
    folder: Path
    entry: Entry | None


Fetch = Callable[[Source], Artifact]


class Champion(Protocol):
    """A model that answers in a request. Safe for several threads."""

    metadata: Metadata

    def answers(self, rows: Row) -> list[Answer]:
        """The answers to `rows`, shape (n, features). Raises InvalidAnswerError, NoAnswerError."""


@dataclass(frozen=True)
class Models:
    """What is served; both models know the same classes, and may take other features.

    The challenger is verified but not loaded: that is for its own process, because even that may crash.
    Either may run elsewhere.

    Attributes:
        release: what `roles.json` said; None where the settings name the folders.
        retired: names of features that models before took: they may still come.
        left_out: why a challenger that is wanted is not among them, if so.
    """

    champion: Champion
    challenger: Artifact | None
    release: Release | None = None
    left_out: str | None = None
    retired: frozenset[str] = frozenset()

    @cached_property
    def interface(self) -> Interface:
        """What requests bring, and what of it each model takes."""
        challenger = self.challenger.metadata if self.challenger else None
        return Interface(self.champion.metadata, challenger, self.retired)

    @cached_property
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
        if each is not None and each.metadata.faults is not None and not settings.drill_file:
            raise ArtifactError(
                f"{each.folder}: this model is made to fail (its {METADATA_FILE} has `faults`); that is "
                "for drills, and those are allowed only with CANARIO_DRILL_FILE"
            )
    loaded: Champion
    if champion.remote:
        loaded = RemoteChampion(champion, champion.remote, settings.champion_deadline_seconds)
    else:
        loaded = OnnxModel(champion)
    retired = _names_in(settings.models) if settings.models else frozenset()
    return Models(loaded, challenger, release, left_out if rival else None, retired)


def _names_in(folder: Path) -> frozenset[str]:
    """Of the features of all models that a models folder holds, those that served before too."""
    found: set[str] = set()
    for file in folder.glob(f"*/{METADATA_FILE}"):
        with suppress(ConfigError):  # it serves nobody
            found.update(load_json(file, Metadata).names)
    return frozenset(found)


class Loaded(NamedTuple):
    """Models to serve, and what is wrong with those that are wanted, or with their folders; None: nothing."""

    models: Models
    refused: str | None


def load_or_last_good(settings: Settings) -> Loaded:
    """The models that the settings want, as far as they can be had, or else those that were served last.

    In this order: from their folders; with our own copies in place of folders that are damaged; without a
    challenger; what `roles.json` said last; and that without a challenger.

    Raises:
        CanarioError: as `load_models`, where there is no champion to be had.
    """
    try:
        return Loaded(load_models(settings), None)
    except CanarioError as error:
        refused = error
    copies = LastGood(settings)
    for left_out in (None, str(refused)):
        with suppress(CanarioError):
            return Loaded(load_models(settings, copies.fetch, left_out=left_out), str(refused))
    for left_out in (None, str(refused)):
        with suppress(CanarioError):
            release = copies.store.read()
            return Loaded(load_release(settings, release, copies.fetch, left_out=left_out), str(refused))
    raise refused


class LastGood:
    """The copies of one service. What it reads of them it verifies."""

    def __init__(self, settings: Settings) -> None:
        # Services may share a state folder; and what served from other folders is no replacement for these.
        self._prefix = f"last-good-{settings.bind.replace('/', '_')}-"
        named = (settings.models, settings.champion, settings.challenger)
        digest = hashlib.sha256("\n".join(str(each and each.absolute()) for each in named).encode())
        self._folders = named
        self.store = ModelStore(settings.state_dir / f"{self._prefix}{digest.hexdigest()[:12]}")

    def fetch(self, source: Source) -> Artifact:
        """The artifact at `source`, or our copy of it where that is damaged. Raises ArtifactError."""
        try:
            return fetch(source)
        except ArtifactError as error:
            try:
                copy = self._copy(source)
            except CanarioError:
                raise error from None
            log.error("our own copy is served: %s", error)
            return copy

    def keep(self, models: Models) -> None:
        """Keep copies of `models`, and of no others. A disk that is full or read-only costs only this."""
        try:
            self._keep(models)
        except (CanarioError, OSError) as error:
            log.warning("the models that are served cannot be kept in %s: %s", self.store.folder, error)

    def _copy(self, source: Source) -> Artifact:
        roles = self.store.read().roles
        entry = source.entry or (roles.champion if source.role is Model.CHAMPION else roles.challenger)
        if entry is None:
            raise ArtifactError(f"{source.folder}: there is no copy")
        self.store.verify(entry)
        return fetch(Source(source.role, self.store.path(entry), entry))

    def _keep(self, models: Models) -> None:
        folders = self._of(models)
        with self.store.alone():
            if models.release and models.release != self._wanted():
                return  # whoever serves what is newer keeps that
            self.store.remove_unfinished()
            entries = [self.store.add(folder) for folder in folders]
            served = [each.sha256 for each in models.metadata.values()]
            if [each.sha256 for each in entries] != served:
                raise ArtifactError("their folders hold others by now")
            champion, challenger = entries[0], entries[1] if len(entries) > 1 else None
            release = models.release or installed(champion, challenger, Note("the service"))
            self.store.replace(release, keep={each.folder for each in entries})
        for other in self.store.folder.parent.glob(f"{self._prefix}*"):
            if other != self.store.folder:
                shutil.rmtree(other, ignore_errors=True)

    def _wanted(self) -> Release | None:
        whole, *_ = self._folders
        return ModelStore(whole).read() if whole else None

    def _of(self, models: Models) -> list[Path]:
        """The folders from which `models` came, the champion's first."""
        whole, champion, challenger = self._folders
        if whole is None:
            return [each for each in (champion, challenger) if each is not None]
        roles = models.release.roles if models.release else None
        entries = (roles.champion, roles.challenger) if roles else ()
        return [whole / each.folder for each in entries if each is not None]

"""Copies of the models that were served last: what a worker that starts falls back on.

They lie in the state folder, as a models folder of their own: whatever happens to the folder that models
come from, running workers go on with what they loaded, and one that must start meanwhile is no worse off.
Copies, no hard links: a file may also be damaged in place.
"""

import hashlib
import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from common.errors import CanarioError
from common.model_store import ModelStore
from common.names import Model
from common.release import Note, Release, installed
from service.artifact import Artifact, ArtifactError
from service.models import Models, Source, fetch, load_models, load_release
from service.settings import Settings

log = logging.getLogger(__name__)


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

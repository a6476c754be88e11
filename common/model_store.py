"""A models folder on disk: artifact folders that never change, and `roles.json`, which says who serves.

    <models>/roles.json                    see common.release
    <models>/churn-3-0f2a6c1b9e44/         model.json, and model.onnx or remote.json; copied in once

Whoever serves only reads, and the folder may be read-only for it. `roles.json` is replaced whole by one
rename: a reader sees the old one or the new one, whenever the writer dies.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from common.config import ConfigError, dotted, plain
from common.errors import CanarioError
from common.files import replace_whole
from common.onnx_file import OnnxFileError, require_self_contained
from common.release import Entry, Note, Release, ReleaseError, installed

ROLES_FILE = "roles.json"
LOCK_FILE = "roles.lock"
MODEL_FILE, METADATA_FILE = "model.onnx", "model.json"
REMOTE_FILE = "remote.json"  # in place of a model that runs elsewhere: where it is
LOCK_SECONDS = 5.0  # a change holds the lock for milliseconds
DIGITS = 12  # of the digest in a folder's name
_UNFINISHED = ".unfinished-"
_FOLDER = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]*-[0-9a-f]{{{DIGITS}}}")


class Identity(BaseModel):
    """Of `model.json`, what a role or a mark needs; the service validates the rest before it serves."""

    name: str
    version: str
    sha256: str


def read_identity(artifact: Path) -> Identity:
    """Which model an artifact folder says that it holds; it may hold another.

    Raises:
        OSError, ValidationError: there is no `model.json`, or it is none.
    """
    return Identity.model_validate_json((artifact / METADATA_FILE).read_bytes())


def model_file(artifact: Path) -> Path:
    """The file of an artifact folder whose sha256 `model.json` names: the model, or where a remote one is."""
    model, remote = artifact / MODEL_FILE, artifact / REMOTE_FILE
    return remote if remote.is_file() and not model.exists() else model


def require_intact(file: Path, content: bytes, sha256: str) -> None:
    """Refuse a `model_file` that is not the one that `model.json` names, or that needs other files.

    Raises:
        CanarioError: it says which file.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise CanarioError(
            f"{file}: its sha256 is {found}, but {METADATA_FILE} says {sha256}; "
            "the file was changed or cut short after the export: export the model again"
        )
    if file.name == REMOTE_FILE:
        return
    try:
        require_self_contained(content)
    except OnnxFileError as error:
        raise CanarioError(f"{file}: {error}") from error


class ModelStore:
    """Reads and changes one models folder. Processes and threads may use it at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def roles_file(self) -> Path:
        """The pointer: who serves as what."""
        return self.folder / ROLES_FILE

    def read(self) -> Release:
        """Who serves now.

        Raises:
            ConfigError: there is no `roles.json`, or it is none.
        """
        return read_release(self.roles_file)

    def path(self, entry: Entry) -> Path:
        """The artifact folder of `entry`."""
        return self.folder / entry.folder

    def change(self, transition: Callable[[Release], Release], *, expect: int | None = None) -> Release:
        """Replace the release by what `transition` makes of it; nobody else changes it meanwhile.

        Args:
            expect: the revision that the caller's decision rests on.

        Raises:
            ReleaseError: the transition refuses, the revision is another, or the folder cannot be written.
            ConfigError: see `read`.
        """
        with self.alone():
            now = self.read()
            if expect is not None and now.revision != expect:
                raise ReleaseError(
                    f"{self.roles_file}: revision {now.revision} is not {expect}: {now.last.by} was faster "
                    f"({now.last.kind}). Nothing was changed; look at it again"
                )
            after = transition(now)
            for name in after.needed - now.needed:  # `prune` may have been faster
                if not (self.folder / name).is_dir():
                    raise ReleaseError(f"{self.folder / name}: is gone, and nothing was changed: do it again")
            self._write(after)
        return after

    def install(
        self, champion: Path, challenger: Path | None, note: Note, *, refresh: bool = False
    ) -> Release:
        """Copy the first models in and give them their roles. Where there are roles already, they stay.

        Args:
            refresh: replace the first models, as long as nobody else has changed roles or put them there.

        Raises:
            ConfigError: see `read`.
            ReleaseError: a folder is no artifact, or the models folder cannot be written.
        """
        with self.alone():
            now = self.read() if self.roles_file.exists() else None
            if now and (now.revision > 1 or not refresh or now.last.by != note.by):
                return now
            first = installed(self.add(champion), self.add(challenger) if challenger else None, note)
            if now and now.roles == first.roles:
                return now
            self._write(first)
        return first

    def add(self, artifact: Path) -> Entry:
        """Copy an artifact folder in, under a name that no other content has. Gives nobody a role.

        Raises:
            ReleaseError: it is no artifact, its sha256 is not what it says, it needs other files, or it
                cannot be copied.
        """
        entry, content = _read(artifact)  # once: what is copied is what was verified
        target = self.path(entry)
        try:
            if self._holds(entry):
                return entry
            with self._unfinished() as folder:
                for name, each in content.items():
                    (folder / name).write_bytes(each)
                    _sync(folder / name)
                folder.chmod(0o755)
                shutil.rmtree(target, ignore_errors=True)  # only one that was damaged is here
                folder.rename(target)
                _sync(self.folder)
        except OSError as error:
            raise ReleaseError(f"{target}: the model cannot be copied there: {error.strerror}") from error
        return entry

    def verify(self, entry: Entry) -> None:
        """Refuse an artifact folder that is not what `entry` says. Raises ReleaseError."""
        found = _identify(self.path(entry))
        if (found.sha256, found.name, found.version) != (entry.sha256, entry.name, entry.version):
            raise ReleaseError(f"{self.path(entry)}: holds {found}, but {ROLES_FILE} says {entry}")

    def prune(self, keep: int, *, dry_run: bool = False) -> tuple[Path, ...]:
        """Remove the folders of models that nobody needs, but for the `keep` that were used last.

        What a role or the way back points at stays in any case, and so does what is no artifact folder of
        this store's making. Returns what was removed, or with `dry_run` would be; the longest unused first.

        Raises:
            ConfigError: see `read`.
            ReleaseError: a folder cannot be removed; others may have been.
        """
        with self.alone():
            now = self.read()
            idle = sorted(
                (used, folder.name)
                for folder in self.folder.iterdir()
                if _FOLDER.fullmatch(folder.name) and folder.name not in now.needed
                if (used := self._last_used(folder, now)) is not None
            )
            surplus = [self.folder / name for _, name in idle[: max(len(idle) - keep, 0)]]
            for folder in surplus:
                if not dry_run:
                    self._remove(folder)
        return tuple(surplus)

    def replace(self, release: Release, keep: Collection[str]) -> None:
        """Write `release`, and remove all models but `keep`. For who is `alone`, and has a folder to himself.

        Raises:
            ReleaseError: the folder cannot be written.
        """
        self._write(release)
        for folder in self.folder.iterdir():
            if _FOLDER.fullmatch(folder.name) and folder.name not in keep:
                self._remove(folder)

    def remove_unfinished(self) -> None:
        """Remove what was being copied when its writer died. For who is `alone`."""
        for folder in self.folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _last_used(self, folder: Path, now: Release) -> datetime | None:
        """When it was copied in, or last had a role; None where it is no artifact folder."""
        try:
            identity = read_identity(folder)
            made = datetime.fromtimestamp((folder / METADATA_FILE).stat().st_mtime, UTC)
            entry = Entry(folder=folder.name, **identity.model_dump())
        except (OSError, ValidationError):
            return None
        return max(made, now.last_role(entry) or made)

    def _remove(self, folder: Path) -> None:
        try:
            with self._unfinished() as grave:  # whoever looks sees all of a model or nothing
                folder.rename(grave / folder.name)
        except OSError as error:
            raise ReleaseError(f"{folder}: cannot be removed: {error.strerror}") from error

    def _holds(self, entry: Entry) -> bool:
        try:
            return _identify(self.path(entry)) == entry
        except ReleaseError:
            return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile. Raises ReleaseError where another takes too long."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / LOCK_FILE).open("a")
        except OSError as error:
            raise ReleaseError(f"{self.folder}: cannot be written: {error.strerror}") from error
        with lock:
            end = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() > end:
                        raise ReleaseError(
                            f"{self.folder / LOCK_FILE}: another process has changed roles for "
                            f"{LOCK_SECONDS:.0f} s; nothing was changed"
                        ) from error
                    time.sleep(0.02)
            yield

    def _write(self, release: Release) -> None:
        new = self.folder / f".{ROLES_FILE}.new"  # one name: the lock is held, and a crash leaves no heap
        try:
            text = release.model_dump_json(indent=2) + "\n"
            replace_whole(self.roles_file, text, durable=True, unfinished=new)
            _sync(self.folder)
        except OSError as error:
            raise ReleaseError(f"{self.roles_file}: cannot be written: {error.strerror}") from error

    @contextmanager
    def _unfinished(self) -> Iterator[Path]:
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def read_release(file: Path) -> Release:
    """The release in `file`. Not by the YAML parser: workers read it while they answer requests.

    Raises:
        ConfigError: the file is missing, or is no release.
    """
    try:
        return Release.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        faults = error.errors(include_url=False)
        told = "; ".join(f"{dotted(each['loc'])}: {plain(each['msg'])}" for each in faults)
        raise ConfigError(f"{file}: {told}") from error


def _identify(artifact: Path) -> Entry:
    """What is in an artifact folder; its sha256 is taken of the model as it lies there."""
    return _read(artifact)[0]


def _read(artifact: Path) -> tuple[Entry, dict[str, bytes]]:
    """What is in an artifact folder, and its files."""
    file = model_file(artifact)
    try:
        told, model = (artifact / METADATA_FILE).read_bytes(), file.read_bytes()
    except OSError as error:
        raise ReleaseError(f"{artifact}: is no model folder: {error.filename}: {error.strerror}") from error
    try:
        identity = Identity.model_validate_json(told)
    except ValidationError as error:
        raise ReleaseError(
            f"{artifact / METADATA_FILE}: is no model's: {error.errors()[0]['msg']}; make model folders with "
            "`./canario export`"
        ) from error
    try:
        require_intact(file, model, identity.sha256)
    except CanarioError as error:
        raise ReleaseError(str(error)) from error
    digest = hashlib.sha256(told + identity.sha256.encode()).hexdigest()[:DIGITS]
    folder = f"{_short(identity.name)}-{_short(identity.version)}-{digest}"
    try:
        entry = Entry(folder=folder, **identity.model_dump())
    except ValidationError as error:
        raise ReleaseError(f"{artifact / METADATA_FILE}: {error.errors()[0]['msg']}") from error
    return entry, {file.name: model, METADATA_FILE: told}


def _short(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:100]


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The decisions log: a folder with one JSON document for each decision, so that it can be explained later.

The job never reads it to decide anything: without the folder it decides the same. Documents are written to a
hidden file that is then renamed, so a reader sees a whole one or none, whenever the writer is killed.
"""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import ValidationError

from common.config import dotted, plain
from common.errors import CanarioError
from common.files import replace_whole
from rollback.decisions.record import Decision
from rollback.settings import DecisionSettings

SUFFIX = ".json"
KEPT = ("-rollback-", "-stop-")
ABANDONED_SECONDS = 3600.0  # a hidden file this old is of a writer that was killed

_log = logging.getLogger(__name__)


class DecisionError(CanarioError):
    """A decision that is not there, or cannot be read; the text says which, and what to do."""


class DecisionLog:
    """One folder. Several jobs may write to it at once."""

    def __init__(self, folder: Path, *, most_bytes: int) -> None:
        """`folder` is made when it is first needed; `most_bytes` is what routine decisions may fill it to."""
        self.folder = folder
        self._most_bytes = most_bytes

    def write(self, decision: Decision, *, durable: bool = True) -> None:
        """Keep a decision, in place of an earlier document of the same id, and remove old routine ones.

        With `durable` it outlives a loss of power; without, only the end of this process, and is quicker.

        Raises:
            OSError: the disk is full, read-only or gone.
        """
        document = decision.model_dump(mode="json", by_alias=True, exclude={"verdicts"})
        document["verdicts"] = decision.verdicts  # JSON already, and large: counts of two days
        text = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
        self.folder.mkdir(parents=True, exist_ok=True)
        hidden = self.folder / f".{decision.id}.{os.getpid()}.tmp"
        replace_whole(self.folder / f"{decision.id}{SUFFIX}", text, durable=durable, unfinished=hidden)
        if durable:
            self._prune()

    def ids(self) -> list[str]:
        """All ids, oldest first; none where there is no folder yet.

        Raises:
            DecisionError: the folder cannot be read.
        """
        try:
            names = [file.name for file in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DecisionError(f"{self.folder} cannot be read: {error.strerror}") from error
        found = (name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))
        return sorted(name for name in found if not name.startswith("."))

    def read(self, decision_id: str) -> Decision:
        """One decision.

        Raises:
            DecisionError: it is not there, or no document of this version of the job.
        """
        file = self.folder / f"{decision_id}{SUFFIX}"
        try:
            return Decision.model_validate_json(file.read_bytes())
        except OSError as error:
            raise DecisionError(f"{file} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise DecisionError(
                f"{file} is no decision of this version of the job: {dotted(first['loc'])}: "
                f"{plain(first['msg'])}"
            ) from error

    def find(self, text: str) -> Decision:
        """The decision whose id is `text`, or the only one whose id begins or ends with it.

        Raises:
            DecisionError: there is none, or more than one.
        """
        every = self.ids()
        fitting = [one for one in every if one == text] or [
            one for one in every if one.startswith(text) or one.endswith(text)
        ]
        if len(fitting) != 1:
            what = f"{len(fitting)} decisions" if fitting else "no decision"
            raise DecisionError(f"{self.folder} has {what} whose id begins or ends with {text}: see --list")
        return self.read(fitting[0])

    def newest(self, most: int) -> Iterator[Decision]:
        """The last decisions, newest first; those that cannot be read are left out."""
        for one in reversed(self.ids()[-most:]):
            try:
                yield self.read(one)
            except DecisionError as error:
                _log.warning("a decision is left out", extra={"error": str(error)})

    def latest(self) -> Decision:
        """The last rollback, or, where there was none, the last decision.

        Raises:
            DecisionError: there is none, or it cannot be read.
        """
        every = self.ids()
        if not every:
            raise DecisionError(f"{self.folder} holds no decision yet")
        rollbacks = [one for one in every if "-rollback-" in one]
        return self.read((rollbacks or every)[-1])

    def stop_of(self, decision: Decision) -> Decision | None:
        """The decision on the stop of a rollback: the first that saw it, else the last that did not.

        Raises:
            DecisionError: one that may be it cannot be read.
        """
        record, found = decision.rollback, None
        if record is None:
            return None
        for one in self.ids():
            if one < decision.id or "-stop-" not in one:
                continue
            later = self.read(one)
            if later.stop is None or (later.flag, later.environment) != (decision.flag, decision.environment):
                continue
            same_change = record.off_revision is not None and later.stop.off_revision == record.off_revision
            if later.stop.rollback == decision.id or same_change:
                found = later
                if later.stop.stopped_at:
                    break
        return found

    def _prune(self) -> None:
        """Remove the oldest routine documents while the folder is too large; never those of rollbacks."""
        sizes = {}
        for entry in os.scandir(self.folder):
            try:
                stat = entry.stat()
            except FileNotFoundError:
                continue  # another job was faster
            if entry.name.endswith(".tmp") and stat.st_mtime < time.time() - ABANDONED_SECONDS:
                Path(entry.path).unlink(missing_ok=True)
            elif entry.name.endswith(SUFFIX):
                sizes[entry.name] = stat.st_size
        over = sum(sizes.values()) - self._most_bytes
        for name in sorted(sizes):
            if over <= 0:
                return
            if not any(kind in name for kind in KEPT):
                (self.folder / name).unlink(missing_ok=True)
                over -= sizes[name]
        if over > 0:
            _log.warning(
                "the decisions log is over its bound with rollbacks alone, which are kept",
                extra={"folder": str(self.folder), "bytes_over": over},
            )


def log_from(settings: DecisionSettings, folder: Path | None = None) -> DecisionLog | None:
    """The log in `folder`, or where the settings want it; None where nothing names a folder."""
    found = folder or settings.decisions_dir
    return DecisionLog(found, most_bytes=settings.decisions_megabytes * 10**6) if found else None

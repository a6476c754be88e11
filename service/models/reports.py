"""What each worker serves, written to files, so that any worker can tell it of all of them.

A file for each worker in the state folder, by its process id, replaced whole. It is there, with nothing
served yet, before the worker reads `roles.json`: whoever changes that and then looks here sees either a
report of the new models, or a worker that is behind.
"""

import logging
import os
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from common.files import replace_whole
from common.names import Model
from service.models.artifact import Metadata

log = logging.getLogger(__name__)


class ServedModel(BaseModel):
    """A model that is loaded."""

    name: str
    version: str
    sha256: str


class Refusal(BaseModel):
    """A release that a worker did not take."""

    revision: int | None = Field(description="Of roles.json; null where that could not be read.")
    reason: str


class WorkerReport(BaseModel):
    """What one worker serves."""

    pid: int
    revision: int | None = Field(
        None, description="Of roles.json, as served; null before the first, and without CANARIO_MODELS."
    )
    models: dict[Model, ServedModel] = Field(
        {}, description="Empty while the worker starts; without a challenger everybody gets the champion."
    )
    refused: Refusal | None = Field(
        None, description="What is wanted and this worker does not serve, or only from a copy of its own."
    )
    challenger_trouble: str | None = Field(
        None, description="Why the challenger, which is wanted, does not run in this worker."
    )


def served(metadata: dict[Model, Metadata]) -> dict[Model, ServedModel]:
    """The models as they are told."""
    return {
        role: ServedModel(name=each.name, version=each.version, sha256=each.sha256)
        for role, each in metadata.items()
    }


class Reports:
    """The report of this worker, and those of the others. `folder` belongs to one service."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / f"{os.getpid()}.json"

    def write(self, report: WorkerReport) -> None:
        """Replace this worker's report. A full disk costs the report alone: whoever waits for it says so."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_whole(self._file, report.model_dump_json(), unfinished=self._file.with_suffix(".new"))
        except OSError as error:
            log.error("what this worker serves cannot be written to %s: %s", self._file, error)

    def end(self) -> None:
        """Remove this worker's report."""
        self._file.unlink(missing_ok=True)

    def all(self) -> list[WorkerReport]:
        """Of the workers that live, by process id; a report that is damaged says so in `refused`."""
        found = []
        for file in self._folder.glob("*.json"):
            if not _is_sibling(file.stem):
                continue
            try:
                found.append(WorkerReport.model_validate_json(file.read_bytes()))
            except FileNotFoundError:
                continue
            except (OSError, ValidationError):
                told = f"what this worker serves cannot be read in {file}: restart it (kill {file.stem})"
                found.append(WorkerReport(pid=int(file.stem), refused=Refusal(revision=None, reason=told)))
        return sorted(found, key=lambda report: report.pid)


def _is_sibling(pid: str) -> bool:
    """Whether the process is a child of this one's parent: a live worker, not just its number."""
    if not pid.isdecimal():
        return False
    try:
        stat = Path("/proc", pid, "stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return int(stat.rpartition(")")[2].split()[1]) == os.getppid()

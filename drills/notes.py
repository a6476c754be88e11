"""What a run changes, written down before it does: who is killed by SIGKILL cannot bring anything back.

The next demo finds the file, and brings it back first. A lock that dies with its process tells a run that
goes on from one that was killed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime

from common.config import StrictModel, load_json
from common.errors import CanarioError
from common.files import replace_whole
from flags.canary.history import held, history
from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import FlagError

UNDER_WAY = "under-way.json"
LOCK = "demo.lock"


class NotesError(CanarioError):
    """Another run is under way already, or the notes cannot be kept."""


class FlagNotes(StrictModel):
    """The flag as it was found.

    Attributes:
        was_held: a person had lowered it, and nobody had raised it since.
        blocked: versions.
    """

    percent: int
    enabled: bool
    was_held: bool
    blocked: tuple[str, ...] = ()

    @classmethod
    def of(cls, admin: UnleashAdmin, name: str) -> Self:
        """The flag as it is now.

        Raises:
            FlagError: its share does not mean what it says, so that the run would show nonsense.
            AdminError: Unleash does not answer, or not so.
        """
        state = read_state(admin, name)
        if state.percent is None or state.trouble or state.constraints:
            why = state.trouble or (
                f"its share is narrowed by {', '.join(state.constraints)}"
                if state.constraints
                else "it has no one gradual rollout"
            )
            raise FlagError(f"the flag {name} cannot be used for a drill: {why}. Mend it in Unleash first")
        return cls(
            percent=state.percent,
            enabled=state.enabled,
            was_held=held(history(admin, name)) is not None,
            blocked=tuple(state.quarantined),
        )


class Notes(StrictModel):
    """All that there is to bring back.

    Attributes:
        begun: when the run was.
        ours: the share that it gives the flag last; None before it gives any.
        before: the share that the flag had before that: killed in between, the run left this one.
    """

    begun: AwareDatetime
    found: FlagNotes
    ours: int | None = None
    before: int | None = None


class Notebook:
    """The file in the folder of the demos."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / UNDER_WAY

    def left(self) -> Notes | None:
        """What a run that was killed has left behind. Raises ConfigError: it cannot be read."""
        return load_json(self.path, Notes) if self.path.exists() else None

    def write(self, notes: Notes) -> None:
        """In one step: whoever reads finds the notes before or after, and never a half. Raises NotesError."""
        try:
            replace_whole(self.path, notes.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise NotesError(
                f"{self.path} cannot be written ({error.strerror}), so nothing is changed: it could not be"
                " brought back after a kill"
            ) from error

    def clear(self) -> None:
        """All is brought back."""
        self.path.unlink(missing_ok=True)


@contextmanager
def opened(folder: Path) -> Iterator[Notebook]:
    """The notebook in `folder`, for one run at a time.

    Raises:
        NotesError: another one is under way; the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise NotesError(f"{folder} cannot be written to: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise NotesError(
                f"another demo runs on this stack ({folder}): wait for its end, or end it by Ctrl-C"
            ) from error
        yield Notebook(folder)

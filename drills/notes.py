"""What a run changes, written down before it does: who is killed by SIGKILL cannot bring anything back.

The next demo or story finds the file, and brings it back first. A lock that dies with its process tells a run
that goes on from one that was killed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime

from common.config import StrictModel, load_json
from common.errors import CanarioError
from common.files import replace_whole
from flags.canary.history import held, history
from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import FlagError

UNDER_WAY = "under-way.json"
LOCK = "story.lock"

Run = Literal["demo", "story"]


class NotesError(CanarioError):
    """Another run is under way already, or the notes cannot be kept."""


class FlagNotes(StrictModel):
    """One flag during the run.

    Attributes:
        percent, enabled, blocked: as it was found; versions that were blocked.
        was_held: a person had lowered it, and nobody had raised it since.
        ours: the share that the run gives it last; None before it gives any.
        before: the share that it had before that: killed in between, the run left this one.
        excluded: countries that the run keeps with the champion.
    """

    percent: int
    enabled: bool
    was_held: bool
    blocked: tuple[str, ...] = ()
    ours: int | None = None
    before: int | None = None
    excluded: tuple[str, ...] = ()

    @classmethod
    def found(cls, admin: UnleashAdmin, name: str) -> Self:
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
        run: what is run.
        begun: when it was.
        traffic: whether the sample traffic ran, and is silent during the run.
        rolled_back_by: whose rollback is part of the run, and brought back with the rest; None: nobody's.
    """

    run: Run = "story"
    begun: AwareDatetime
    traffic: bool
    rolled_back_by: str | None = None
    flags: dict[str, FlagNotes]


class Notebook:
    """The file in the folder of the stories."""

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
    """The notebook of the stack whose stories lie in `folder`, for one run at a time.

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
                f"another story is being told on this stack, or a demo runs ({folder}): wait for its end, or"
                " end it by Ctrl-C"
            ) from error
        yield Notebook(folder)

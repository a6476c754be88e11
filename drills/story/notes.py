"""What the story changes, written down before it does: who is killed by SIGKILL cannot bring anything back.

The next story finds the file, and brings it back first. A lock that dies with its process tells a story that
goes on from one that was killed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import AwareDatetime

from common.config import StrictModel, load_json
from common.errors import CanarioError
from common.files import replace_whole

UNDER_WAY = "under-way.json"
LOCK = "story.lock"


class NotesError(CanarioError):
    """A story is being told already, or its notes cannot be kept."""


class FlagNotes(StrictModel):
    """One flag during the story.

    Attributes:
        percent, enabled: as it was found.
        was_held: a person had lowered it, and nobody had raised it since.
        ours: the share that the story gives it last; None before it gives any.
        before: the share that it had before that: killed in between, the story left this one.
        excluded: countries that the story keeps with the champion.
    """

    percent: int
    enabled: bool
    was_held: bool
    ours: int | None = None
    before: int | None = None
    excluded: tuple[str, ...] = ()


class Notes(StrictModel):
    """All that there is to bring back.

    Attributes:
        begun: when the story was.
        traffic: whether the sample traffic ran.
    """

    begun: AwareDatetime
    traffic: bool
    flags: dict[str, FlagNotes]


class Notebook:
    """The file in the folder of the stories."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / UNDER_WAY

    def left(self) -> Notes | None:
        """What a story that was killed has left behind. Raises ConfigError: it cannot be read."""
        return load_json(self.path, Notes) if self.path.exists() else None

    def write(self, notes: Notes) -> None:
        """In one step: whoever reads finds the notes before or after, and never a half. Raises NotesError."""
        try:
            replace_whole(self.path, notes.model_dump_json(indent=2) + "\n")
        except OSError as error:
            raise NotesError(
                f"{self.path} cannot be written ({error.strerror}), so nothing is changed: what the story"
                " changes could not be brought back if it were killed"
            ) from error

    def clear(self) -> None:
        """All is brought back."""
        self.path.unlink(missing_ok=True)


@contextmanager
def opened(folder: Path) -> Iterator[Notebook]:
    """The notebook of the stack whose stories lie in `folder`, for one story at a time.

    Raises:
        NotesError: another one is being told; the folder cannot be written to.
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
                f"another story is being told on this stack ({folder}): wait for its end, or end it by Ctrl-C"
            ) from error
        yield Notebook(folder)

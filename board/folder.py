"""The rollouts that are shown now, as the files of the folder are: looked at when somebody asks.

A file that does not fit stops only its own. Where its rollout is shown already, that goes by what the file
said before, as the jobs go by it.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from board.shown import Shown
from board.sources import Shared, Sources
from common.config import ConfigError

LOOK_EVERY: Final = 5.0  # seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One rollout.

    Attributes:
        shown: None where its file has never fitted since the board started.
        fault: what is wrong with its file; None where it fits.
    """

    name: str
    shown: tuple[Shown, Sources] | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Folder:
    """All of them, by name; and what is wrong with the folder itself."""

    rollouts: Mapping[str, Entry]
    fault: str | None = None


class Rollouts:
    """Follows the folder."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, Shown | ConfigError]],
        stamp: Callable[[], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads the files.

        Args:
            read: the rollouts, or what is wrong with one. Raises ConfigError: of the folder.
            stamp: differs once a file has changed, so that all are read again.

        Raises:
            ConfigError: the folder cannot be used, or none of its files can.
        """
        self._read, self._stamp, self._clock = read, stamp, clock
        self._lock, self._shared = threading.Lock(), Shared()
        self._looked, self._seen = clock(), stamp()
        self._folder = Folder({})
        self._folder = Folder(self._taken(read()))
        if not any(one.shown for one in self._folder.rollouts.values()):
            faults = "\n".join(one.fault or "" for one in self._folder.rollouts.values())
            raise ConfigError("\n".join(dict.fromkeys(faults.splitlines())))

    def now(self) -> Folder:
        """As the files are, or were at most LOOK_EVERY seconds ago."""
        with self._lock:
            if self._clock() - self._looked >= LOOK_EVERY:
                self._looked = self._clock()
                self._look()
            return self._folder

    def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        try:
            self._folder = Folder(self._taken(self._read()))
        except ConfigError as error:  # what is shown goes on
            _log.error("the rollouts were not read", extra={"error": str(error)})
            self._folder = replace(self._folder, fault=str(error))
        self._seen = stamp

    def _taken(self, found: Mapping[str, Shown | ConfigError]) -> dict[str, Entry]:
        before = self._folder.rollouts
        self._shared.rollouts = len(found)
        after = {name: self._entry(name, said, before.get(name)) for name, said in found.items()}
        for name, entry in before.items():
            kept = after[name].shown if name in after else None
            if entry.shown and (kept is None or kept[1] is not entry.shown[1]):
                entry.shown[1].close()
        return after

    def _entry(self, name: str, said: Shown | ConfigError, before: Entry | None) -> Entry:
        known = before.shown if before else None
        if known and known[0] == said:
            return Entry(name, known)
        try:
            if isinstance(said, ConfigError):
                raise said
            return Entry(name, (said, Sources(said, self._shared)))
        except ConfigError as error:
            _log.error("a rollout's file does not fit", extra={"rollout": name, "error": str(error)})
            return Entry(name, known, str(error))

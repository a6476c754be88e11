"""What the Unleash SDK is given: a cache of the last known flags on disk, and a log of one line a fault.

So a start without Unleash serves what was last decided. There is one file for each Unleash, project and
environment: a service that moves to another never sees the flags of the first (the SDK's own cache is keyed
by the app's name only, and writes flags and etag apart). The file is replaced atomically, and so the workers
of one service share it.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from UnleashClient.cache import BaseCache
from UnleashClient.constants import ETAG, FEATURES_URL
from yggdrasil_engine.engine import UnleashEngine

from common.files import replace_whole

Flags = dict[str, dict[str, Any]]

REPEAT_SECONDS = 60.0
# What an engine has before it is given a state, and no more when it has taken that.
_BEFORE = {"name": "before", "enabled": False, "strategies": []}

log = logging.getLogger(__name__)


class OneLine(logging.Filter):
    """Drops tracebacks, and repeats of a message (whatever its arguments) within REPEAT_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        now = time.monotonic()
        if now - self._last.get(str(record.msg), -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._last[str(record.msg)] = now
        return True


def quieten_sdk() -> None:
    """Install the filter once; schedulers that report a poll they skipped are silenced below errors."""
    logger = logging.getLogger("UnleashClient")
    logger.setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    if not any(isinstance(each, OneLine) for each in logger.filters):
        logger.addFilter(OneLine())


def flags_of(state: str) -> Flags:
    """The flags by name in `state`, as the SDK's engine reads it: there is no second reading of it.

    Raises:
        ValueError: the engine does not take it. It would say nothing, and go on with the state before.
    """
    engine: Any = UnleashEngine  # without types
    engine = engine()
    engine.take_state(json.dumps({"version": 2, "features": [_BEFORE]}))
    try:
        engine.take_state(state)
        flags = {flag["name"]: flag for flag in json.loads(engine.get_state())["features"]}
    except Exception as error:  # of the SDK's own look at it, which expects more than it says
        raise ValueError(f"the SDK cannot read it: {error!r}") from error
    if _BEFORE["name"] in flags:
        raise ValueError("the SDK's engine does not take it")
    return flags


class FlagCache(BaseCache):
    """Cache of the Unleash SDK. `on_flags` gets the flags of every new state, before the SDK evaluates it.

    A state that the SDK's engine does not take is dropped, and the last good one stays. Nothing here raises
    on a full or read-only disk: flags in memory matter more than those on disk.

    Attributes:
        flags: of the state that the SDK is given; None without any.
        refused: what Unleash sent last, where that was dropped.
    """

    def __init__(self, folder: Path, url: str, token: str, on_flags: Callable[[Flags], None]) -> None:
        scope = token.partition(".")[0]  # `project:environment`; the secret comes after the dot
        key = hashlib.sha256(f"{url}|{scope}".encode()).hexdigest()[:16]
        self.path = folder / f"flags-{key}.json"
        self._on_flags = on_flags
        self._values: dict[str, Any] = {}
        self.flags: Flags | None = None
        self.refused: str | None = None
        if state := self._read():
            # The SDK then evaluates this state before it has reached Unleash.
            self.bootstrapped = self._accept(state, f"the file {self.path}")

    def set(self, key: str, value: Any) -> None:
        self.mset({key: value})

    def mset(self, data: dict[str, Any]) -> None:
        state = data.get(FEATURES_URL)
        if state is not None:
            self._hear(state)
        self._values.update({key: value for key, value in data.items() if key != FEATURES_URL})
        if self.refused is not None:
            self._values.pop(ETAG, None)  # or Unleash would say that nothing has changed since

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def exists(self, key: str) -> bool:
        return key in self._values

    def destroy(self) -> None:
        """Keep the file: the next start wants it."""

    def _hear(self, state: str) -> None:
        if state == self.refused:
            return
        if state == self._values.get(FEATURES_URL):
            self.refused = None
        elif self._accept(state, "Unleash"):
            self.refused = None
            self._write(state)
        else:
            self.refused = state

    def _accept(self, state: str, source: str) -> bool:
        try:
            flags = flags_of(state)
        except ValueError as error:
            log.warning("%s gave no flags, going on with those known before: %s", source, error)
            return False
        self._on_flags(flags)
        self._values[FEATURES_URL], self.flags = state, flags
        return True

    def _read(self) -> str | None:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the last known flags cannot be read, going on without: %s", error)
            return None

    def _write(self, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            replace_whole(self.path, text)
        except OSError as error:
            log.warning("the flags cannot be kept on disk", extra={"file": str(self.path), "why": str(error)})

"""The last known flags on disk, so that a start without Unleash serves what was last decided.

One file for each Unleash, project and environment: a service that moves to another never sees the flags of
the first (the SDK's own cache is keyed by the app's name only, and writes flags and etag apart).
The file is replaced atomically, and so the workers of one service share it.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from UnleashClient.cache import BaseCache
from UnleashClient.constants import FEATURES_URL

from common.files import replace_whole

log = logging.getLogger(__name__)

Flags = dict[str, dict[str, Any]]


class FlagCache(BaseCache):
    """Cache of the Unleash SDK. `on_flags` gets the flags by name of every new state, also of that from disk.

    A state that is none is dropped, and the last good one stays. Nothing here raises on a full or read-only
    disk: flags in memory matter more than those on disk.
    """

    def __init__(self, folder: Path, url: str, token: str, on_flags: Callable[[Flags], None]) -> None:
        scope = token.partition(".")[0]  # `project:environment`; the secret comes after the dot
        key = hashlib.sha256(f"{url}|{scope}".encode()).hexdigest()[:16]
        self.path = folder / f"flags-{key}.json"
        self._on_flags = on_flags
        self._values: dict[str, Any] = {}
        if state := self._read():
            # The SDK then evaluates this state before it has reached Unleash.
            self.bootstrapped = self._accept(state, f"the file {self.path}")

    def set(self, key: str, value: Any) -> None:
        self.mset({key: value})

    def mset(self, data: dict[str, Any]) -> None:
        state = data.get(FEATURES_URL)
        self._values.update({key: value for key, value in data.items() if key != FEATURES_URL})
        if state is not None and state != self._values.get(FEATURES_URL) and self._accept(state, "Unleash"):
            self._write(state)

    def get(self, key: str, default: Any = None) -> Any:
        return self._values.get(key, default)

    def exists(self, key: str) -> bool:
        return key in self._values

    def destroy(self) -> None:
        """Keep the file: the next start wants it."""

    def _accept(self, state: str, source: str) -> bool:
        try:
            flags = {str(flag["name"]): dict(flag) for flag in json.loads(state)["features"]}
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s gave no flags, going on with those known before: %r", source, error)
            return False
        self._values[FEATURES_URL] = state
        self._on_flags(flags)
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

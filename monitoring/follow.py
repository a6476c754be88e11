"""Rules that follow the rollouts' files while somebody adds, changes and drops them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

import requests

from common.config import ConfigError
from monitoring.write_rules import rule_files, write_rules

FOLLOW_SECONDS: Final = 5.0
RELOAD_SECONDS: Final = 30.0  # that Prometheus may take to read its rules again

_log = logging.getLogger(__name__)


@dataclass
class RulesFollower:
    """Writes the rules again whenever a file has changed, and has Prometheus read them.

    Attributes:
        stamp: differs once a rollout's file has changed.
        prometheus: its address, where it is to be told; it needs `--web.enable-lifecycle`.
    """

    out: Path
    stamp: Callable[[], object]
    prometheus: str | None
    _seen: object = field(default_factory=object)
    _told: bool = True

    def follow(self) -> NoReturn:
        """For ever."""
        while True:
            self.look()
            time.sleep(FOLLOW_SECONDS)

    def look(self) -> None:
        """Once. What cannot be done is logged, and tried again the next time."""
        stamp = self.stamp()
        if stamp != self._seen:
            try:
                faults = write_rules(self.out, rule_files())
            except ConfigError as error:
                _log.error("no rules were written", extra={"error": str(error)})
                return
            for fault in faults:
                _log.error("a rollout keeps the rules that it had", extra={"error": str(fault)})
            _log.info("rules were written", extra={"folder": str(self.out)})
            self._seen, self._told = stamp, self.prometheus is None
        if not self._told and self.prometheus:
            self._told = _reload(self.prometheus)


def _reload(prometheus: str) -> bool:
    try:
        answer = requests.post(f"{prometheus.rstrip('/')}/-/reload", timeout=RELOAD_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        _log.error("Prometheus did not read its rules again", extra={"error": str(error)})
        return False
    return True

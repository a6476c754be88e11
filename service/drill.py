"""Faults of the challenger that an operator switches on from outside, to see the guardrails at work.

Only where the setting `drill_file` names a file. As long as the file says `{"sleep_seconds": 0.5}`, each call
of the challenger sleeps that long first; without the file nothing happens.
"""

import logging
import time
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from common.config import StrictModel

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.2


class Fault(StrictModel):
    """The content of the drill file."""

    sleep_seconds: Annotated[float, Field(ge=0, le=60)] = 0.0


class Drill:
    """Applies what the drill file says. Safe to call from several threads."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._fault = Fault()
        self._looked = float("-inf")
        if file is not None:
            log.warning(
                "drills are allowed: faults of the challenger can be switched on", extra={"file": str(file)}
            )

    def before_call(self) -> None:
        """Suffer the fault that is switched on, if any."""
        if self._file is None:
            return
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_SECONDS:
            self._looked = now
            self._fault = self._read(self._file)
        if self._fault.sleep_seconds:
            time.sleep(self._fault.sleep_seconds)

    def _read(self, file: Path) -> Fault:
        try:
            fault = Fault.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            fault = Fault()
        except (OSError, ValidationError) as error:
            log.error("the drill file is ignored: %s", error, extra={"file": str(file)})
            fault = Fault()
        if fault != self._fault:
            log.warning(
                "drill: the challenger's fault is now %s", fault.model_dump(), extra={"file": str(file)}
            )
        return fault

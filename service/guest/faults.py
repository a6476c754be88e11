"""What a challenger can be made to do wrong, for drills and tests. Runs inside the guest's process.

Only where the setting `drill_file` names a file, which may say `{"kind": "sleep", "seconds": 0.5}`, from
outside and while the service runs; or where an artifact's `model.json` has such a `faults` section, which is
refused without the setting.
"""

import ctypes
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from common.config import StrictModel

log = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.2
GROWTH_BYTES = 64 * 1024 * 1024
FLOOD_BYTES = 1024 * 1024

Kind = Literal[
    "none",
    "sleep",
    "hang",
    "burn",
    "exception",
    "nan",
    "shape",
    "class",
    "memory",
    "segfault",
    "exit",
    "flood",
]
Numbers = npt.NDArray[np.float32]  # as in service.model, which cannot be imported here


class Fault(StrictModel):
    """A fault; `seconds` is for `sleep` alone.

    sleep, hang (for ever), burn (a core, for ever), exception, nan (all numbers), shape (one number too
    many), class (of those that the model did not choose the least probable; of a value its negative), memory
    (64 MiB more with each call), segfault, exit, flood (1 MiB of standard output with each call).
    """

    kind: Kind = "none"
    seconds: Annotated[float, Field(ge=0, le=60)] = 0.0


class Faults:
    """Applies the fault that the drill file says, or else the artifact's. Safe for several threads."""

    def __init__(self, file: Path | None, built_in: Fault) -> None:
        self._file, self._built_in = file, built_in
        self._fault = built_in
        self._looked = float("-inf")
        self._hoard: list[bytearray] = []

    def suffer(self, model: Callable[[], Numbers]) -> Numbers:
        """The answers of `model`, shape (n, outputs), as the fault makes them; or worse."""
        fault = self._current()
        if fault.kind != "none":
            self._before(fault)
        numbers = model()
        if fault.kind == "nan":
            return np.full_like(numbers, np.nan)
        if fault.kind == "shape":
            return np.concatenate([numbers, numbers[:, :1]], axis=1)
        if fault.kind == "class":
            return _another_class(numbers) if numbers.shape[1] > 1 else -numbers
        return numbers

    def _before(self, fault: Fault) -> None:
        match fault.kind:
            case "sleep":
                time.sleep(fault.seconds)
            case "hang":
                threading.Event().wait()
            case "burn":
                while True:
                    pass
            case "exception":
                raise RuntimeError("drill: the model raises")
            case "memory":
                self._hoard.append(bytearray(os.urandom(1) * GROWTH_BYTES))
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(1)
            case "flood":
                sys.stdout.write("x" * FLOOD_BYTES)
                sys.stdout.flush()

    def _current(self) -> Fault:
        if self._file is None:
            return self._built_in
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_SECONDS:
            self._looked = now
            self._fault = self._read(self._file)
        return self._fault

    def _read(self, file: Path) -> Fault:
        try:
            return Fault.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return self._built_in
        except (OSError, ValidationError) as error:
            log.error("the drill file is ignored: %s: %s", file, error)
            return self._built_in


def _another_class(numbers: Numbers) -> Numbers:
    chosen, probabilities = numbers[:, 0].astype(np.intp), numbers[:, 1:]
    others = probabilities.copy()
    others[np.arange(len(numbers)), chosen] = np.inf
    turned = (1 - probabilities) / (probabilities.shape[1] - 1)
    return np.concatenate([others.argmin(axis=1)[:, np.newaxis].astype(np.float32), turned], axis=1)

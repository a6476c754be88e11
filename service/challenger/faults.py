"""What a challenger can be made to do wrong, for drills and tests. Runs inside its process.

Loaded only where the setting `drill_file` names a file, which may say `{"kind": "sleep", "seconds": 0.5}`,
from outside and while the service runs. Then `model.json` may have such a `faults` section, too.
"""

import ctypes
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from common.config import StrictModel
from service.models.artifact import ArtifactError
from service.models.onnx_model import Numbers, Row

log = logging.getLogger(__name__)

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


class Fault(StrictModel):
    """A fault; `seconds` is for `sleep` alone.

    sleep, hang (for ever), burn (a core, for ever), exception, nan (all numbers), shape (one number too
    many), class (of those that the model did not choose the least probable; of a value its negative), memory
    (64 MiB more with each call), segfault, exit, flood (1 MiB of standard output with each call).
    """

    kind: Kind = "none"
    seconds: Annotated[float, Field(ge=0, le=60)] = 0.0


class FaultyModel:
    """A model with the fault that the drill file says, or else the artifact's. Safe for several threads.

    Args:
        width: numbers of the primary output; all without it.

    Raises:
        ArtifactError: the artifact's fault is none.
    """

    def __init__(
        self,
        model: Callable[[Row], Numbers],
        file: Path,
        built_in: Mapping[str, Any] | None = None,
        width: int | None = None,
    ) -> None:
        self._model, self._file, self._width = model, file, width
        try:
            self._built_in = Fault.model_validate(built_in or {})
        except ValidationError as error:
            raise ArtifactError(f"`faults` of the model: {error}") from error
        self._fault = self._built_in
        self._said: bytes | str | None = None
        self._hoard: list[bytearray] = []

    def __call__(self, rows: Row) -> Numbers:
        """The answers of the model, shape (n, outputs), as the fault makes them; or worse."""
        fault = self._current()
        if fault.kind != "none":
            self._before(fault)
        numbers = self._model(rows)
        if fault.kind == "nan":
            return np.full_like(numbers, np.nan)
        if fault.kind == "shape":
            return np.concatenate([numbers, numbers[:, :1]], axis=1)
        if fault.kind == "class":
            first, rest = np.split(numbers, [self._width or numbers.shape[1]], axis=1)
            first = _another_class(first) if first.shape[1] > 1 else -first
            return np.concatenate([first, rest], axis=1)
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
        said = self._read()
        if said != self._said:
            self._said, self._fault = said, self._parsed(said)
        return self._fault

    def _read(self) -> bytes | str | None:
        """What the file holds, or why it cannot be read; None where there is none.

        At each call: so a drill begins and ends with the next one, and a small file is read in 20 µs.
        """
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            return str(error)

    def _parsed(self, said: bytes | str | None) -> Fault:
        if isinstance(said, bytes):
            try:
                return Fault.model_validate_json(said)
            except ValidationError as error:
                said = str(error)
        if said is not None:
            log.error("the drill file is ignored: %s: %s", self._file, said)
        return self._built_in


def _another_class(numbers: Numbers) -> Numbers:
    chosen, probabilities = numbers[:, 0].astype(np.intp), numbers[:, 1:]
    others = probabilities.copy()
    others[np.arange(len(numbers)), chosen] = np.inf
    turned = (1 - probabilities) / (probabilities.shape[1] - 1)
    return np.concatenate([others.argmin(axis=1)[:, np.newaxis].astype(np.float32), turned], axis=1)

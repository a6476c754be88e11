"""Answers calls inside the guest's process."""

import os
import socket
import time
from functools import partial
from pathlib import Path

import numpy as np

from service.guest.faults import Fault, Faults
from service.guest.wire import (
    LONGEST_TEXT,
    READY_ID,
    Outcome,
    largest_call,
    largest_reply,
    pack_reply,
    read_artifact,
    unpack_call,
)
from service.model import OnnxModel


def load(artifact: int, drill_file: Path | None) -> tuple[OnnxModel, Faults]:
    """The model in the file `artifact`, see `wire.artifact_file`, and the faults that it is made to have.

    Raises:
        ArtifactError: it must not be served.
    """
    with os.fdopen(artifact, "rb") as file:
        loaded = read_artifact(file)
    return OnnxModel(loaded), Faults(drill_file, loaded.metadata.faults or Fault())


def serve(channel: socket.socket, rows: int, model: OnnxModel, faults: Faults) -> None:
    """Answer the calls of one channel, of up to `rows` each, until it is closed."""
    channel.send(pack_reply(READY_ID, Outcome.READY, 0.0))
    size = largest_call(model.metadata, rows)
    # Of an answer that is too long only so much is sent that the worker sees it to be.
    most = largest_reply(model.metadata.outputs * rows)
    while packet := channel.recv(size):
        call_id, call = unpack_call(packet, model.metadata)
        begun = time.perf_counter()
        try:
            numbers = faults.suffer(partial(model.numbers, call))
            body, outcome = np.ascontiguousarray(numbers, dtype=np.float32).tobytes(), Outcome.ANSWERED
        except Exception as error:  # a model may raise anything at all
            body, outcome = f"{type(error).__name__}: {error}".encode()[:LONGEST_TEXT], Outcome.RAISED
        channel.send(pack_reply(call_id, outcome, time.perf_counter() - begun, body)[:most])

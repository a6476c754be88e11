"""What a worker and the challenger's process say to each other, one message a packet.

A socket of type SEQPACKET keeps packets apart: half a message cannot be, and a process that sends rubbish
sends one packet of it. Each channel carries one call at a time.

    call    id, then rows as 32-bit floats, or as JSON where the model has string features
    reply   the id of the call, outcome, seconds in the process, then the answers as 32-bit floats row by row
            (service.models.onnx_model.Numbers), or a text

Native code of a model can write to any channel whatever it likes, so nothing in a reply is believed before
`unpack_reply` has looked at it. No two calls of a process have the same id: the reply to another call, or a
second reply to one, is no user's answer.
"""

import json
import math
import os
import struct
from enum import IntEnum
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import orjson

from common.errors import CanarioError
from service.models.artifact import LARGEST_ROW_BYTES, Artifact, Metadata
from service.models.onnx_model import Numbers, Row, array_of

_CALL = struct.Struct("<Q")
_REPLY = struct.Struct("<QdB7x")  # padded, so that the numbers after it are aligned
READY_ID = 0  # of what is said before the first call
LONGEST_TEXT = 500
CLOCK_SLACK_SECONDS = 0.001
# A packet must fit into the socket's buffer, which Linux makes 208 KiB unless told otherwise.
BATCH_BYTES = 100 * 1024


class Outcome(IntEnum):
    """How a call ended inside the process."""

    ANSWERED = 0
    RAISED = 1
    READY = 2  # said once on each channel, before the first call
    REFUSED = 3  # the model cannot be loaded; the text says why


class ProtocolError(CanarioError, ValueError):
    """A packet from the process is not what its program sends: somebody else wrote it, or wrote into it."""


class Reply(NamedTuple):
    """A reply whose frame is right; its numbers are not yet judged."""

    outcome: Outcome
    seconds: float
    body: bytes

    @property
    def numbers(self) -> Numbers:
        """The body as numbers, shape (n,). Raises ValueError when its length is no multiple of 4."""
        return np.frombuffer(self.body, dtype=np.float32)

    @property
    def text(self) -> str:
        """The body as text of one line, for a log: what does not print is replaced."""
        decoded = self.body.decode(errors="replace")
        return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in decoded)


def artifact_file(artifact: Artifact) -> IO[bytes]:
    """A model for its process: a file in memory, so that nobody can damage it meanwhile. Raises OSError."""
    file = os.fdopen(os.memfd_create("challenger"), "w+b")
    metadata = artifact.metadata.model_dump_json().encode()
    file.writelines((json.dumps(str(artifact.folder)).encode(), b"\n", metadata, b"\n", artifact.onnx))
    file.seek(0)
    return file


def read_artifact(file: IO[bytes]) -> Artifact:
    """What `artifact_file` has written; it was verified before."""
    folder, metadata = json.loads(file.readline()), Metadata.model_validate_json(file.readline())
    return Artifact(Path(folder), metadata, file.read())


def pack_call(call_id: int, row: Row) -> bytes:
    """Rows, shape (n, features), as a packet."""
    return _CALL.pack(call_id) + (row.tobytes() if row.dtype == np.float32 else orjson.dumps(row.tolist()))


def unpack_call(packet: bytes, metadata: Metadata) -> tuple[int, Row]:
    """A packet as the call's id and rows of the model of `metadata`, shape (n, features)."""
    (call_id,) = _CALL.unpack_from(packet)
    if metadata.has_strings:
        return call_id, array_of(orjson.loads(memoryview(packet)[_CALL.size :]), metadata)
    row = np.frombuffer(packet, dtype=np.float32, offset=_CALL.size)
    return call_id, row.reshape(-1, len(metadata.features))


def pack_reply(call_id: int, outcome: Outcome, seconds: float, body: bytes = b"") -> bytes:
    """A reply as a packet."""
    return _REPLY.pack(call_id, seconds, outcome) + body


def unpack_reply(packet: bytes, call_id: int, elapsed_seconds: float) -> Reply:
    """A packet as the reply to the call `call_id`.

    Args:
        packet: from the process.
        call_id: of the call that waits; READY_ID: of none, the process has just started.
        elapsed_seconds: since the call was sent. Both processes read one clock, so that the reply cannot
            truly say more; a counter that takes in NaN, or 1e308, is of no use ever after.

    Raises:
        ProtocolError: it is none.
    """
    try:
        its_id, seconds, number = _REPLY.unpack_from(packet)
        outcome = Outcome(number)
    except (struct.error, ValueError) as error:
        raise ProtocolError(f"a packet of {len(packet)} bytes is no reply: {error}") from error
    if its_id != call_id:
        raise ProtocolError(f"a reply to call {its_id} came where call {call_id} waits")
    if (outcome in (Outcome.READY, Outcome.REFUSED)) is not (call_id == READY_ID):
        raise ProtocolError(f"{outcome.name} came out of turn")
    if not (math.isfinite(seconds) and 0 <= seconds <= elapsed_seconds + CLOCK_SLACK_SECONDS):
        raise ProtocolError(f"a reply says {seconds:.3g} s, of {elapsed_seconds:.3g} s that passed")
    body = packet[_REPLY.size :]
    if outcome is not Outcome.ANSWERED and len(body) > LONGEST_TEXT:
        raise ProtocolError(f"a text of over {LONGEST_TEXT} bytes")
    return Reply(outcome, seconds, body)


def largest_reply(numbers: int) -> int:
    """Bytes to read for a reply: one more than any right one has."""
    return _REPLY.size + max(4 * numbers, LONGEST_TEXT) + 1


def largest_call(metadata: Metadata, rows: int) -> int:
    """Bytes to read for a call of up to `rows` rows."""
    return _CALL.size + (LARGEST_ROW_BYTES if metadata.has_strings else 4 * len(metadata.features) * rows)


def rows_in_a_packet(metadata: Metadata) -> int:
    """How many rows a batch may have, so that neither it nor its reply is too long for a packet."""
    of_reply = BATCH_BYTES // (4 * metadata.row_width)
    if metadata.has_strings:
        return max(1, min(of_reply, LARGEST_ROW_BYTES // metadata.largest_row_bytes))
    return max(1, min(of_reply, BATCH_BYTES // (4 * len(metadata.features))))

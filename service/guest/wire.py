"""What a worker and its guest say to each other, one message a packet.

A socket of type SEQPACKET keeps packets apart: half a message cannot be, and a guest that sends rubbish sends
one packet of it. Each channel carries one call at a time.

    call    rows as 32-bit floats, or as JSON where the model has string features; one row, but for batches
    reply   outcome, seconds in the guest, then probabilities as 32-bit floats row by row, or a text
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from service.artifact import LARGEST_ROW_BYTES, Metadata
from service.model import Row, array_of

_REPLY = struct.Struct("<Bd")
LONGEST_TEXT = 500
# A packet must fit into the socket's buffer, which Linux makes 208 KiB unless told otherwise.
BATCH_BYTES = 100 * 1024


class Outcome(IntEnum):
    """How a call ended inside the guest."""

    ANSWERED = 0
    RAISED = 1
    READY = 2  # said once on each channel, before the first call
    REFUSED = 3  # the model cannot be loaded; the text says why


class Reply(NamedTuple):
    """A reply as it came, its content not yet judged."""

    outcome: Outcome
    seconds: float
    body: bytes

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """The body as numbers, shape (n,). Raises ValueError when its length is no multiple of 4."""
        return np.frombuffer(self.body, dtype=np.float32)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


def pack_call(row: Row) -> bytes:
    """Rows, shape (n, features), as a packet."""
    return row.tobytes() if row.dtype == np.float32 else orjson.dumps(row.tolist())


def unpack_call(packet: bytes, metadata: Metadata) -> Row:
    """A packet as rows of the model of `metadata`, shape (n, features)."""
    if metadata.has_strings:
        return array_of(orjson.loads(packet), metadata)
    return np.frombuffer(packet, dtype=np.float32).reshape(-1, len(metadata.features))


def pack_reply(outcome: Outcome, seconds: float, body: bytes = b"") -> bytes:
    """A reply as a packet."""
    return _REPLY.pack(outcome, seconds) + body


def unpack_reply(packet: bytes) -> Reply:
    """A packet as a reply.

    Raises:
        ValueError: it is none.
    """
    try:
        outcome, seconds = _REPLY.unpack_from(packet)
    except struct.error as error:
        raise ValueError(f"a packet of {len(packet)} bytes is no reply") from error
    return Reply(Outcome(outcome), seconds, packet[_REPLY.size :])


def largest_reply(probabilities: int) -> int:
    """Bytes to read for a reply: one more than any right one has."""
    return _REPLY.size + max(4 * probabilities, LONGEST_TEXT) + 1


def largest_call(metadata: Metadata, rows: int) -> int:
    """Bytes to read for a call of up to `rows` rows."""
    return LARGEST_ROW_BYTES if metadata.has_strings else 4 * len(metadata.features) * rows


def rows_in_a_packet(metadata: Metadata) -> int:
    """How many rows a batch may have, so that neither it nor its reply is too long for a packet."""
    of_reply = BATCH_BYTES // (4 * metadata.outputs)
    if metadata.has_strings:
        return max(1, min(of_reply, LARGEST_ROW_BYTES // metadata.largest_row_bytes))
    return max(1, min(of_reply, BATCH_BYTES // (4 * len(metadata.features))))

"""What a worker and its guest say to each other, one message a packet.

A socket of type SEQPACKET keeps packets apart: half a message cannot be, and a guest that sends rubbish sends
one packet of it. Each channel carries one call at a time.

    call    the row as 32-bit floats; where the model has string features, as JSON
    reply   outcome, seconds in the guest, then probabilities as 32-bit floats, or a text
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
    """A row, shape (1, features), as a packet."""
    return row.tobytes() if row.dtype == np.float32 else orjson.dumps(row.tolist())


def unpack_call(packet: bytes, metadata: Metadata) -> Row:
    """A packet as a row of the model of `metadata`, shape (1, features)."""
    if metadata.has_strings:
        return array_of(orjson.loads(packet), metadata)
    return np.frombuffer(packet, dtype=np.float32)[np.newaxis]


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


def largest_reply(classes: int) -> int:
    """Bytes to read for a reply: one more than any right one has."""
    return _REPLY.size + max(4 * classes, LONGEST_TEXT) + 1


def largest_call(metadata: Metadata) -> int:
    """Bytes to read for a call."""
    return LARGEST_ROW_BYTES if metadata.has_strings else 4 * len(metadata.features)

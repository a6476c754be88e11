"""What a worker and its guest say to each other, one message a packet.

A socket of type SEQPACKET keeps packets apart: half a message cannot be, and a guest that sends rubbish sends
one packet of it. Each channel carries one call at a time.

    call    rows as 32-bit floats; one row, but for the channel of batches
    reply   outcome, seconds in the guest, then probabilities as 32-bit floats row by row, or a text
"""

import struct
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.model import Row

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
    return row.tobytes()


def unpack_call(packet: bytes, features: int) -> Row:
    """A packet as rows, shape (n, features)."""
    return np.frombuffer(packet, dtype=np.float32).reshape(-1, features)


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


def largest_call(features: int, rows: int) -> int:
    """Bytes to read for a call."""
    return 4 * features * rows


def rows_in_a_packet(features: int, classes: int) -> int:
    """How many rows a batch may have, so that neither it nor its reply is too long for a packet."""
    return max(1, BATCH_BYTES // (4 * max(features, classes)))

"""One life of the guest's process, and the channels to it.

A channel carries one call at a time. Channels are kept in pools, one for each kind of call, so that a batch
of shadow samples never takes the place of a user's call.
"""

import fcntl
import itertools
import logging
import math
import queue
import socket
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

from common.errors import CanarioError
from service.guest.wire import READY_ID, ProtocolError, Reply, pack_call, unpack_reply
from service.model import Row

log = logging.getLogger(__name__)


class NoReplyError(CanarioError):
    """The guest did not answer; `reason` is one of service.telemetry.GUEST_FAILURES or HOST_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the challenger did not answer: {reason}")
        self.reason = reason


@dataclass(eq=False)
class Pool:
    """Channels for one kind of call.

    Attributes:
        reply_bytes: to read for a reply; more than any right one has.
        on_late: called with the seconds that a call took in the guest when nobody waited for it any more.
    """

    reply_bytes: int
    on_late: Callable[[float], None]
    free: "queue.SimpleQueue[Channel]" = field(default_factory=queue.SimpleQueue)


@dataclass(eq=False)
class Channel:
    """The worker's end of a channel.

    Attributes:
        call_id: of the last call, in this life of the guest.
        owed_since: when the call was sent whose reply has not come.
        awaited: whether a caller waits for it; otherwise a late reply is the watcher's to collect.
        unread: whether the guest had not even taken the call from its socket when the caller went away.
    """

    socket: socket.socket
    pool: Pool
    call_id: int = READY_ID
    owed_since: float | None = None
    awaited: bool = False
    unread: bool = False

    @property
    def is_late(self) -> bool:
        """Whether a reply is owed that nobody waits for any more."""
        return self.owed_since is not None and not self.awaited

    def receive(self) -> Reply:
        """The next reply. Raises OSError (also TimeoutError) or ProtocolError when there is none."""
        packet = self.socket.recv(self.pool.reply_bytes)
        if not packet:
            raise ConnectionResetError("the guest has ended")
        elapsed = math.inf if self.owed_since is None else time.monotonic() - self.owed_since
        return unpack_reply(packet, self.call_id, elapsed)

    def release(self) -> None:
        """Nothing is owed any more: let the next call have the channel."""
        self.owed_since, self.unread = None, False
        self.pool.free.put(self)

    def is_unread(self) -> bool:
        """Whether the last call still lies in the socket."""
        try:
            return fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)) != bytes(4)
        except OSError:
            return False


@dataclass
class Process:
    """One life of the guest."""

    popen: "subprocess.Popen[bytes]"
    channels: list[Channel]
    output: IO[bytes]
    calls: Pool
    batches: Pool
    ended: bool = False
    trouble: str | None = None
    call_ids: Iterator[int] = field(default_factory=lambda: itertools.count(READY_ID + 1))

    def exchange(self, pool: Pool, row: Row, patience_seconds: float, deadline_seconds: float) -> Reply:
        """The reply to `row`, shape (n, features), on a channel of `pool`.

        Raises:
            NoReplyError: there is none.
        """
        if self.ended:
            raise NoReplyError("down")
        try:
            channel = pool.free.get(timeout=patience_seconds)
        except queue.Empty:
            # With a reply that is overdue the model is slow; without one more requests came than there is
            # room for, as after a restart, when those that waited for it come all at once.
            is_slow = any(each.is_late and not each.unread for each in self.channels if each.pool is pool)
            raise NoReplyError("busy" if is_slow else "crowded") from None
        channel.call_id = next(self.call_ids)
        channel.awaited, channel.owed_since = True, time.monotonic()
        try:
            channel.socket.settimeout(deadline_seconds)
            channel.socket.send(pack_call(channel.call_id, row))
            reply = channel.receive()
            channel.owed_since = None  # before it is no longer awaited, or the watcher could take it for late
        except TimeoutError:
            # The watcher collects the reply and gives the channel back. A process that has nothing to do and
            # does not take a call got no CPU: it has the lowest priority.
            is_at_work = any(
                each.owed_since and not each.is_unread() for each in self.channels if each is not channel
            )
            channel.unread = not is_at_work and channel.is_unread()
            raise NoReplyError("starved" if channel.unread else "timeout") from None
        except OSError:
            channel.owed_since = None
            self.ended = True
            raise NoReplyError("crash") from None
        except ProtocolError as error:
            # Whose answer is on the other channels? The process is ended, and nobody gets one of them.
            log.error("the challenger's process is ended: %s", error)
            channel.owed_since = None
            self.ended = True
            raise NoReplyError("invalid") from None
        finally:
            channel.awaited = False
        channel.release()  # last: whoever takes it then is not to find our marks on it, nor to lose its own
        return reply

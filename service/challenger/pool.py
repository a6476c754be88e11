"""Calls of the challenger's worker process: a free channel, the rows, and the reply by the deadline.

A channel carries one call at a time. Channels are kept in pools, one for each kind of call, so that a batch
of shadow samples never takes the place of a user's call. When a reply is late, the caller goes away and the
channel stays taken, until who supervises the process (service.challenger.process) has collected the reply.
"""

import fcntl
import itertools
import logging
import math
import queue
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from common.errors import CanarioError
from service.challenger.priority import lower_group
from service.challenger.protocol import READY_ID, ProtocolError, Reply, largest_reply, pack_call, unpack_reply
from service.models.onnx_model import Row

log = logging.getLogger(__name__)

_TIME = struct.Struct("@ll")  # seconds and microseconds, struct timeval


class NoReplyError(CanarioError):
    """The challenger did not answer; `reason` is one of CHALLENGER_FAILURES or HOST_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the challenger did not answer: {reason}")
        self.reason = reason


@dataclass(eq=False)
class Pool:
    """Channels for one kind of call.

    Attributes:
        outputs: numbers of an answer to one row.
    """

    outputs: int
    free: "queue.SimpleQueue[Channel]" = field(default_factory=queue.SimpleQueue)


@dataclass(eq=False)
class Channel:
    """The worker's end of a channel.

    Attributes:
        call_id: of the last call, in this run of the process.
        rows: of that call.
        owed_since: when the call was sent whose reply has not come.
        awaited: whether a caller waits for it; otherwise a late reply is the supervisor's to collect.
        unread: whether the process had not even taken the call from its socket when the caller went away.
    """

    socket: socket.socket
    pool: Pool
    call_id: int = READY_ID
    rows: int = 1
    owed_since: float | None = None
    awaited: bool = False
    unread: bool = False
    patience: float = 0.0

    def wait_at_most(self, seconds: float) -> None:
        """Let `receive` wait for so long.

        By the kernel: with a timeout of its own Python polls before each send and recv, and after each of
        those a thread has to get the interpreter back, which others want.
        """
        if seconds == self.patience:
            return
        whole = int(seconds)
        limit = _TIME.pack(whole, max(1, int(1e6 * (seconds - whole))))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, limit)
        self.patience = seconds

    @property
    def is_late(self) -> bool:
        """Whether a reply is owed that nobody waits for any more."""
        return self.owed_since is not None and not self.awaited

    def receive(self) -> Reply:
        """The next reply. Raises OSError (also TimeoutError) or ProtocolError when there is none."""
        try:
            packet = self.socket.recv(largest_reply(self.pool.outputs * self.rows))
        except BlockingIOError:
            raise TimeoutError("no reply in time") from None
        if not packet:
            raise ConnectionResetError("the challenger's process has ended")
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
class Run:
    """One run of the process, from its start to its end; `pidfd` can be read from once it has ended."""

    pid: int
    pidfd: int
    channels: list[Channel]
    output: IO[bytes]
    calls: Pool
    batches: Pool
    is_lowest: bool
    ended: bool = False
    trouble: str | None = None
    call_ids: Iterator[int] = field(default_factory=lambda: itertools.count(READY_ID + 1))

    def demote(self) -> None:
        """Give all threads of the process the lowest priority and few cores, for as long as it lives."""
        self.is_lowest = True
        lower_group(self.pid)

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
        channel.call_id, channel.rows = next(self.call_ids), len(row)
        channel.awaited, channel.owed_since = True, time.monotonic()
        try:
            channel.wait_at_most(deadline_seconds)
            channel.socket.send(pack_call(channel.call_id, row))
            reply = channel.receive()
            # Before it is no longer awaited, or the supervisor could take it for late.
            channel.owed_since = None
        except TimeoutError:
            # The supervisor collects the reply and gives the channel back. A process that has nothing to do
            # and does not take a call got no CPU: it has the lowest priority.
            is_at_work = any(
                each.owed_since and not each.is_unread() for each in self.channels if each is not channel
            )
            channel.unread = not is_at_work and channel.is_unread()
            if pool is self.calls and not channel.unread and not self.ended:
                self.demote()  # at once: at its own priority it may hold up everybody
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


class ChallengerWorker:
    """The process, whichever run of it there is. Threads may share it.

    Args:
        patience_seconds: how long a call waits for a free channel.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._run: Run | None = None
        self._why_down = "starting"  # a reason of NoReplyError, for when there is no process
        self._trouble = "the challenger's process is starting"
        self._closed = threading.Event()

    @property
    def is_up(self) -> bool:
        """Whether there is a process that can be called."""
        return self._run is not None and not self._run.ended

    @property
    def is_starting(self) -> bool:
        """Whether there was none yet: it loads its model, and warms up."""
        return not self.is_up and self._why_down == "starting"

    @property
    def trouble(self) -> str | None:
        """Why there is none, as far as is known."""
        return None if self.is_up else self._trouble

    def call(self, row: Row, deadline_seconds: float) -> Reply:
        """The reply to `row`, shape (n, features), within the deadline; n is as many as a call may have.

        Raises:
            NoReplyError: there is none.
        """
        return self._exchange(row, deadline_seconds, is_batch=False)

    def call_batch(self, rows: Row, deadline_seconds: float) -> Reply:
        """The reply to `rows`, as many as a batch may have; its seconds are those of all.

        There is one channel for batches, apart from those of `call`.

        Raises:
            NoReplyError: there is none.
        """
        return self._exchange(rows, deadline_seconds, is_batch=True)

    def _exchange(self, rows: Row, deadline_seconds: float, is_batch: bool) -> Reply:
        run = self._run
        if run is None or run.ended:
            raise NoReplyError(self._reason())
        try:
            pool = run.batches if is_batch else run.calls
            return run.exchange(pool, rows, self._patience_seconds, deadline_seconds)
        except NoReplyError as error:
            if error.reason == "crash" and self._reason() != "down":  # this worker has ended it
                raise NoReplyError(self._reason()) from None
            raise

    def _reason(self) -> str:
        """Why there is no process."""
        return "stopped" if self._closed.is_set() else self._why_down

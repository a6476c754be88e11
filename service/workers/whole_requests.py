"""Gunicorn's threads, for whole requests only: a slow client waits in the poller, and holds no thread.

gthread gives a connection to a thread at its first byte, and lets the thread wait for the rest: sixteen half
requests stop a service of two workers. Its loop, which serves everybody, also waits for clients to hang up.

What gunicorn refuses, before the app sees it, is answered with a problem document and logged without persons:
it would answer in HTML, and log the sender's address with whatever stood in the request.
"""

import json
import logging
import re
import selectors
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

REQUEST_SECONDS = 10.0  # for head and body together, and again for taking the answer
LINGER_SECONDS = 2.0  # for the client to read the answer and hang up, before its connection is reset
HEAD_BYTES = 65_536

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n")
_CHUNK = re.compile(rb"([0-9a-f]{1,64})[ \t]*(?:;[^\r\n]{0,4000})?\r\n", re.IGNORECASE)


class Connection(TConn):
    """A client's connection, and what has arrived of its next request.

    What a request says is for gunicorn's parser to decide: here it is only guessed when the parser will not
    have to wait. Where the guess is wrong, a thread waits, for REQUEST_SECONDS at most.
    """

    parser: Any
    timeout: float

    def __init__(self, *args: Any, largest_body: int, linger: Callable[["Connection"], None]) -> None:
        super().__init__(*args)
        self.received = bytearray()
        self._largest_body, self._linger = largest_body, linger

    def begin(self) -> None:
        """Expect a request; what the client sent behind its last one is the beginning."""
        self.received = bytearray(self.parser.unreader.take_buffered() if self.parser else b"")
        self._body = self._end = self._seen = 0
        self._chunked = False
        self.data_ready = True  # for gthread: a thread need not wait
        self.sock.setblocking(False)
        self.timeout = time.monotonic() + REQUEST_SECONDS

    def take(self) -> bool:
        """Read what is there; whether a thread can answer now. So it can when the client is gone."""
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            return True
        self.received += data
        return not data or self.is_whole()

    def is_whole(self) -> bool:
        """Whether the request has arrived, or enough of it to refuse it."""
        if not self._body and not self._find_body():
            return False
        return self._chunks_ended() if self._chunked else len(self.received) >= self._end

    @property
    def has_no_end(self) -> bool:
        """Whether this is more than the head of any request."""
        return not self._body and len(self.received) > HEAD_BYTES

    def init(self) -> None:
        """In the thread: give the parser what has arrived. Whatever it still waits for has an end."""
        super().init()
        self.sock.settimeout(REQUEST_SECONDS)
        self.parser.unreader.unread(bytes(self.received))
        self.received.clear()

    def close(self, graceful: bool = False) -> None:
        """Close it; with `graceful` only once the client has read what it was sent."""
        if graceful:
            self._linger(self)
        else:
            util.close(self.sock)

    def _find_body(self) -> bool:
        end = self.received.find(b"\r\n\r\n", self._seen)
        if end < 0:
            self._seen = max(0, len(self.received) - 3)
            return False
        head = bytes(self.received[: end + 2]).lower()
        self._body = self._end = self._seen = end + 4
        length = _LENGTH.search(head)
        self._chunked = b"\r\ntransfer-encoding:" in head and length is None
        if length and int(length[1]) <= self._largest_body:  # a larger one is refused unread
            self._end += int(length[1])
        if b"\r\nexpect:" in head and len(self.received) < self._end:
            with suppress(OSError):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _chunks_ended(self) -> bool:
        """Whether the last chunk is there, or one that is none, or more than is read."""
        while self._seen < len(self.received) <= self._body + 2 * self._largest_body:
            chunk = _CHUNK.match(self.received, self._seen)
            if chunk is None:
                return b"\r\n" in self.received[self._seen : self._seen + 4096]
            size = int(chunk[1], 16)
            if size == 0:
                return self.received.find(b"\r\n\r\n", chunk.end() - 2) >= 0
            self._seen = chunk.end() + size + 2
        return len(self.received) > self._body + 2 * self._largest_body


class WholeRequests(ThreadWorker):
    """The worker class; `largest_body` is set before workers start."""

    largest_body = 65_536
    poller: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pending_conns: Any = set()  # a request has not arrived yet
        self._lingering: set[Connection] = set()

    def accept(self, listener: Any) -> None:
        """Take a new connection."""
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        made = partial(Connection, largest_body=self.largest_body, linger=self._linger)
        self.enqueue_req(made(self.cfg, sock, client, listener.getsockname()))

    def enqueue_req(self, conn: Connection) -> None:
        """Expect the next request of `conn`; a thread gets it when it is whole."""
        conn.begin()
        if conn.is_whole() or conn.take():
            super().enqueue_req(conn)
        else:
            self.pending_conns.add(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._arrived, conn))

    def murder_pending(self) -> None:
        """End the connections whose time is over; gunicorn calls this once a second."""
        now = time.monotonic()
        for conn in [conn for conn in self.pending_conns if conn.timeout <= now]:
            if conn.received:
                self._refuse(conn, 408, "Request Timeout", f"No whole request in {REQUEST_SECONDS:.0f} s.")
            else:
                self._drop(conn)
        for conn in [conn for conn in self._lingering if conn.timeout <= now]:
            self._drop(conn)

    def _arrived(self, conn: Connection, _sock: Any) -> None:
        whole = conn.take()
        if conn.has_no_end:
            self._refuse(
                conn, 431, "Request Header Fields Too Large", "The head of the request is too large."
            )
        elif whole:
            self.poller.unregister(conn.sock)
            self.pending_conns.remove(conn)
            super().enqueue_req(conn)

    def _refuse(self, conn: Connection, status: int, reason: str, detail: str) -> None:
        with suppress(OSError):
            util.write_error(conn.sock, status, reason, detail)
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        self.nr_conns -= 1
        conn.close(graceful=True)

    def _linger(self, conn: Connection) -> None:
        """Say that no more comes, and wait until the client hangs up: a reset could lose the answer."""
        if conn.sock.fileno() < 0:
            return
        conn.sock.setblocking(False)
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
        self.nr_conns += 1
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._lingering.add(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._hung_up, conn))

    def _hung_up(self, conn: Connection, sock: Any) -> None:
        try:
            if sock.recv(65_536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        self.pending_conns.discard(conn)
        self._lingering.discard(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """When gunicorn begins to stop, who has sent nothing yet is given as little time as the idle."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            if not conn.received:
                conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)


def answer_in_problems() -> None:
    """Make gunicorn's workers answer malformed HTTP with problem documents."""
    util.write_error = _write_problem


def _write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    problem = {
        "type": "about:blank",
        "title": reason,
        "status": status,
        "detail": message or reason,
        "request_id": uuid.uuid4().hex,
        "errors": [],
    }
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)


class NoPersons(logging.Filter):
    """Keeps what kind of fault a request had, and drops who sent it and what was in it."""

    _REFUSED = re.compile(r"Invalid request from ip=\S*: (?P<kind>[A-Za-z ]*)")

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if found := self._REFUSED.match(message):
            record.msg, record.args = "a malformed request was refused: %s", (found["kind"].strip(),)
        elif message.startswith("Error handling request"):  # and then its method and address
            record.msg, record.args = "Error handling request", ()
        elif message == "Socket error processing request.":  # and then a traceback, as often as clients like
            record.msg, record.exc_info = "a client is gone, or did not take its answer in time", None
        return True

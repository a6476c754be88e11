"""A TCP proxy that counts requests, and breaks those that it is told to break.

Troubles are set by the number of the request and not by the clock, so that a trial means the same on a busy
machine as on an idle one.
"""

import re
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self

REQUEST = re.compile(rb"(?:GET|POST|PUT|PATCH|DELETE) \S+ HTTP/1\.1\r\n")
RECEIVED = 65_536
REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntrouble"


class Trouble(StrEnum):
    """What happens to a request."""

    CUT = "cut off"
    """The connection is reset before the request reaches the server."""
    SILENT = "no answer"
    """Neither the server gets it nor does the client hear anything."""
    REFUSED = "HTTP 500"
    LOST = "answer lost"
    """The server carries it out, and the connection is reset instead of its answer."""
    HALF = "half an answer"
    KILLED_BEFORE = "killed before"
    """The job is killed when it has sent the request, which never arrives."""
    KILLED_AFTER = "killed after"
    """The job is killed when the server has carried it out, and before the job knows."""


class Proxy:
    """Listens on a port of its own, and hands everything on to `server` (host, port)."""

    def __init__(
        self, server: tuple[str, int], troubles: Mapping[int, Trouble], kill: Callable[[], None]
    ) -> None:
        """`troubles` by the number of the request, from 1 on; `kill` is called in one of our threads."""
        self._server, self._troubles, self._kill = server, troubles, kill
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock, self._ended = Lock(), Event()
        self._connections: list[socket.socket] = []
        self.requests = 0
        self.met: list[Trouble] = []
        """The troubles that happened."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def is_through(self) -> bool:
        """Whether all troubles lie behind."""
        return self.requests > max(self._troubles, default=0)

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._connections):
            _reset(each)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(client)
            Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection: requests follow each other, and each is answered before the next one."""
        with suppress(OSError), client:
            while not self._ended.is_set():
                data = client.recv(RECEIVED)
                if not data:
                    return
                trouble = self._count() if REQUEST.match(data) else None
                # A new connection each time: the server may close one that has waited, and that would be a
                # trouble of our own making.
                with socket.create_connection(self._server, timeout=30) as server:
                    if trouble is not None:
                        self._break(trouble, data, client, server)
                        return
                    server.sendall(data)
                    if not _is_whole(data, client, server):
                        return
                    client.sendall(_read_answer(server))

    def _count(self) -> Trouble | None:
        with self._lock:
            self.requests += 1
            trouble = self._troubles.get(self.requests)
            if trouble:
                self.met.append(trouble)
            return trouble

    def _break(self, trouble: Trouble, data: bytes, client: socket.socket, server: socket.socket) -> None:
        if trouble is Trouble.KILLED_BEFORE:
            self._kill()
        elif trouble is Trouble.REFUSED:
            _is_whole(data, client, None)
            client.sendall(REFUSAL)
        elif trouble is Trouble.SILENT:
            self._hold(client)
        elif trouble is not Trouble.CUT:
            server.sendall(data)
            _is_whole(data, client, server)
            answer = _read_answer(server)
            if trouble is Trouble.KILLED_AFTER:
                self._kill()
            elif trouble is Trouble.HALF:
                client.sendall(answer[: len(answer) // 2])
        _reset(client)

    def _hold(self, client: socket.socket) -> None:
        """Say nothing until the client gives up."""
        with suppress(OSError):
            while client.recv(RECEIVED):
                pass


def _is_whole(head: bytes, client: socket.socket, server: socket.socket | None) -> bool:
    """Read and hand on the rest of a request of which `head` has come."""
    data = head
    while b"\r\n\r\n" not in data or len(data) < _length(data):
        more = client.recv(RECEIVED)
        if not more:
            return False
        if server is not None:
            server.sendall(more)
        data += more
    return True


def _read_answer(server: socket.socket) -> bytes:
    """One whole answer."""
    data = b""
    while True:
        more = server.recv(RECEIVED)
        data += more
        if not more:
            return data
        if b"\r\n\r\n" not in data:
            continue
        if b"transfer-encoding: chunked" in data.partition(b"\r\n\r\n")[0].lower():
            if data.endswith(b"0\r\n\r\n"):
                return data
        elif len(data) >= _length(data):
            return data


def _length(message: bytes) -> int:
    """Bytes of a message by its own words: head and body."""
    head, _, _ = message.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(head) + 4 + (int(found[1]) if found else 0)


def _reset(connection: socket.socket) -> None:
    """End it as a crash does, without a farewell."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

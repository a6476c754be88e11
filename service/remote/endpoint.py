"""One HTTP request at a time to an endpoint, by a deadline for all of it, on connections that are kept.

A timeout of a socket is for each byte anew: who sends one now and then would hold a thread for ever. So the
sockets here look at the clock before each step.

Raises, of any call:

    TimeoutError            the deadline has passed, wherever it hung
    EndpointRefuses         no connection could be made
    ConnectionError         a connection ended before its answer did
    AnswerError             it answered, with what is no answer
"""

import re
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from http.client import (
    BadStatusLine,
    HTTPException,
    HTTPResponse,
    IncompleteRead,
    LineTooLong,
    RemoteDisconnected,
)
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from common.errors import CanarioError

HEADERS = "Accept: application/json\r\nAccept-Encoding: identity\r\n"
HEAD_BYTES = 65_536
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: |$)")


class EndpointRefuses(CanarioError):  # noqa: N818 - it says what happened
    """Nobody listens there, or the name or the certificate is wrong."""


class AnswerError(CanarioError):
    """An answer that is none; the text says why."""


class Answered(NamedTuple):
    """Status and body."""

    status: int
    body: bytes


class _Clock(threading.local):
    end = 0.0  # of the call of this thread, by the monotonic clock

    def left(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


_clock = _Clock()


class _Socket(socket.socket):
    def recv_into(self, *args: Any, **options: Any) -> int:
        self.settimeout(_clock.left())
        return super().recv_into(*args, **options)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_clock.left())
        super().sendall(*args)


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, *args: Any, **options: Any) -> int:
        self.settimeout(_clock.left())
        return super().recv_into(*args, **options)

    def sendall(self, *args: Any) -> None:
        self.settimeout(_clock.left())
        super().sendall(*args)


class _Response(HTTPResponse):
    """Reads the head itself: a call takes 21 us of CPU, and 55 with http.client."""

    def begin(self) -> None:
        """Read the head. Raises HTTPException where it is none, RemoteDisconnected where nothing comes."""
        while True:
            line, *lines = self._lines()
            found = _STATUS.match(line)
            if found is None:
                raise BadStatusLine(line[:100].decode("latin-1"))
            self.status = int(found[2])
            if self.status >= 200:
                break
        told = {
            name.lower(): value.strip().lower() for name, _, value in (each.partition(b":") for each in lines)
        }
        self.chunked, self.chunk_left = told.get(b"transfer-encoding") == b"chunked", None
        length = told.get(b"content-length", b"")
        self.length = int(length) if length.isdigit() and not self.chunked else None
        if self.status in (204, 304):
            self.length = 0
        keeps = told.get(b"connection") == b"keep-alive" if found[1] == b"0" else True
        self.will_close = (
            not keeps or told.get(b"connection") == b"close" or not (self.chunked or self.length is not None)
        )

    def _lines(self) -> list[bytes]:
        """Those of the head, without their ends."""
        lines: list[bytes] = []
        left = HEAD_BYTES
        while line := self.fp.readline(left):
            left -= len(line)
            if not line.endswith(b"\n"):
                break
            line = line.rstrip(b"\r\n")
            if line:
                lines.append(line)
            elif lines:
                return lines
        if left <= 0:
            raise LineTooLong("the head")
        if lines or line:
            raise IncompleteRead(line)
        raise RemoteDisconnected("nothing came")


class Endpoint:
    """The server at `url`. Threads may share it; make it after the fork."""

    def __init__(self, url: str) -> None:
        split = urlsplit(url)
        self.url, self._path = url, split.path.rstrip("/")
        self._host, self._tls = split.hostname or "", split.scheme == "https"
        self._port = split.port or (443 if self._tls else 80)
        self._headers = f"Host: {split.netloc}\r\n{HEADERS}".encode()
        self._idle: deque[socket.socket] = deque()
        self._closed = False
        self._address: tuple[Any, ...] | None = None
        self._context = ssl.create_default_context() if self._tls else None
        if self._context:
            self._context.sslsocket_class = _TlsSocket

    def resolve(self) -> None:
        """Look the name up. Requests connect to what was found: a name server that hangs holds none of them.

        Raises:
            EndpointRefuses: there is no such name.
        """
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise EndpointRefuses(f"{self.url}: {self._host} has no address: {error}") from error
        known = {each[4] for each in found}
        if self._address is None or self._address not in known:
            self._address = found[0][4]

    def ask(  # noqa: PLR0913, PLR0917 - a request is all of that
        self,
        method: str,
        path: str,
        body: bytes | None,
        seconds: float,
        most_bytes: int,
        more: Mapping[str, str] | None = None,
    ) -> Answered:
        """The answer to a request.

        Args:
            path: behind the address.
            seconds: for all of it.
            most_bytes: of the answer's body.
            more: headers.
        """
        named = "".join(f"{name}: {value}\r\n" for name, value in more.items()) if more else ""
        if body is not None:
            named += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        # In one piece: head and body in two packets would wake the server twice.
        call = b"".join(
            (
                f"{method} {self._path}{path} HTTP/1.1\r\n".encode(),
                *(self._headers, named.encode("latin-1"), b"\r\n", body or b""),
            )
        )
        _clock.end = time.monotonic() + seconds
        kept = self._kept()
        if kept:
            try:
                return self._ask(kept, call, most_bytes)
            except (RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                pass  # ended by the server while nobody used it; a prediction may be asked for twice
        return self._ask(self._connected(), call, most_bytes)

    def close(self) -> None:
        """Close the connections, those in use when their answer has come."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _ask(self, connection: socket.socket, call: bytes, most_bytes: int) -> Answered:
        is_whole = False
        response = _Response(connection)
        try:
            connection.sendall(call)
            response.begin()
            data = self._read(response, most_bytes)
            is_whole = response.isclosed() and not response.will_close
            return Answered(response.status, data)
        except IncompleteRead as error:
            raise ConnectionError("in the middle of its answer") from error
        except ConnectionError:  # that of http.client is an HTTPException besides
            raise
        except HTTPException as error:
            raise AnswerError(f"{self.url} answers with no HTTP: {type(error).__name__}") from error
        finally:
            response.close()
            if is_whole and not self._closed:
                self._idle.append(connection)
            else:
                connection.close()

    def _read(self, response: HTTPResponse, most_bytes: int) -> bytes:
        data = response.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise AnswerError(f"{self.url} answers with more than {most_bytes} bytes")
        if response.length:
            raise IncompleteRead(data)
        return data

    def _kept(self) -> socket.socket | None:
        """A connection that is open and silent; the one that was used last."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()

    def _connected(self) -> socket.socket:
        if self._address is None:
            self.resolve()
        address = self._address or ()
        family = socket.AF_INET6 if len(address) == 4 else socket.AF_INET
        plain: socket.socket = _Socket(family, socket.SOCK_STREAM)
        try:
            plain.settimeout(_clock.left())
            plain.connect(address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context:
                plain = self._context.wrap_socket(plain, server_hostname=self._host)
        except TimeoutError:
            plain.close()
            raise
        except OSError as error:
            plain.close()
            raise EndpointRefuses(f"{self.url} cannot be reached: {error.strerror or error}") from error
        return plain

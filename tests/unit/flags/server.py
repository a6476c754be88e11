"""A web server in this process that answers what a test wants, real HTTP included."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Call:
    """One request as it came in; `path` is unquoted, `target` is not."""

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What goes back: text as it is, anything else as JSON; None is an empty body."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    cut: bool = False
    """Close the connection instead of answering."""
    half: bool = False
    """Close it in the middle of the body."""


@dataclass
class Server:
    """One server; `answer` is asked for each call."""

    url: str
    answer: Callable[[Call], Answer]
    calls: list[Call] = field(default_factory=list)

    def script(self, *answers: Answer) -> None:
        """Answer these in turn, and the last for ever."""
        left = list(answers)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two writes, 40 ms apart otherwise

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            parts = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            call = Call(
                self.command,
                self.path,
                unquote(parts.path),
                {name: values[0] for name, values in parse_qs(parts.query).items()},
                dict(self.headers),
                json.loads(text) if text else None,
            )
            server.calls.append(call)
            self._send(server.answer(call))

        def _send(self, answer: Answer) -> None:
            time.sleep(answer.delay)  # a server that is slow, for the deadlines of real clients
            if answer.cut:
                self.close_connection = True
                return
            headers = dict(answer.headers)
            if answer.body is None:
                content = b""
            elif isinstance(answer.body, str):
                content = answer.body.encode()
            else:
                content = json.dumps(answer.body).encode()
                headers.setdefault("Content-Type", "application/json; charset=utf-8")
            self.send_response(answer.status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if answer.half else content)
            if answer.half:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that gave up waiting

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}", lambda _: Answer("nothing scripted", 501))
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        http.shutdown()
        thread.join()

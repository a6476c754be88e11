"""The load generator against a real HTTP server that is slow, or wrong, or gone."""

import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest

from drills.load import Load
from tests.unit.waiting import until

ANSWER = b'{"model": "champion", "assigned": "champion", "reason": "flag_off"}'


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    servers: list[ThreadingHTTPServer] = []

    def _serve(delay: float = 0.0, status: int = 200, body: bytes = ANSWER) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(delay)  # a server that is slow
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield _serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_requests_leave_on_time_although_answers_are_slow(serve: Callable[..., str]) -> None:
    began = time.monotonic()
    with Load(serve(delay=0.3), [[1.0]], ["a", "b"], rate=20) as load:
        time.sleep(1.0)  # real time is what the load keeps to
        most = (time.monotonic() - began) * 20 + 2
    samples = load.samples
    assert 10 <= len(samples) <= most  # waiting for each answer, it would be 4
    dues = sorted(each.due for each in samples)
    assert all(later - earlier == pytest.approx(0.05, abs=1e-6) for earlier, later in pairwise(dues))
    assert all(each.seconds >= 0.3 for each in samples)
    assert {each.user for each in samples} == {"a", "b"}
    assert not any(each.failed for each in samples)
    assert samples[0].reason == "flag_off"


@pytest.mark.parametrize(("how", "status"), [({"status": 500}, 500), ({"body": b"no json"}, None)])
def test_a_wrong_answer_is_a_failure(
    serve: Callable[..., str], how: dict[str, Any], status: int | None
) -> None:
    with Load(serve(**how), [[1.0]], ["a"], rate=20) as load:
        until(lambda: len(load.samples) >= 4)
    assert all(each.failed and each.status == status for each in load.samples)


def test_a_server_that_is_gone_is_a_failure() -> None:
    with Load("http://127.0.0.1:9", [[1.0]], ["a"], rate=20) as load:
        until(lambda: len(load.samples) >= 4)
    assert all(each.failed and each.status is None for each in load.samples)

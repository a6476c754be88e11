"""The proxy that is shipped: slow clients hold nobody up, and no spelling of a path is /admin or /metrics."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.balancer import balancer
from tests.integration.own_service import OwnService, own_service
from tests.integration.slow_clients import slow_clients
from tests.integration.steady_load import steady_load

BODY = (REPOSITORY / "docs" / "request.json").read_bytes()
JSON = {"Content-Type": "application/json"}
SLOW, RATE, ALONE_SECONDS, BESIDE_SECONDS = 64, 40.0, 3.0, 12.0


@pytest.fixture(scope="module")
def behind(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnService]:
    """A service that lets whoever has the token into /admin; its proxy is `front`."""
    with own_service(stack, tmp_path_factory.mktemp("behind"), workers="2") as service:
        yield service


@pytest.fixture(scope="module")
def front(behind: OwnService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with balancer(behind.url, tmp_path_factory.mktemp("balancer")) as url:
        yield url


def ask(
    url: str, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, str, str]:
    """Status, content type, and the worker that answered; no worker means that the proxy did."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=15)) as connection:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["Content-Type"], response.headers["Canario-Worker"] or ""


@pytest.mark.parametrize(
    "target",
    [
        "/admin/canary",
        "/admin",
        "//admin/canary",
        "/%61dmin/canary",
        "/%2561dmin/canary",
        "/./admin/canary",
        "/x/../admin/canary",
        "/docs/../admin/canary",
        "/docs/%2e%2e/admin/canary",
        "/docs/swagger/..%2f..%2fadmin/canary",
        "/ADMIN/canary",
        "/admin;x/canary",
        "/admin/canary;x",
        "/admin%2fcanary",
        "/admin\\canary",
        "http://x/admin/canary",
        "http://x//admin/canary",
        "/predict/../admin/canary",
        "/x/admin/canary",
        "/metrics",
        "//metrics",
        "/%6detrics",
        "/metrics?x",
        "/metrics;x",
        "http://x/metrics",
        "*",
    ],
)
@pytest.mark.parametrize(
    "header", [{}, {"SCRIPT_NAME": "/x"}, {"X-Forwarded-Prefix": "/x"}, {"X-Original-URL": "/admin/canary"}]
)
def test_strangers_do_not_reach_what_is_for_operators(
    stack: Stack, front: str, target: str, header: dict[str, str]
) -> None:
    token = {"Authorization": f"Bearer {stack.secret('service-admin.token')}"}
    status, kind, worker = ask(front, "GET", target, header | token)
    assert worker == ""
    assert 400 <= status < 500
    assert kind == "application/problem+json"


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO"])
def test_a_header_does_not_say_which_route_is_meant(front: str, name: str) -> None:
    status, _, worker = ask(front, "GET", "/healthz", {name: "/healthz"})
    assert (status, worker != "") == (200, True)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json", "/docs/swagger/"])
def test_what_is_public_is_there(front: str, path: str) -> None:
    status, _, worker = ask(front, "GET", path)
    assert worker
    assert status in {200, 302}


def test_the_largest_body_is_taken_and_a_larger_one_refused(front: str) -> None:
    assert ask(front, "POST", "/predict", JSON, BODY.ljust(65_536))[0] == 200
    assert ask(front, "POST", "/predict", JSON, BODY.ljust(65_537))[0] == 413
    assert ask(front, "POST", "/predict", JSON, BODY.ljust(300_000))[0] == 413


def test_half_a_request_ends_with_a_problem(front: str) -> None:
    where = urlsplit(front)
    with socket.create_connection((str(where.hostname), int(where.port or 0)), 20) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("proxy", [True, False], ids=["behind the proxy", "bare"])
def test_slow_clients_hold_nobody_up(front: str, behind: OwnService, proxy: bool) -> None:
    """The slow are hung up on after 10 s, and come again.

    Who is starved by them waits that long. The ratio that is printed means something on a quiet machine.
    """
    url = front if proxy else behind.url
    with steady_load(url, RATE) as alone:
        time.sleep(ALONE_SECONDS)
    with slow_clients(url, SLOW), steady_load(url, RATE) as beside:
        time.sleep(BESIDE_SECONDS)
    assert (alone.failures, beside.failures) == ([], [])
    assert len(beside.answers) > 0.8 * RATE * BESIDE_SECONDS
    print(f"p99 {1000 * alone.p99:.1f} -> {1000 * beside.p99:.1f} ms: {beside.p99 / alone.p99:.2f} x")
    assert beside.p99 < 1

"""Slow routes take a part of the threads only: the others are refused at once, and predictions go on."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.api.rollout import Shared

Start = Callable[..., FlaskClient]
THREADS = 8
PLACES = THREADS // 4


class Held:
    """Views of a service that wait in it until they are let go."""

    def __init__(self, client: FlaskClient) -> None:
        self.app, self.let_go, self.inside = client.application, threading.Event(), threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(THREADS)

    def hold(self, endpoint: str) -> None:
        def wait(**_: Any) -> str:
            self.inside.release()
            assert self.let_go.wait(20)
            return "done"

        self.app.view_functions[endpoint] = wait

    def ask(self, path: str) -> Callable[[], TestResponse]:
        asked = self._pool.submit(self.app.test_client().get, path)
        assert self.inside.acquire(timeout=20)
        return lambda: asked.result(20)

    def close(self) -> None:
        self.let_go.set()
        self._pool.shutdown()


@pytest.fixture
def held(start: Start) -> Iterator[Held]:
    made = Held(start(threads=THREADS))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("rollout.get_rollout", "/admin/rollout"),
        ("admin.get_canary", "/admin/canary"),
        ("status.get_models", "/admin/models"),
        ("prometheus_metrics", "/metrics"),
        ("openapi", "/openapi.json"),
    ],
)
def test_a_slow_route_takes_a_quarter_of_the_threads(held: Held, endpoint: str, path: str) -> None:
    held.hold(endpoint)
    asked = [held.ask(path) for _ in range(PLACES)]
    client = held.app.test_client()
    refused = client.get(path)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.content_type == "application/problem+json"
    assert refused.headers["X-Request-Id"] == refused.get_json()["request_id"]
    for free in ("/healthz", "/readyz"):
        assert client.get(free).status_code == 200
    assert client.post("/predict", json={}).status_code == 422
    assert client.post("/feedback", json={}).status_code == 422
    held.let_go.set()
    assert [each().status_code for each in asked] == [200] * PLACES
    assert client.get(path).status_code != 503


def test_the_kinds_do_not_take_places_of_each_other(held: Held) -> None:
    held.hold("openapi")
    for _ in range(PLACES):
        held.ask("/openapi.json")
    client = held.app.test_client()
    assert client.get("/docs").status_code == 503
    assert client.get("/metrics").status_code == 200
    assert client.get("/admin/canary").status_code == 403


def test_a_place_is_taken_until_the_answer_is_sent(start: Start) -> None:
    client = start(threads=THREADS)
    begun = [client.get("/openapi.json", buffered=False) for _ in range(PLACES)]
    assert client.get("/openapi.json").status_code == 503
    for response in begun:
        response.close()
    assert client.get("/openapi.json", buffered=True).status_code == 302


def test_a_view_that_fails_gives_its_place_back(start: Start) -> None:
    client = start(threads=THREADS)

    def fail() -> Response:
        raise RuntimeError("of this test")

    client.application.view_functions["openapi"] = fail
    for _ in range(3 * PLACES):
        assert client.get("/openapi.json").status_code == 500


def test_of_many_who_ask_at_once_one_does_and_all_are_told(start: Start) -> None:
    calls, now, let_go = [], [0.0], threading.Event()

    def ask() -> int:
        calls.append(1)
        assert let_go.wait(20)
        return len(calls)

    shared = Shared(ask, 1.0, lambda: now[0])
    with ThreadPoolExecutor(24) as pool:
        asked = [pool.submit(shared.get) for _ in range(24)]
        let_go.set()
        assert {each.result(20) for each in asked} == {1}
    now[0] = 1.1
    assert shared.get() == 2


def test_a_failure_is_told_to_all_too() -> None:
    calls: list[int] = []

    def ask() -> int:
        calls.append(1)
        raise ValueError("of this test")

    shared = Shared(ask, 1.0, lambda: 0.0)
    for _ in range(3):
        with pytest.raises(ValueError, match="of this test"):
            shared.get()
    assert calls == [1]

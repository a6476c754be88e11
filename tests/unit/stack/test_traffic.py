"""Sample traffic: always the same users, and never an end because of the service."""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service.api.predict_schema import PredictRequest
from stack.traffic import COUNTRIES, PLANS, Sender, bodies

Answers = Iterator[tuple[int, object]]


@contextmanager
def serving(answers: Answers) -> Iterator[str]:
    """A service that gives these answers, one after the other; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = next(answers)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        log_message: Callable[..., None] = staticmethod(lambda *_arguments: None)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_requests_are_as_the_service_wants_them_and_the_same_each_time() -> None:
    first = list(itertools.islice(bodies(users=50), 500))
    assert first == list(itertools.islice(bodies(users=50), 500))
    for body in first:
        PredictRequest.model_validate(body)
        assert len(body["features"]) == 30


def test_users_keep_their_country_and_plan_and_all_combinations_occur() -> None:
    seen: dict[str, set[tuple[str, str]]] = {}
    for body in itertools.islice(bodies(users=50), 2000):
        seen.setdefault(body["user_id"], set()).add((body["context"]["country"], body["context"]["plan"]))
    assert len(seen) == 50
    assert all(len(contexts) == 1 for contexts in seen.values())
    assert set.union(*seen.values()) == set(itertools.product(COUNTRIES, PLANS))


def test_whatever_the_service_does_is_counted() -> None:
    answers: list[tuple[int, object]] = [
        (200, {"model": "champion"}),
        (200, {"model": "challenger"}),
        (200, {"model": "champion"}),
        (503, {"title": "not ready"}),
        (200, ["nonsense"]),
    ]
    with serving(iter(answers)) as url:
        sender = Sender(url)
        for body in itertools.islice(bodies(users=5), len(answers)):
            sender.send(body)
        sender.close()
    assert sender.counts == Counter({"champion": 2, "challenger": 1, "status 503": 1, "no answer": 1})


def test_some_users_buy_and_the_service_is_told() -> None:
    answers: list[tuple[int, object]] = [
        (200, {"model": "champion", "request_id": "a"}),
        (202, {"duplicate": False}),
        (503, {"title": "not ready"}),
        (200, {"model": "champion", "request_id": "b"}),
        (202, {"duplicate": False}),
    ]
    left = iter(answers)
    with serving(left) as url:
        sender = Sender(url, bought=1.0)
        for body in itertools.islice(bodies(users=5), 3):
            sender.send(body)
        sender.close()
    assert sender.counts == Counter({"champion": 2, "status 503": 1})
    assert list(left) == []


def test_it_says_only_once_that_the_service_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = next(bodies(users=1))
    with serving(iter([(200, {"model": "champion"})] * 2)) as url:
        sender = Sender(url)
        sender.send(body)
    caplog.set_level("INFO")
    for _ in range(3):
        sender.send(body)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert sender.counts["no answer"] == 3
    sender.close()

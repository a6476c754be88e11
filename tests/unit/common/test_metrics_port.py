"""The port of a job's metrics: taken for a while, and with a server that ends."""

import logging
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from common import metrics_port
from common.metrics_port import serve
from tests.unit.waiting import until

AGAIN = 0.02


@contextmanager
def taken_port() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("something", "To be found.", registry=made)
    return made


def served(bind: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{bind}/metrics", timeout=2) as answer:
            return b"something 0.0" in answer.read()
    except OSError:
        return False


def test_a_port_that_was_taken_is_served_when_it_is_free(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    with taken_port() as bind:
        serve(bind, registry, again_after=AGAIN)  # and whoever calls goes on
        until(lambda: "begins again" in caplog.text)
    until(lambda: served(bind))


def test_a_server_that_ended_is_made_again(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Any] = []

    def started(*arguments: Any) -> Any:
        made.append(start_http_server(*arguments))
        return made[-1]

    monkeypatch.setattr(metrics_port, "start_http_server", started)
    caplog.set_level(logging.INFO)
    with taken_port() as bind:
        pass
    serve(bind, registry, again_after=AGAIN)
    until(lambda: made and served(bind))  # another program may have the port for a moment
    made[0][0].shutdown()
    until(lambda: len(made) == 2 and served(bind))
    assert "it has ended" in {getattr(record, "error", "") for record in caplog.records}

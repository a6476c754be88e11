"""A steady stream of requests from clients that keep their connections, and every answer kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.integration.conftest import ROW

CLIENTS = 10


@dataclass
class Seen:
    """What the clients saw: answers with the time at which each was asked, and what was no answer."""

    answers: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def slowest(self) -> float:
        return max(self.seconds, default=0.0)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


@contextmanager
def steady_load(url: str, rate: float, *, again: int = 0) -> Iterator[Seen]:
    """`rate` requests a second in all, each by its turn, until the block ends.

    Args:
        again: how often one is sent once more whose connection broke, as a proxy would; no answer of the
            service is reason to.
    """
    seen, stop = Seen(), threading.Event()
    clients = [
        threading.Thread(target=_client, args=(url, number, CLIENTS / rate, seen, stop, again))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    try:
        yield seen
    finally:
        stop.set()
        for client in clients:
            client.join(30)


def _client(url: str, number: int, period: float, seen: Seen, stop: threading.Event, again: int) -> None:
    turn = time.monotonic() + number * period / CLIENTS
    with requests.Session() as session:
        session.trust_env = False
        while not stop.wait(max(0.0, turn - time.monotonic())):
            turn += period
            begun = time.time()
            body = {"user_id": f"user-{number}-{int(turn * 1000) % 97}", "features": ROW}
            try:
                response = _asked(session, f"{url}/predict", body, again)
                if response.status_code == 200:
                    seen.answers.append((begun, response.json()))
                else:
                    seen.failures.append(f"{response.status_code} {response.text[:200]}")
            except requests.RequestException as error:
                seen.failures.append(repr(error))
            seen.seconds.append(time.time() - begun)


def _asked(session: requests.Session, url: str, body: Any, again: int) -> requests.Response:
    """The answer; also a connection that breaks in the middle of one is a reason to ask again."""
    for _ in range(again):
        try:
            return session.post(url, json=body, timeout=10)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            continue
    return session.post(url, json=body, timeout=10)

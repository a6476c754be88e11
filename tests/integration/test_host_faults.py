"""The host has a bad time, and a challenger equal to the champion is blamed for nothing.

Both roles have one artifact, so that each error of the challenger would be a false one.
"""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from common.names import Metric, Model
from service.metrics.service import CHALLENGER_FAILURES
from service.train import train
from stack.api import Stack
from tests.integration.conftest import wait_for
from tests.integration.own_service import OwnService, own_service
from tests.integration.steady_load import steady_load

HALF = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
Trouble = Callable[[OwnService, int], None]


def master(service: OwnService) -> psutil.Process:
    parent = psutil.Process(int(service.predict("u")["worker"])).parent()
    assert parent is not None
    return parent


def reload_it(service: OwnService, times: int) -> None:
    """HUP: other workers, while the requests that come meanwhile wait."""
    for _ in range(times):
        before = {each.pid for each in master(service).children()}
        master(service).send_signal(1)
        wait_for(lambda: not before & {each.pid for each in master(service).children()}, 60, "other workers")  # noqa: B023
        time.sleep(1)


def kill_workers(service: OwnService, times: int) -> None:
    """SIGKILL for one worker after the other."""
    parent = master(service)
    for turn in range(times):
        workers = parent.children()
        workers[turn % len(workers)].kill()
        time.sleep(3)


def send_slowly(service: OwnService, seconds: int) -> None:
    """64 clients that send a byte of the head now and then, for `seconds`."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    end = time.monotonic() + seconds
    with ExitStack() as clients:
        slow: list[socket.socket] = []
        while time.monotonic() < end:
            while len(slow) < 64:
                slow.append(clients.enter_context(socket.create_connection((host, int(port)), 5)))
                slow[-1].sendall(HALF)
            for client in list(slow):
                try:
                    client.sendall(b"X-A: b\r\n")
                except OSError:
                    slow.remove(client)
            time.sleep(1)


def blamed(service: OwnService) -> dict[str, float]:
    found = {
        reason: service.metric(f'{Metric.ERRORS}{{model="challenger",reason="{reason}"}}')
        for reason in CHALLENGER_FAILURES
    }
    return {reason: count for reason, count in found.items() if count}


@pytest.mark.parametrize(
    ("trouble", "rate", "amount"),
    [
        pytest.param(reload_it, 60, 1),
        pytest.param(kill_workers, 60, 2),
        pytest.param(send_slowly, 60, 5),
        pytest.param(reload_it, 200, 10, marks=pytest.mark.slow),
        pytest.param(kill_workers, 200, 20, marks=pytest.mark.slow),
        pytest.param(send_slowly, 200, 60, marks=pytest.mark.slow),
    ],
)
def test_an_equal_challenger_is_blamed_for_nothing(
    stack: Stack, own_flag: str, tmp_path: Path, trouble: Trouble, rate: float, amount: int
) -> None:
    model = str(train(Model.CHAMPION, tmp_path / "model").folder)
    with own_service(
        stack, tmp_path, canary_flag=own_flag, champion=model, challenger=model, workers="2"
    ) as own:
        wait_for(lambda: own.predict("u")["model"] == "challenger", 10, "the flag")
        with steady_load(own.url, rate):
            time.sleep(1)
            trouble(own, amount)
            time.sleep(2)
        assert blamed(own) == {}
        assert own.metric(f'{Metric.CALLS}{{model="challenger"}}') > 50

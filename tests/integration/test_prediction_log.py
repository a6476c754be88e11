"""The prediction log of the service under gunicorn: nothing lost on SIGTERM, feedback on whichever worker."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from common.names import Metric
from stack.api import Stack
from tests.integration.conftest import ROW, wait_for
from tests.integration.own_service import OwnService, own_service

SECRET_USER = "somebody-in-particular"


def records(folder: Path) -> list[dict[str, Any]]:
    found = []
    for path in folder.glob("*.jsonl"):
        text = path.read_bytes()
        assert text.endswith(b"\n")
        found += [orjson.loads(line) for line in text.splitlines()]
    return found


class Load:
    """Clients that ask until the service is gone, and count what they got."""

    def __init__(self, url: str, clients: int = 8) -> None:
        self._url, self.answered, self._lock = url, set[str](), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _ask(self, number: int) -> None:
        with requests.Session() as session:
            # Half of the clients keep their connection, the others meet another worker now and then.
            headers = {"Connection": "close"} if number % 2 else {}
            while True:
                try:
                    body = {"user_id": f"{SECRET_USER}-{number}", "features": ROW}
                    response = session.post(f"{self._url}/predict", json=body, headers=headers, timeout=10)
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    return
                if response.status_code == 200:
                    with self._lock:
                        self.answered.add(response.json()["request_id"])


def test_sigterm_under_load_loses_no_record(stack: Stack, tmp_path: Path) -> None:
    with own_service(stack, tmp_path, workers="2", log_flush_seconds="60") as own:
        load = Load(own.url)
        time.sleep(3)
        assert records(tmp_path / "state" / "log") == []  # all of it is in memory still
    load.join()
    found = [record["request_id"] for record in records(tmp_path / "state" / "log")]
    assert len(load.answered) > 100
    assert len(found) == len(set(found))
    assert set(found) == load.answered
    assert len(list((tmp_path / "state" / "log").glob("*.jsonl"))) == 2
    assert SECRET_USER not in own.log.read_text(encoding="utf-8")
    assert not any(SECRET_USER in str(record) for record in records(tmp_path / "state" / "log"))


def test_sigkill_of_a_worker_loses_no_more_than_the_flush_interval(stack: Stack, tmp_path: Path) -> None:
    with own_service(stack, tmp_path, log_flush_seconds="0.5") as own:
        answers = []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            answers.append((own.predict("u"), time.monotonic()))
        os.kill(int(answers[-1][0]["worker"]), signal.SIGKILL)
        killed = time.monotonic()
        wait_for(lambda: alive(own), 20, "another worker")
        last = own.predict("u")
    found = {record["request_id"] for record in records(tmp_path / "state" / "log")}
    lost = [at for answer, at in answers if answer["request_id"] not in found]
    assert all(killed - at < 1.0 for at in lost)
    assert len(found) > len(answers) / 2
    assert last["request_id"] in found


def alive(own: OwnService) -> bool:
    try:
        return requests.get(f"{own.url}/readyz", timeout=2).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


@pytest.mark.usefixtures("service")  # with the canary at 0%
def test_feedback_is_known_and_counted_once_whichever_worker_gets_it(stack: Stack, tmp_path: Path) -> None:
    with own_service(stack, tmp_path, workers="3") as own:

        def post(path: str, body: dict[str, Any], **headers: str) -> requests.Response:
            response = requests.post(f"{own.url}{path}", json=body, headers=headers, timeout=5)
            response.raise_for_status()
            return response

        body = {"user_id": "ada", "features": ROW}
        ours = post("/predict", body).json()["request_id"]
        post("/predict", body, **{"X-Request-Id": "order-17"})
        own.by_worker("ada", workers=3)  # all have started
        counted = 0
        for about in ({"request_id": ours}, {"request_id": "order-17"}, {"user_id": "ada"}):
            told: list[requests.Response] = []
            while len({each.headers["Canario-Worker"] for each in told}) < 2:
                assert len(told) < 1000, "one worker takes all"
                with ThreadPoolExecutor(8) as pool:
                    told += pool.map(lambda body: post("/feedback", body), [about | {"outcome": "x"}] * 30)
            assert all(each.json()["known"] for each in told)
            duplicates = sum(each.json()["duplicate"] for each in told)
            assert duplicates == (0 if "user_id" in about else len(told) - 1)
            counted += len(told) - duplicates
        assert own.metric(f'{Metric.OUTCOMES}{{model="champion",outcome="x"}}') == counted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_fails_no_request_and_its_losses_are_counted(
    stack: Stack, tmp_path: Path, small_disk: Path
) -> None:
    limits = {"log_queue_records": "50", "log_flush_seconds": "0.1"}
    (small_disk / "ballast").write_bytes(b"x" * 48 * 1024)
    with own_service(stack, tmp_path, log_dir=str(small_disk / "log"), **limits) as own:
        for _ in range(200):
            own.predict("u")
        assert own.metric(f'{Metric.LOG_DROPS}{{reason="disk"}}') > 0
        (small_disk / "ballast").unlink()
        wait_for(lambda: "written again" in own.log.read_text(encoding="utf-8"), 10, "a disk with room")
        last = own.predict("u")
        time.sleep(0.5)
        dropped = own.metric(f'{Metric.LOG_DROPS}{{reason="disk"}}')
    found = records(small_disk / "log")
    assert len(found) + dropped == 201
    assert found[-1]["request_id"] == last["request_id"]


@pytest.mark.usefixtures("service")  # with the canary at 0%
def test_a_state_folder_on_a_full_disk_fails_no_request_and_no_start_of_a_worker(
    stack: Stack, tmp_path: Path, small_disk: Path
) -> None:
    with own_service(stack, tmp_path, workers="2", state_dir=str(small_disk)) as own:
        fill(small_disk / "ballast")
        victim, _ = own.by_worker("u")
        os.kill(int(victim), signal.SIGKILL)
        wait_for(lambda: len(own.by_worker("u").keys() - {victim}) == 2, 20, "another worker")
        assert {own.predict(f"u{number}")["model"] for number in range(50)} == {"champion"}
        assert "SIGBUS" not in own.log.read_text(encoding="utf-8")


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(b"x" * 4096):
            pass

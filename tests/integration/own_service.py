"""A second service beside the stack's, with settings of its own: for faults that the others must not feel."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import Service, wait_for


@dataclass(frozen=True)
class OwnService(Service):
    """A service under gunicorn, with one worker, and its log."""

    log: Path

    def metric(self, series: str) -> float:
        """The value of a series, named as in /metrics."""
        for line in requests.get(f"{self.url}/metrics", timeout=5).text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        raise AssertionError(f"no series {series}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def own_service(stack: Stack, folder: Path, **settings: str) -> Iterator[OwnService]:
    """Runs until the block ends. `settings` are CANARIO_ variables in lower case without the prefix."""
    address = f"127.0.0.1:{free_port()}"
    environment = stack.env("service") | {
        "CANARIO_BIND": address,
        "CANARIO_WORKERS": "1",
        "CANARIO_STATE_DIR": str(folder / "state"),
        **{f"CANARIO_{name.upper()}": value for name, value in settings.items()},
    }
    if "champion" in settings:
        environment.pop("CANARIO_MODELS")
    for name in settings:
        environment.pop(f"CANARIO_{name.upper()}_FILE", None)
    folder.mkdir(exist_ok=True)
    log = folder / "service.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=REPOSITORY, env=environment, stderr=out, stdout=out
        )
    service = OwnService(f"http://{address}", log)
    workers: set[str] = set()
    wanted = int(settings.get("workers", "1"))
    try:
        wait_for(lambda: all_ready(service, process, workers, wanted), 60, f"a service, see {log}")
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            raise


def all_ready(service: OwnService, process: subprocess.Popen[bytes], seen: set[str], wanted: int) -> bool:
    """Whether as many workers have been met in `seen`, which this adds to."""
    assert process.poll() is None, service.log.read_text(encoding="utf-8")
    try:
        response = requests.get(f"{service.url}/readyz", timeout=2)
    except (requests.ConnectionError, requests.Timeout):
        return False
    if response.ok:
        seen.add(response.headers["Canario-Worker"])
    return len(seen) == wanted

"""A server for a measurement; and what k6 and its processes say of it: requests a second, CPU, latency."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

import psutil
import requests
from prometheus_client.parser import text_string_to_metric_families

from common.errors import CanarioError
from common.names import Metric
from drills.load import Figures, predict
from stack.paths import REPOSITORY

START_SECONDS = 60.0


class BenchError(CanarioError):
    """A measurement came to no end."""


@dataclass(frozen=True)
class Measured:
    """What one server did.

    Attributes:
        rate: requests a second at saturation.
        cpu_seconds: of all processes of the server, per 1,000 requests at saturation.
        p99_full, p99_fixed: seconds, at saturation and at the fixed rate.
        failed: requests without an answer, in both.
        lost: shadow samples that the challenger never saw, of all since the server started.
    """

    rate: float
    cpu_seconds: float
    p99_full: float
    p99_fixed: float
    failed: int
    lost: int = 0


def measure(url: str, pid: int, *, users: int, rate: int, seconds: int) -> Measured:
    """Load the server at `url`, whose master process is `pid`: first warm up, then both ways."""
    predict(url, seconds=max(2, seconds // 4), users=users)
    before = cpu_seconds_of(pid)
    full = predict(url, seconds=seconds, users=users)
    spent = cpu_seconds_of(pid) - before
    fixed = predict(url, seconds=seconds, rate=rate)
    return Measured(
        rate=full.rate,
        cpu_seconds=1000 * spent / requests_of(full),
        p99_full=full.outside.p99,
        p99_fixed=fixed.outside.p99,
        failed=full.failed + fixed.failed,
    )


def shadow_drops(url: str) -> int:
    """Shadow samples that the service at `url` has dropped."""
    said = requests.get(f"{url}/metrics", timeout=5)
    found = text_string_to_metric_families(said.text)
    samples = (sample for family in found for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name == Metric.SHADOW_DROPS))


def free_address() -> str:
    """Where nothing listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def server(command: Sequence[str], environment: Mapping[str, str], url: str, probe: str) -> Iterator[int]:
    """Runs `command` until the block ends; its process id once `url` with `probe` answers 200 or 405.

    Raises:
        BenchError: it does not start.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=dict(environment), stdout=said, stderr=said)
        try:
            _await_answer(process, f"{url}{probe}", said)
            yield process.pid
        finally:
            below: list[psutil.Process] = []
            with suppress(psutil.NoSuchProcess):
                below = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(30)
            for left in below:  # some servers leave processes of theirs behind
                with suppress(psutil.NoSuchProcess):
                    left.kill()


def _await_answer(process: "subprocess.Popen[bytes]", url: str, said: IO[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            said.seek(0)
            told = said.read().decode(errors="replace")[-1000:]
            raise BenchError(f"the server at {url} ended with exit code {process.returncode}: {told}")
        try:
            if requests.get(url, timeout=2).status_code in {200, 405}:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise BenchError(f"the server at {url} did not answer within {START_SECONDS:.0f} s")


def requests_of(figures: Figures) -> int:
    return figures.outside.requests + figures.inside.requests + figures.failed


def cpu_seconds_of(pid: int) -> float:
    master = psutil.Process(pid)
    total = 0.0
    for process in (master, *master.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total

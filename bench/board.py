"""What a board of many rollouts costs while somebody looks at it: a part of `python -m bench.rollouts`."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import requests

from bench.server import BenchError, cpu_seconds_of, free_address

REFRESH: Final = 5.0  # seconds, as the list asks
GOAL_SECONDS: Final = 1.0
"""Of an answer, and of CPU for a refresh."""
PATIENCE: Final = 120.0
UNKNOWN: Final = frozenset({"not known", "being asked"})


@dataclass(frozen=True)
class BoardCost:
    """Of one board over a minute, without recorded series: these cost Prometheus less."""

    rollouts: int
    first_seconds: float
    """Until the list knew all of them, from when it was first asked for."""
    seconds: float
    """Of the slowest answer of the list after that."""
    page_seconds: float
    """Of the slowest answer for the page of one."""
    cpu_seconds: float
    """Of the process, for each refresh of the list."""
    megabytes: float
    kilobytes: float
    """Of the list as JSON."""
    unknown: int
    """Rollouts of which it knew nothing for a while after that, because a source was not read in time."""


def measure_board(environment: Mapping[str, str], name: str, log: Path, seconds: int) -> BoardCost:
    """Look at the list every REFRESH seconds, and at the page of rollout `name`.

    `environment` is that of the board. Raises BenchError.
    """
    with _board(environment, log) as (process, url):
        begun = time.monotonic()
        found, size, _ = _asked(url, "rollouts", log)
        while _unknown(found):
            if time.monotonic() - begun > PATIENCE:
                raise BenchError(f"the board does not know all rollouts: {log.read_text()[-500:]}")
            time.sleep(0.2)
            found, size, _ = _asked(url, "rollouts", log)
        first = time.monotonic() - begun
        time.sleep(REFRESH)
        cpu, end = cpu_seconds_of(process.pid), time.monotonic() + seconds
        took: list[float] = []
        lost = 0
        while time.monotonic() < end:
            answer, _, spent = _asked(url, "rollouts", log)
            lost = max(lost, len(_unknown(answer)))
            took.append(spent)
            time.sleep(max(0.0, REFRESH - spent))
        used = (cpu_seconds_of(process.pid) - cpu) / len(took)
        pages = [_asked(url, f"board?rollout={name}", log)[2] for _ in range(5)]
        megabytes = sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) / 1e6
    return BoardCost(len(found["rollouts"]), first, max(took), max(pages), used, megabytes, size / 1e3, lost)


@contextmanager
def _board(environment: Mapping[str, str], log: Path) -> Iterator[tuple[psutil.Process, str]]:
    url = free_address()
    told = {**environment, "CANARIO_BOARD_BIND": url.removeprefix("http://")}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "board"], env=told, stdout=out, stderr=out)
    try:
        _wait(url, process, log)
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        process.wait(60)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            requests.get(f"{url}/healthz", timeout=1).raise_for_status()
        except requests.RequestException:
            if process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"the board does not start: {log.read_text()[-500:]}") from None
            time.sleep(0.1)
        else:
            return


def _asked(url: str, what: str, log: Path) -> tuple[Any, int, float]:
    """An answer, its size and how long it took."""
    begun = time.monotonic()
    try:
        answer = requests.get(f"{url}/api/{what}", timeout=PATIENCE)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise BenchError(f"the board does not answer: {error}: {log.read_text()[-500:]}") from None
    return answer.json(), len(answer.content), time.monotonic() - begun


def _unknown(overview: Any) -> list[str]:
    """The rollouts of which the list knows nothing."""
    return [row["name"] for row in overview["rollouts"] if row["state"] in UNKNOWN]

"""How long the challenger's process has the lowest priority, and what is greed."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.challenger import standing
from service.challenger.standing import Burning, Greed, Standing
from tests.unit.waiting import never, until


def test_probation_doubles_with_each_misdeed_and_is_forgotten_in_time() -> None:
    now = [1000.0]
    it = Standing(lambda: now[0])
    assert not it.on_probation
    lasted = []
    for wait in (0, 0, 0, 0, 0, 0, standing.LONGEST_PROBATION_SECONDS + 1):
        now[0] += wait
        it.misbehaved()
        begun = now[0]
        while it.on_probation:
            now[0] += 1
        lasted.append(now[0] - begun)
    assert lasted == [30, 60, 120, 240, 480, 600, 30]


@pytest.fixture
def burning() -> Iterator[int]:
    """A process that takes a core."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process.pid
    process.kill()
    process.wait()


def test_what_burns_is_greedy_and_what_takes_no_more_than_its_worker_is_not(
    monkeypatch: pytest.MonkeyPatch, burning: int
) -> None:
    monkeypatch.setattr(standing, "LOOK_SECONDS", 0.2)
    greed, modest = Greed(burning), Greed(os.getpid())
    until(greed.is_seen)
    never(modest.is_seen, 0.5)


def test_one_look_is_none(burning: int) -> None:
    assert not Greed(burning).is_seen()


def test_what_uses_the_cpu_for_a_late_reply_burns(burning: int) -> None:
    its = Burning(burning, 0.2)
    never(lambda: its.is_seen([]), 0.5)
    assert not its.is_seen([7]), "late since this moment"
    until(lambda: its.is_seen([7]))
    assert not its.is_seen([8]), "another call has its own time"


def test_what_sleeps_does_not() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        its = Burning(process.pid, 0.2)
        never(lambda: its.is_seen([7]), 1)
    finally:
        process.kill()
        process.wait()

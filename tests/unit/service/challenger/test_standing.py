"""How long the challenger's process has the lowest priority, and what is greed."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.challenger import standing
from service.challenger.standing import Greed, Standing
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

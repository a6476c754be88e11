"""What the rollout job tells Prometheus, and that nothing ends it."""

import logging
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from threading import Event

import pytest

from common.every_rollout import EveryRollout
from common.schedule import Shutdown
from flags.rollout import job
from flags.rollout.controller import RolloutIteration
from flags.rollout.decide import decide
from flags.rollout.job import run_job
from flags.rollout.settings import Planned
from flags.unleash.errors import ChangedMeanwhile, Unreachable
from tests.unit.flags.rollout.scenes import PLAN, at
from tests.unit.waiting import until


class Over(BaseException):
    """The test has seen enough."""


@pytest.fixture
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.mark.usefixtures("_logging")
def test_faults_and_bugs_are_counted_and_the_next_step_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = at(5)
    found = RolloutIteration(decide(PLAN, seen), seen)
    faults: list[Exception | None] = [
        Unreachable("no answer"),
        LookupError("a bug"),
        ChangedMeanwhile("somebody"),
        None,
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    done = Event()

    def step(*_: object) -> RolloutIteration:
        if not faults:
            done.set()
            return found
        if fault := faults.pop(0):
            raise fault
        return found

    def look_at_the_metrics(_: EveryRollout[Planned]) -> None:
        pages = [""]

        def is_told() -> bool:
            with suppress(OSError):  # it is not served yet
                pages.append(urllib.request.urlopen(f"http://{bind}/metrics", timeout=2).read().decode())
            return "rollout_last_step" in pages[-1] and done.is_set()

        until(is_told)
        page = pages[-1]
        assert 'rollout_steps_total{kind="failed",rollout="breast-cancer"} 2.0' in page
        assert 'unleash_token_usable{rollout="breast-cancer"} NaN' in page
        assert 'rollout_plan_broken{rollout="breast-cancer"} 0.0' in page
        raise Over

    monkeypatch.setattr(Shutdown, "install", lambda _: None)
    monkeypatch.setattr(job, "advance", step)
    monkeypatch.setattr(EveryRollout, "follow", look_at_the_metrics)
    monkeypatch.setenv("CANARIO_UNLEASH_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CANARIO_UNLEASH_ADMIN_TOKEN", "user:job")
    monkeypatch.setenv("CANARIO_ROLLOUT_METRICS_BIND", bind)
    with pytest.raises(Over):
        run_job(timedelta(seconds=0.01), None, {})
    assert done.is_set()

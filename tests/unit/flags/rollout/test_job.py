"""What the rollout job tells Prometheus, and that nothing ends it."""

import logging
import socket
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest

from common.schedule import Shutdown
from flags.errors import ChangedMeanwhile, Unreachable
from flags.rollout.advance import Outcome
from flags.rollout.decide import decide
from flags.rollout.job import run_job
from flags.rollout.settings import RolloutJobSettings
from tests.unit.flags.rollout.scenes import PLAN, at


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
    found = Outcome(decide(PLAN, seen), seen)
    faults = [Unreachable("no answer"), LookupError("a bug"), ChangedMeanwhile("somebody"), None, Over()]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    told = Event()

    def step() -> Outcome:
        fault = faults.pop(0)
        if isinstance(fault, Over):
            page = ""
            end = time.monotonic() + 10
            while time.monotonic() < end and "rollout_last_step" not in page:
                try:
                    page = urllib.request.urlopen(f"http://{bind}/metrics", timeout=2).read().decode()
                except OSError:
                    time.sleep(0.02)
            assert 'rollout_steps_total{kind="failed"} 2.0' in page
            assert f'rollout_steps_total{{kind="{found.step.kind}"}} 1.0' in page
            assert "unleash_token_usable NaN" in page
            told.set()
        if fault:
            raise fault
        return found

    monkeypatch.setattr(Shutdown, "install", lambda _: None)
    settings = RolloutJobSettings.model_validate(
        {
            "unleash_url": "http://127.0.0.1:1",
            "unleash_admin_token": "user:job",
            "rollout_metrics_bind": bind,
        }
    )
    with pytest.raises(Over):
        run_job(step, timedelta(seconds=0.01), settings)
    assert told.is_set()

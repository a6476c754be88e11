import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event, Timer
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.schedule import Shutdown, keep_running, repeat, seconds_to_next
from tests.unit.waiting import until


class Clock:
    """Stands still but for what is slept."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.fixture
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("elapsed", "every", "wait"), [(0, 15, 15), (0.5, 15, 14.5), (15, 15, 15), (16, 15, 14), (50, 15, 10)]
)
def test_passes_lie_on_multiples_of_the_period(elapsed: float, every: float, wait: float) -> None:
    assert seconds_to_next(elapsed, every) == wait


@given(st.floats(min_value=0, max_value=1e6), st.floats(min_value=0.1, max_value=3600))
def test_the_next_pass_is_never_further_than_one_period(elapsed: float, every: float) -> None:
    assert -1e-6 <= seconds_to_next(elapsed, every) <= every * (1 + 1e-6)


def test_a_failing_pass_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    clock, times = Clock(), list[float]()

    def work() -> None:
        times.append(clock())
        clock.sleep(2)  # a pass takes its time
        if len(times) == 3:
            raise SystemExit(0)
        raise ValueError("a bug")

    with pytest.raises(SystemExit):
        repeat(work, timedelta(seconds=15), clock=clock, sleep=clock.sleep)
    assert [record.__dict__["error"] for record in caplog.records] == ["ValueError: a bug"] * 2
    assert times == [0, 15, 30]


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize(
    ("number", "exit_code", "code"),
    [(signal.SIGTERM, 0, 0), (signal.SIGINT, 0, 0), (signal.SIGTERM, None, 143), (signal.SIGINT, None, 130)],
)
def test_a_signal_ends_a_wait_at_once(number: signal.Signals, exit_code: int | None, code: int) -> None:
    Shutdown(exit_code).install()
    Timer(0.05, os.kill, (os.getpid(), number)).start()
    with pytest.raises(SystemExit) as ended:
        time.sleep(5)  # the wait that the signal is to end
    assert ended.value.code == code


@pytest.mark.usefixtures("_signals")
def test_a_signal_waits_until_a_rollback_is_done() -> None:
    shutdown = Shutdown(0)
    shutdown.install()
    done = []

    def roll_back() -> None:
        with shutdown.held():
            os.kill(os.getpid(), signal.SIGTERM)
            until(lambda: shutdown._asked is not None)
            done.append("turned off")

    with pytest.raises(SystemExit):
        roll_back()
    assert done == ["turned off"]


@pytest.mark.parametrize("ends_by", [lambda: None, Mock(side_effect=LookupError)])
def test_what_is_to_end_for_good_does(ends_by: Callable[[], None]) -> None:
    began, closed = [], Event()

    def work() -> None:
        began.append(1)
        if len(began) == 2:
            closed.set()
        ends_by()

    keep_running("worker", work, again_after=0.001, until=closed.is_set).join(10)
    assert len(began) == 2


def test_what_ends_or_raises_begins_again_and_why_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    began, over = [], Event()

    def work() -> None:
        began.append(1)
        if len(began) <= 5:
            raise LookupError("a bug")
        if len(began) > 8:
            over.set()
            Event().wait()

    keep_running("worker", work, again_after=0.001)
    assert over.wait(10)
    assert [getattr(one, "error", "") for one in caplog.records] == ["LookupError: a bug", "it has ended"]

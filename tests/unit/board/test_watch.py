"""Sources are read once for all who look, and never for nobody."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from board import watch
from board.watch import Reading, Source
from common.errors import CanarioError


class Counted:
    """Something to read."""

    def __init__(self, *, slow: float = 0.0) -> None:
        self.count = 0
        self.fault: Exception | None = None
        self._slow = slow

    def __call__(self) -> int:
        self.count += 1
        time.sleep(self._slow)
        if self.fault:
            raise self.fault
        return self.count


def test_many_who_look_are_one_reading() -> None:
    read = Counted(slow=0.05)
    source = Source("test", read, every=10)
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: source.latest().value, range(200)))
    assert set(found) == {1}
    assert read.count == 1


def test_who_looks_gets_what_is_so_now() -> None:
    read = Counted()
    source = Source("test", read, every=0.05)
    for number in range(1, 5):
        assert source.latest().value == number
        time.sleep(0.1)


def test_nobody_looks_and_nothing_is_read() -> None:
    read = Counted()
    source = Source("test", read, every=0.05)
    time.sleep(0.2)
    assert read.count == 0
    source.latest()
    time.sleep(0.3)
    assert read.count == 1


def test_it_is_read_no_more_often_than_it_may() -> None:
    read = Counted()
    source = Source("test", read, every=0.2)
    end = time.monotonic() + 0.9
    while time.monotonic() < end:
        source.latest()
        time.sleep(0.005)
    assert 3 <= read.count <= 6


def test_a_fault_keeps_the_last_value_and_says_why() -> None:
    read = Counted()
    source = Source("test", read, every=0.1)
    before = source.latest()
    read.fault = CanarioError("it is down")
    time.sleep(0.3)
    after = source.latest()
    assert (after.value is not None, after.fault) == (True, "it is down")
    assert after.at
    assert before.at
    assert after.at >= before.at
    read.fault = ValueError("never seen")
    time.sleep(0.3)
    assert source.latest().fault == "ValueError: never seen"
    read.fault = None
    time.sleep(0.3)
    assert source.latest().fault is None


def test_a_slow_source_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.2)
    source = Source("test", Counted(slow=30), every=1)
    began = time.monotonic()
    assert source.latest() == Reading()
    assert time.monotonic() - began < 10


def test_a_source_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LATE_SECONDS", 0.3)
    monkeypatch.setattr(watch, "MOMENT_SECONDS", 0.1)
    hang = threading.Event()
    answers = iter([1])

    def read() -> int:
        try:
            return next(answers)
        except StopIteration:
            hang.wait(20)
            raise CanarioError("too late") from None

    source = Source("test", read, every=0.1)
    assert source.latest().value == 1
    time.sleep(0.2)
    source.look()
    time.sleep(0.5)
    late = source.latest()
    hang.set()
    assert late.value == 1
    assert late.fault
    assert "has not answered for" in late.fault


def test_what_is_old_is_not_fresh() -> None:
    now = datetime.now(UTC)
    reading = Reading("x", now - timedelta(seconds=10))
    assert (reading.fresh(now, 10.0), reading.fresh(now, 9.0), Reading().fresh(now, 9.0)) == ("x", None, None)


def test_what_is_from_a_time_to_come_is_not_fresh() -> None:
    """The clock was set back, and the source has not answered since."""
    now = datetime.now(UTC)
    assert Reading("x", now + timedelta(hours=1)).fresh(now, 10.0) is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_started_anew() -> None:
    read = Counted()
    source = Source("test", read, every=0.01)
    assert source.latest().value == 1
    read.fault = SystemExit()  # type: ignore[assignment]
    source.look()
    thread = source._thread
    assert thread is not None
    thread.join(5)
    read.fault = None
    for _ in range(3):  # the first of them may still be the look of a moment ago
        found = source.latest().value
    assert found == read.count > 1


def test_without_a_thread_the_page_says_so_and_the_next_look_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    source = Source("test", Counted(), every=0.01)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        patched.setattr(watch, "FIRST_SECONDS", 0.01)
        assert "no thread to read it" in (source.latest().fault or "")
    assert source.latest().value == 1

"""Sources are read once for all who look, and never for nobody."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from board import watch
from board.watch import Reading, Source
from common.errors import CanarioError
from tests.unit.waiting import never, until


class Clock:
    """Goes on when it is told to, and, as any clock, a little from look to look."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._changed = threading.Condition()

    def __call__(self) -> float:
        with self._changed:
            self._now += 1e-6
            return self._now

    def go_on(self, seconds: float) -> None:
        with self._changed:
            self._now += seconds
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        end = self() + seconds
        with self._changed:
            self._changed.wait_for(lambda: self._now >= end, 20)


class Counted:
    """Something to read."""

    def __init__(self) -> None:
        self.count = 0
        self.fault: Exception | None = None
        self.gate = threading.Event()
        """Hangs until this is set."""
        self.gate.set()

    def __call__(self) -> int:
        self.count += 1
        self.gate.wait(20)
        if self.fault:
            raise self.fault
        return self.count


@pytest.fixture
def clock() -> Clock:
    return Clock()


def source_of(read: Callable[[], int], clock: Clock, every: float) -> Source[int]:
    return Source("test", read, every=every, clock=clock, sleep=clock.sleep)


def test_many_who_look_are_one_reading(clock: Clock) -> None:
    read = Counted()
    read.gate.clear()
    source = source_of(read, clock, every=10)
    all_look = threading.Barrier(20, read.gate.set)

    def look(number: int) -> int | None:
        if number < 20:
            source.look()
            all_look.wait(20)
        return source.latest().value

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(look, range(200)))
    assert set(found) == {1}
    assert read.count == 1


def test_who_looks_gets_what_is_so_now(clock: Clock) -> None:
    source = source_of(Counted(), clock, every=5)
    for number in range(1, 5):
        assert source.latest().value == number
        clock.go_on(6)


def test_nobody_looks_and_nothing_is_read(clock: Clock) -> None:
    read = Counted()
    source = source_of(read, clock, every=5)
    clock.go_on(60)
    never(lambda: read.count)
    source.latest()
    clock.go_on(60)
    never(lambda: read.count != 1)


def test_it_is_read_no_more_often_than_it_may(clock: Clock) -> None:
    read = Counted()
    source = source_of(read, clock, every=20)
    for _ in range(180):
        source.latest()
        clock.go_on(0.5)
    assert 4 <= read.count <= 5


def test_a_fault_keeps_the_last_value_and_says_why(clock: Clock) -> None:
    read = Counted()
    source = source_of(read, clock, every=5)
    before = source.latest()
    read.fault = CanarioError("it is down")
    clock.go_on(6)
    after = source.latest()
    assert (after.value is not None, after.fault) == (True, "it is down")
    assert after.at
    assert before.at
    assert after.at >= before.at
    read.fault = ValueError("never seen")
    clock.go_on(6)
    assert source.latest().fault == "ValueError: never seen"
    read.fault = None
    clock.go_on(6)
    assert source.latest().fault is None


def test_a_slow_source_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(watch, "FIRST_SECONDS", 0.2)
    read = Counted()
    read.gate.clear()
    source = source_of(read, clock, every=1)
    began = time.monotonic()
    assert source.latest() == Reading()
    assert time.monotonic() - began < 10
    read.gate.set()


def test_a_source_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(watch, "MOMENT_SECONDS", 0.1)
    read = Counted()
    source = source_of(read, clock, every=1)
    assert source.latest().value == 1
    read.gate.clear()
    clock.go_on(2)
    source.look()
    until(lambda: read.count == 2)
    clock.go_on(4)
    assert source.latest() == Reading(1, source.latest().at)
    clock.go_on(3)
    late = source.latest()
    read.gate.set()
    assert late.value == 1
    assert late.fault
    assert "has not answered for 7 s" in late.fault


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


def test_what_is_young_is_known_without_asking(clock: Clock) -> None:
    read = Counted()
    source = Source("x", read, every=1, clock=clock, sleep=clock.sleep)
    assert source.known(60) is None
    source.look()
    until(lambda: source.known(60) is not None)
    clock.go_on(50)
    found = source.known(60)
    assert found
    assert (found.value, read.count) == (1, 1)
    assert source.known(40) is None
    source.close()

"""The prediction log in memory: bounded, never in the way, nothing lost at the end, every loss counted."""

import math
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from service.prediction_log.log import Limits, NoLog, PredictionLog
from tests.unit.waiting import until

PLENTY = Limits(10_000, 10_000_000)


class Disk:
    """A sink as slow, as full or as broken as a test wants it."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.works, self.takes = threading.Event(), 10**9
        self.works.set()
        self.fault: OSError | None = None
        self.bug: Exception | None = None
        self.closed = False

    def write(self, lines: Sequence[bytes]) -> int:
        assert self.works.wait(20)
        if self.bug:
            raise self.bug
        taken = lines[: self.takes]
        self.fault = None if len(taken) == len(lines) else OSError(28, "No space left on device")
        self.lines += taken
        return len(taken)

    def close(self) -> None:
        self.closed = True


class Counts:
    """What the log tells telemetry."""

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    def on_written(self, kind: str, count: int) -> None:
        self.written[kind] += count

    def on_dropped(self, reason: str, count: int) -> None:
        self.dropped[reason] += count


def open_log(
    disk: Disk, counts: Counts, limits: Limits = PLENTY, flush_seconds: float = 0.02
) -> PredictionLog:
    return PredictionLog(disk, limits, flush_seconds, counts.on_written, counts.on_dropped)


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def counts() -> Counts:
    return Counts()


def test_a_record_is_a_line_with_version_and_time(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts)
    before = time.time()
    log.record({"kind": "shadow", "text": "two\nlines"})
    log.close()
    (line,) = disk.lines
    record = orjson.loads(line)
    assert line.count(b"\n") == 1
    assert (record["schema"], record["kind"], record["text"]) == (1, "shadow", "two\nlines")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    assert (
        abs(time.mktime(time.strptime(record["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - before) < 3
    )
    assert counts.written == {"shadow": 1}


def test_a_time_that_is_given_stays(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts)
    log.record({"kind": "shadow", "time": "2026-01-01T00:00:00.000Z"})
    log.close()
    assert orjson.loads(disk.lines[0])["time"] == "2026-01-01T00:00:00.000Z"


def test_lines_are_written_at_each_flush_without_a_close(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts)
    log.record({"kind": "prediction"})
    until(lambda: len(disk.lines) == 1)
    log.record({"kind": "prediction"})
    until(lambda: len(disk.lines) == 2)
    log.close()


def test_a_queue_that_fills_is_written_before_the_flush_is_due(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts, Limits(100, 10**6), flush_seconds=60)
    for _ in range(50):
        log.record({"kind": "prediction"})
    until(lambda: len(disk.lines) >= 50)
    log.close()


def test_close_writes_all_that_many_threads_recorded(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts, flush_seconds=60)

    def work(thread: int) -> None:
        for number in range(200):
            log.record({"kind": "prediction", "id": f"{thread}-{number}"})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len({orjson.loads(line)["id"] for line in disk.lines}) == 1600
    assert counts.written == {"prediction": 1600}
    assert disk.closed
    assert not counts.dropped


@pytest.mark.parametrize("limits", [Limits(10, 10**6), Limits(10**6, 600)])
def test_a_slow_disk_holds_up_nobody_and_costs_what_does_not_fit(
    disk: Disk, counts: Counts, limits: Limits
) -> None:
    disk.works.clear()
    log = open_log(disk, counts, limits)
    record = {"kind": "prediction"}
    size = len(orjson.dumps({"schema": 1, "time": "2026-01-01T00:00:00.000Z", **record})) + 1
    fit = min(limits.records, limits.bytes // size)
    slowest = 0.0
    for _ in range(1000):
        begun = time.perf_counter()
        log.record(record)
        slowest = max(slowest, time.perf_counter() - begun)
    assert slowest < 1  # the disk would take for ever: this is what other threads and the machine take
    assert counts.dropped == {"full": 1000 - fit}
    disk.works.set()
    log.close()
    assert len(disk.lines) == fit == counts.written["prediction"]


def test_what_the_disk_has_taken_makes_room(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts, Limits(10, 10**6))
    for number in range(5):
        for _ in range(10):
            log.record({"kind": "prediction"})
        until(lambda number=number: len(disk.lines) == 10 * (number + 1))  # type: ignore[misc]
        until(lambda: log._count == 0)
    log.close()
    assert not counts.dropped


def test_a_full_disk_that_comes_back_gets_what_waited_in_order(
    disk: Disk, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    disk.takes = 2
    log = open_log(disk, counts, Limits(6, 10**6))
    for number in range(6):
        log.record({"kind": "prediction", "id": number})
    disk.takes = 0
    until(lambda: log._failing)
    for number in range(6, 30):
        log.record({"kind": "prediction", "id": number})
    assert counts.dropped["disk"] > 0
    assert [each.levelname for each in caplog.records] == ["WARNING"]  # once, not at each flush
    disk.takes = 10**9
    until(lambda: not log._failing)
    log.close()
    ids = [orjson.loads(line)["id"] for line in disk.lines]
    assert ids == sorted(ids)
    assert ids[:6] == [0, 1, 2, 3, 4, 5]
    assert len(ids) + counts.dropped["disk"] == 30


def test_a_disk_that_stays_full_at_the_end_is_counted(disk: Disk, counts: Counts) -> None:
    disk.takes = 0
    log = open_log(disk, counts)
    for _ in range(3):
        log.record({"kind": "prediction"})
    log.close()
    assert counts.dropped == {"disk": 3}


def test_the_end_does_not_wait_for_a_disk_that_hangs(disk: Disk, counts: Counts) -> None:
    disk.works.clear()
    log = open_log(disk, counts)
    log.record({"kind": "prediction"})
    begun = time.monotonic()
    log.close(seconds=0.2)
    assert time.monotonic() - begun < 5
    assert counts.dropped == {"full": 1}
    disk.works.set()


def test_records_after_the_end_are_counted_as_lost(disk: Disk, counts: Counts) -> None:
    log = open_log(disk, counts)
    log.close()
    log.record({"kind": "prediction"})
    assert (disk.lines, counts.dropped) == ([], {"closed": 1})


@pytest.mark.parametrize("record", [{"kind": "prediction", "x": object()}, {"kind": "x", 1: 2}, {}])
def test_what_is_no_record_is_dropped(disk: Disk, counts: Counts, record: dict[str, Any]) -> None:
    log = open_log(disk, counts)
    log.record(record)
    log.record({"kind": "prediction", "x": math.nan})
    log.close()
    assert counts.dropped == {"invalid": 1}
    assert [orjson.loads(line)["x"] for line in disk.lines] == [None]


def test_a_bug_in_writing_does_not_end_the_log(disk: Disk, counts: Counts) -> None:
    disk.bug = RuntimeError("bug")
    log = open_log(disk, counts)
    log.record({"kind": "prediction"})
    until(lambda: counts.dropped == {"disk": 1})
    disk.bug = None
    log.record({"kind": "prediction"})
    log.close()
    assert len(disk.lines) == 1


def test_no_log_takes_anything() -> None:
    log = NoLog()
    log.record({"kind": "prediction"})
    log.close()


def test_a_writer_that_fails_altogether_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    disk, counts = Disk(), Counts()
    disk.bug = ValueError("a bug")
    fails = [True]

    def on_dropped(reason: str, count: int) -> None:
        if fails.pop() if fails else False:
            raise RuntimeError("and another in who is told")
        counts.on_dropped(reason, count)

    log = PredictionLog(disk, PLENTY, 0.01, counts.on_written, on_dropped)
    log.record({"kind": "prediction"})
    until(lambda: not fails)
    disk.bug = None
    log.record({"kind": "prediction"})
    until(lambda: disk.lines)
    log.close()
    assert disk.closed
    assert counts.written["prediction"] == 1
    assert "and another in who is told" in str([vars(record) for record in caplog.records])

"""A full disk ends no worker: what it counts waits in memory, is told of, and is seen when there is room."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

from service.metrics import files
from service.metrics.files import FIRST_BYTES, CountFile, UncountedWorkers, reserve_room


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountFile, "_outside", [])
    monkeypatch.setattr(files, "RETRY_SECONDS", 0.0)


@contextmanager
def full_disk() -> Iterator[None]:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "posix_fallocate", no_room)
        yield


def seen(file: Path) -> dict[str, float]:
    found = MmapedDict.read_all_values_from_file(file)  # type: ignore[no-untyped-call]
    return {key: value for key, value, _, _ in found}


def uncounted(folder: Path) -> float:
    [gauge] = UncountedWorkers(folder).collect()
    return float(gauge.samples[0].value)


def test_room_is_there_before_it_is_used(tmp_path: Path) -> None:
    file = tmp_path / "counter_1.db"
    counts = CountFile(str(file))
    assert file.stat().st_blocks * 512 >= FIRST_BYTES
    for number in range(5000):
        counts.write_value(f"key {number}", number, 0.0)
    assert file.stat().st_size == file.stat().st_blocks * 512 > FIRST_BYTES
    counts.close()  # type: ignore[no-untyped-call]
    again = CountFile(str(file))
    assert again.read_value("key 4999") == (4999, 0)  # type: ignore[no-untyped-call]
    assert len(seen(file)) == 5000
    again.close()  # type: ignore[no-untyped-call]


def test_without_room_it_counts_in_memory_until_there_is_some(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counter, gauge = tmp_path / "counter_7.db", tmp_path / "gauge_livemin_7.db"
    with full_disk():
        calls, known = CountFile(str(counter)), CountFile(str(gauge))
        known.write_value("known", 1, 0.0)  # and never again
        for number in range(5000):  # it grows there too
            calls.write_value(f"calls {number}", 5, 0.0)
    assert not counter.exists()
    assert uncounted(tmp_path) == 1
    assert caplog.text.count("no room to count in") == 1
    calls.write_value("calls 0", 6, 0.0)
    assert (seen(counter)["calls 0"], seen(counter)["calls 4999"], seen(gauge)) == (6, 5, {"known": 1})
    assert uncounted(tmp_path) == 0
    assert "all is seen" in caplog.text
    calls.write_value("calls 1", 8, 0.0)
    assert seen(counter)["calls 1"] == 8
    for each in (calls, known):
        each.close()  # type: ignore[no-untyped-call]


def test_a_file_that_cannot_grow_keeps_what_was_seen_and_catches_up(tmp_path: Path) -> None:
    file = tmp_path / "counter_7.db"
    counts = CountFile(str(file))
    counts.write_value("early", 1, 0.0)
    with full_disk():
        for number in range(5000):
            counts.write_value(f"key {number}", 1, 0.0)
        counts.write_value("early", 2, 0.0)
        assert seen(file)["early"] == 1
        assert uncounted(tmp_path) == 1
    counts.write_value("late", 1, 0.0)
    assert (seen(file)["early"], seen(file)["key 4999"], seen(file)["late"]) == (2, 1, 1)
    assert uncounted(tmp_path) == 0
    counts.close()  # type: ignore[no-untyped-call]


def test_prometheus_client_counts_in_such_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(values, "MmapedDict", MmapedDict)
    reserve_room()
    value = values.MultiProcessValue(lambda: 7)  # type: ignore[no-untyped-call]
    value("counter", "calls", "calls_total", (), (), "Calls.").inc(2)
    assert (tmp_path / "counter_7.db").stat().st_blocks * 512 >= FIRST_BYTES
    assert list(seen(tmp_path / "counter_7.db").values()) == [2]
    value.close_all_files()

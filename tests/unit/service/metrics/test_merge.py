"""What dead workers counted: added up in one file a kind, never twice and never lost, whoever ends when."""

import errno
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import MultiProcessValue

from service.metrics import merge
from service.metrics.merge import LOCK, UNCOUNTED, ended, reading

Counts = dict[tuple[str, tuple[tuple[str, str], ...]], float]
Killed = KeyboardInterrupt


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    monkeypatch.setattr(merge, "_waiting", set())
    monkeypatch.setattr(merge, "MERGE_SECONDS", 0.0)
    return tmp_path


def work(pid: int, requests: float = 3) -> None:
    """What a worker leaves behind."""
    value = MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]
    for model in ("champion", f"model-{pid}"):
        value("counter", "calls", "calls_total", ("model",), (model,), "Calls.").inc(requests)
    for edge, count in (("0.1", 1), ("1.0", 2), ("+Inf", 0)):
        value("histogram", "took", "took_bucket", ("le",), (edge,), "Seconds.").inc(count)
    value("histogram", "took", "took_sum", (), (), "Seconds.").inc(0.25 * requests)
    value("gauge", "fetched", "fetched", (), (), "When.", multiprocess_mode="livemin").set(pid)
    value.close_all_files()


def scrape(folder: Path) -> Counts:
    with reading(folder):
        families = list(MultiProcessCollector(None, str(folder)).collect())  # type: ignore[no-untyped-call]
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value
        for family in families
        if family.type != "gauge"
        for each in family.samples
    }


def test_many_deaths_leave_one_file_of_each_kind_and_the_same_counts(folder: Path) -> None:
    for pid in range(1, 31):
        work(pid)
    work(99)
    before = scrape(folder)
    for pid in range(1, 31):
        ended(folder, pid, {99})
    assert scrape(folder) == before
    assert sorted(each.name for each in folder.glob("*.db")) == [
        "counter_99.db",
        "counter_merged.db",
        "gauge_livemin_99.db",
        "histogram_99.db",
        "histogram_merged.db",
    ]
    assert before["calls_total", (("model", "champion"),)] == 31 * 3


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End this process, so to speak, at its `step`-th change of a file."""
    steps = iter(range(1, 1000))

    def killing(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*given: Any, **named: Any) -> Any:
            if next(steps) == step:
                raise Killed
            return real(*given, **named)

        return change

    for name in ("write_bytes", "write_text", "replace", "unlink"):
        monkeypatch.setattr(Path, name, killing(getattr(Path, name)))


def test_the_end_of_the_master_at_any_step_changes_no_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in (1, 2):
        work(pid)
    ended(folder, 1, ())
    before = scrape(folder)
    step = was_killed = 0
    while was_killed == step:
        step += 1
        with monkeypatch.context() as patched:
            kill_at(step, patched)
            try:
                ended(folder, 2, ())
            except Killed:
                was_killed = step
        assert scrape(folder) == before, step
        ended(folder, 2, ())
        assert scrape(folder) == before, step
        work(2)
        before = scrape(folder)
    assert step > 8


def test_a_scrape_is_left_alone_and_the_next_death_merges_both(folder: Path) -> None:
    for pid in (1, 2):
        work(pid)
    before = scrape(folder)
    with reading(folder):
        ended(folder, 1, ())
        assert (folder / "counter_1.db").exists()
    ended(folder, 2, ())
    assert scrape(folder) == before
    assert sorted(each.name for each in folder.glob("counter*")) == ["counter_merged.db"]


def test_a_scrape_waits_for_a_merge_and_not_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "SCRAPE_SECONDS", 0.0)
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError), reading(folder):
            pass


def test_without_room_the_counts_stay_where_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in (1, 2):
        work(pid)
    before = scrape(folder)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)  # the journal, after the sums
        ended(folder, 1, {2})
    assert scrape(folder) == before
    ended(folder, 2, ())
    assert scrape(folder) == before
    assert sorted(each.name for each in folder.glob("counter*")) == ["counter_merged.db"]


def test_a_file_that_was_cut_short_costs_itself_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    work(1)
    before = scrape(folder)
    (folder / "counter_2.db").touch()
    (folder / "histogram_2.db").write_bytes(b"\xff\0\0\0" * 30)
    ended(folder, 2, ())
    ended(folder, 1, ())
    assert scrape(folder) == before
    assert "counts are lost" in caplog.text


def test_the_file_of_a_worker_with_the_number_of_a_dead_one_is_not_touched(folder: Path) -> None:
    work(1)
    with reading(folder):
        ended(folder, 1, ())  # put off
    work(2)
    ended(folder, 2, {1})
    assert (folder / "counter_1.db").exists()
    assert not (folder / "counter_2.db").exists()


def test_the_marks_of_a_dead_worker_go(folder: Path) -> None:
    for mark in (f"{UNCOUNTED}counter_1", f"{UNCOUNTED}gauge_livemin_1", f"{UNCOUNTED}counter_11"):
        (folder / mark).touch()
    ended(folder, 1, ())
    assert [each.name for each in folder.glob(f"{UNCOUNTED}*")] == [f"{UNCOUNTED}counter_11"]

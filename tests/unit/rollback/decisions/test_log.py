"""The decisions log: whole documents or none, ids in the order of time, a bound that spares rollbacks."""

import json
import logging
import math
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rollback.decisions.log import DecisionError, DecisionLog
from rollback.decisions.record import Decision, Kind, begin, new_id
from tests.unit.rollback.conftest import NOW, STATE, FakeCanary


def log(folder: Path, most_bytes: int = 10**9) -> DecisionLog:
    return DecisionLog(folder, most_bytes=most_bytes)


def made(kind: Kind = Kind.VERDICT, minutes: int = 0, size: int = 0) -> Decision:
    time = NOW + timedelta(minutes=minutes)
    decision = begin(kind, FakeCanary(), replace(STATE, revision=42), sentence="x" * size)
    return decision.model_copy(update={"id": new_id(kind, time), "time": time})


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    decision = made()
    log(tmp_path / "new" / "folder").write(decision)
    assert log(tmp_path / "new" / "folder").read(decision.id) == decision
    document = json.loads((tmp_path / "new" / "folder" / f"{decision.id}.json").read_text())
    assert document["schema"] == 1
    assert (document["share"], document["flag_revision"], document["changed_by"]) == (5, 42, "paula")


def test_ids_sort_by_time_and_differ_at_the_same_moment() -> None:
    moments = [datetime(2026, 1, 31, 23, 59, 59, 999000, UTC), datetime(2026, 2, 1, tzinfo=UTC), NOW]
    ids = [new_id(kind, moment) for moment in moments for kind in (Kind.ROLLBACK, Kind.VERDICT)]
    assert sorted(ids)[0].startswith("20260131T235959.999")
    assert [one[:8] for one in sorted(ids)] == [one[:8] for one in ids]
    assert len({new_id(Kind.ROLLBACK, NOW) for _ in range(50)}) > 45


def test_what_is_written_is_json_whatever_it_holds(tmp_path: Path) -> None:
    verdicts = ({"evidence": {"values": [math.nan, math.inf, 3.0, 0.5]}},)
    decision = made().model_copy(update={"verdicts": verdicts})
    log(tmp_path).write(decision)
    text = (tmp_path / f"{decision.id}.json").read_text()
    assert '"values":[null,null,3.0,0.5]' in text


def test_a_later_document_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    ordered = made(Kind.ORDERED)
    log(tmp_path).write(ordered, durable=False)
    log(tmp_path).write(ordered.model_copy(update={"kind": Kind.ROLLBACK}))
    assert [log(tmp_path).read(one).kind for one in log(tmp_path).ids()] == [Kind.ROLLBACK]


def test_readers_meet_whole_documents_only(tmp_path: Path) -> None:
    decision, failures = made(size=200_000), []
    log(tmp_path).write(decision)

    def read() -> None:
        for _ in range(100):
            try:
                log(tmp_path).read(decision.id)
            except DecisionError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    while reader.is_alive():
        log(tmp_path).write(decision, durable=False)
    reader.join()
    assert failures == []


def test_the_folder_stays_within_its_bound_and_rollbacks_are_kept(tmp_path: Path) -> None:
    keeper = log(tmp_path, most_bytes=60_000)
    rollback, stop = made(Kind.ROLLBACK, 0, 10_000), made(Kind.STOPPED, 1, 10_000)
    for decision in (rollback, stop, *(made(Kind.VERDICT, minute, 10_000) for minute in range(2, 12))):
        keeper.write(decision)
    left = keeper.ids()
    assert left[:2] == [rollback.id, stop.id]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 60_000
    assert [one[9:13] for one in left[2:]] == ["1209", "1210", "1211"]


def test_rollbacks_alone_may_outgrow_it_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = log(tmp_path, most_bytes=15_000)
    for minute in range(3):
        keeper.write(made(Kind.ROLLBACK, minute, 10_000))
    assert len(keeper.ids()) == 3
    assert "over its bound with rollbacks alone" in caplog.text


def test_what_a_killed_writer_left_is_no_decision_and_goes_away(tmp_path: Path) -> None:
    for age, name in ((7200, ".old.1.tmp"), (10, ".new.1.tmp")):
        file = tmp_path / name
        file.write_text('{"id"')
        stamp = datetime.now(UTC).timestamp() - age
        os.utime(file, (stamp, stamp))
    keeper = log(tmp_path)
    assert keeper.ids() == []
    keeper.write(made())
    assert not (tmp_path / ".old.1.tmp").exists()
    assert (tmp_path / ".new.1.tmp").exists()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log(tmp_path).write(made())
    assert list(tmp_path.iterdir()) == []


def test_finding_one(tmp_path: Path) -> None:
    keeper, decisions = log(tmp_path), [made(minutes=minute) for minute in range(3)]
    for decision in decisions:
        keeper.write(decision)
    assert keeper.find(decisions[1].id) == decisions[1]
    assert keeper.find(decisions[1].id[:20]) == decisions[1]
    assert keeper.find(decisions[2].id[-12:]) == decisions[2]
    with pytest.raises(DecisionError, match="3 decisions whose id"):
        keeper.find("2026")
    with pytest.raises(DecisionError, match="no decision whose id"):
        keeper.find("2027")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Invalid JSON"),
        ('{"schema": 2}', "is no decision of this version of the job"),
        ("", "is no decision of this version of the job"),
    ],
)
def test_what_cannot_be_read_is_said_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, fault: str
) -> None:
    keeper, good = log(tmp_path), made()
    keeper.write(good)
    (tmp_path / "99.json").write_text(text)
    with pytest.raises(DecisionError, match=fault):
        keeper.read("99")
    with caplog.at_level(logging.WARNING):
        assert list(keeper.newest(10)) == [good]
    assert "a decision is left out" in caplog.text

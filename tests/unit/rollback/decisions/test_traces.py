"""Which requests a decision names as examples, from logs as the service writes them and worse ones."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rollback.decisions import traces
from rollback.decisions.traces import example_traces

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def call(number: int, **changes: Any) -> str:
    """A line of the log; the number is in its trace, its time and its milliseconds."""
    record = {
        "schema": 1,
        "kind": "prediction",
        "time": (NOW + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request_id": "r",
        "assigned": "challenger",
        "model": "challenger",
        "reason": "flag_on",
        "seconds": number / 1000,
        "trace_id": f"{number:032x}",
    }
    return json.dumps(record | changes) + "\n"


def failed(number: int) -> str:
    return call(number, model="champion", reason="fallback_timeout")


def found(folder: Path, since: datetime = NOW) -> list[tuple[int, str]]:
    return [(int(each.trace_id, 16), each.what) for each in example_traces(folder, since)]


def test_the_last_that_failed_and_the_slowest_that_were_answered(tmp_path: Path) -> None:
    lines = [failed(5), call(3), call(900), failed(7), failed(1), call(20), failed(6)]
    (tmp_path / "a.jsonl").write_text("".join(lines[:3]))
    (tmp_path / "b.jsonl").write_text("".join(lines[3:]))
    expected = [(number, "failed: timeout") for number in (7, 6, 5)]
    assert found(tmp_path) == [*expected, (900, "answered after 900 ms"), (20, "answered after 20 ms")]
    late = NOW + timedelta(seconds=6)
    assert found(tmp_path, late)[:2] == expected[:2], "what was before the share changed is of another"
    assert (5, "failed: timeout") not in found(tmp_path, late)


def test_other_records_are_no_examples(tmp_path: Path) -> None:
    lines = [
        call(1, assigned="champion", model="champion"),
        call(2, trace_id=None),
        call(3, kind="feedback"),
        '{"kind": "prediction"}\n',
        "[1]\n",
        "no JSON\n",
        call(4, time="yesterday"),
        call(5)[:40],
    ]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    assert found(tmp_path) == []


def test_only_ends_of_the_newest_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "FILES", 1)
    monkeypatch.setattr(traces, "TAIL_BYTES", len(call(11)) + 10)
    (tmp_path / "old.jsonl").write_text(failed(1))
    os.utime(tmp_path / "old.jsonl", (0, 0))
    (tmp_path / "new.jsonl").write_text(failed(10) + call(11))
    assert found(tmp_path) == [(11, "answered after 11 ms")]


def test_a_log_that_is_not_there_has_no_examples(tmp_path: Path) -> None:
    assert found(tmp_path / "nowhere") == []

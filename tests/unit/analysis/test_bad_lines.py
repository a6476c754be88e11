"""Lines and files that are no log: counted, named, and never the end of a report."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import pytest

from analysis.log import open_log
from analysis.log.lines import fault_of
from tests.unit.analysis.make_log import LogPlan, Record, line, make_records, write_log

KINDS = ("prediction", "shadow", "feedback")
RECORDS = make_records(LogPlan(users=40, failures=0.1))


def of(kind: str, /, **changes: Any) -> bytes:
    """A line of that kind, with changed fields; a field that becomes ... is left out."""
    record = next(record for record in RECORDS if record["kind"] == kind)
    return line({name: value for name, value in {**record, **changes}.items() if value is not ...})


def answer(role: str, /, **changes: Any) -> bytes:
    """A pair whose answer of `role` is changed."""
    record = next(record for record in RECORDS if record["kind"] == "shadow")
    return of("shadow", **{role: {**record[role], **changes}})


GOOD = {
    "as written": of("prediction"),
    "spaces": json.dumps(json.loads(of("feedback"))).encode(),
    "a field of tomorrow": of("prediction", mood="fine"),
    "a kind of tomorrow": of("prediction", kind="retraining", seconds=...),
    "a label": of("prediction", prediction="spam", class_name="spam"),
    "a regressor": of("prediction", prediction=3.25, class_name=None, probability=None),
    "another zone": of("prediction", time="2026-11-02T02:00:00.000+02:00"),
    "no user": of("prediction", user=None),
    "no context": of("prediction", context={}),
    "letters": of("prediction", context={"country": "Åland 🇦🇽"}),
    "numbers in the context": of("prediction", context={"age": 7, "tags": ["a"], "none": None}),
    "features": of("prediction", features=[1.5, "red"]),
    "no answer": answer("challenger", class_name=None, prediction=None, probability=None, seconds=None),
    "no value": of("feedback", value=None),
    "about nobody": of("feedback", request_id=None, user=None),
    "empty": b"",
    "spaces only": b"   ",
}
BAD = {
    "half a line": (of("prediction")[:70], "no JSON object"),
    "no JSON": (b"Traceback (most recent call last):", "no JSON object"),
    "two in one line": (of("prediction") + of("prediction"), "no JSON object"),
    "an array": (b"[1, 2]", "no JSON object"),
    "null": (b"null", "no JSON object"),
    "a number": (b"17", "no JSON object"),
    "zeros of a crash": (b"\0" * 200, "no JSON object"),
    "binary": (bytes(range(128, 256)).replace(b"\n", b""), "no JSON object"),
    "no UTF-8": (of("prediction").replace(b"champion", b"champi\xf8n"), "no JSON object"),
    "no schema": (of("prediction", schema=...), "no JSON object"),
    "schema of tomorrow": (of("prediction", schema=2), "this schema is not known"),
    "no kind": (of("prediction", kind=None), "no kind"),
    "no time": (of("prediction", time=...), "time is no"),
    "a strange time": (of("feedback", time="yesterday"), "time is no"),
    "no request_id": (of("prediction", request_id=...), "no request_id"),
    "no role": (of("prediction", assigned="experiment"), "assigned is no"),
    "nobody answered": (of("prediction", model=None), "model is no"),
    "a probability of 2": (of("prediction", probability=2), "probability is none"),
    "a probability in words": (of("prediction", probability="high"), "probability is none"),
    "negative seconds": (of("prediction", seconds=-1), "seconds is no"),
    "endless seconds": (of("prediction").replace(b'"seconds":0', b'"seconds":1e999,"s":0'), "seconds is no"),
    "NaN": (of("prediction").replace(b'"seconds":0', b'"seconds":NaN,"s":0'), "seconds is no"),
    "no champion": (of("shadow", champion=...), "champion has no name"),
    "champion is a number": (of("shadow", champion=7), "champion has no name"),
    "a strange probability": (answer("challenger", probability="low"), "probability of the challenger"),
    "strange seconds": (answer("champion", seconds="fast"), "seconds of the champion"),
    "agrees a little": (of("shadow", agree="a little"), "agree is neither"),
    "no outcome": (of("feedback", outcome=None), "no outcome"),
    "a value in words": (of("feedback", value="much"), "value is no"),
    "known to some": (of("feedback", known="partly"), "known is neither"),
    "of another role": (of("feedback", assigned="both"), "assigned is no"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_line_is_one_for_both(tmp_path: Path, name: str) -> None:
    log = open_log(str(write_log(tmp_path, RECORDS[:5], bad=[GOOD[name]])))
    assert fault_of(GOOD[name], KINDS) is None
    assert not log.bad


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_counted_and_named(tmp_path: Path, name: str) -> None:
    text, why = BAD[name]
    records = [record for record in RECORDS if record["kind"] == "prediction"][:9]
    log = open_log(str(write_log(tmp_path, records, bad=[text])))
    assert log.bad.count == 1
    assert log.bad.first[0].file == str(tmp_path / "predictions-000.jsonl")
    assert log.bad.first[0].line == 2
    assert why in log.bad.first[0].why
    assert log.rows(log.predictions.aggregate(n=ibis._.count())) == [{"n": 9}]


@pytest.mark.parametrize("packed", [False, True])
def test_the_first_few_of_many_are_named(tmp_path: Path, packed: bool) -> None:
    texts = [text for text, _why in BAD.values()]
    log = open_log(str(write_log(tmp_path, RECORDS, files=3, packed=packed, bad=texts)))
    assert log.bad.count == len(BAD)
    assert [each.line for each in log.bad.first] == [2, 3, 4, 5, 6]
    assert str(log.bad).startswith(
        f"{len(BAD)} bad lines were left out, such as {tmp_path}/predictions-000.jsonl"
    )


def test_a_line_that_is_still_being_written(tmp_path: Path) -> None:
    file = write_log(tmp_path, RECORDS) / "predictions-000.jsonl"
    file.write_bytes(file.read_bytes() + of("prediction")[:100])
    bad = open_log(str(tmp_path)).bad
    assert (bad.count, bad.first[0].line) == (1, len(RECORDS) + 1)
    assert "still being written" in bad.first[0].why


@pytest.mark.parametrize("seed", range(8))
def test_engine_and_python_agree_on_damaged_lines(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    damaged = [_damaged(chance, line(record)) for record in RECORDS for _ in range(3)]
    log = open_log(str(write_log(tmp_path, [], bad=damaged)))
    expected = [number for number, text in enumerate(damaged, 1) if fault_of(text, KINDS)]
    assert log.bad.count == len(expected)
    assert [each.line for each in log.bad.first] == expected[:5]


def _damaged(chance: random.Random, text: bytes) -> bytes:
    """The line with something cut out, doubled or replaced; at times as it was."""
    begin = chance.randrange(len(text))
    end = begin + chance.choice([0, 1, 3, 20])
    junk = bytes(chance.choice(b'{}[]":,0a \xc3\x00') for _ in range(chance.choice([0, 0, 1, 3])))
    return (text[:begin] + junk + text[end:]).replace(b"\n", b"")


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        ("b.jsonl.gz", lambda data: truncated(gzip.compress(data)), "cannot be unpacked"),
        ("b.jsonl.gz", lambda data: data, "not packed by gzip"),
        ("b.parquet", lambda data: data, "no Parquet"),
        ("b.jsonl", lambda data: data + b"x" * 40_000_000, "longer than 16 MiB"),
    ],
)
def test_a_file_that_cannot_be_read_is_left_out(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes], why: str
) -> None:
    write_log(tmp_path, RECORDS)
    data = b"".join(line(record) + b"\n" for record in RECORDS * 50)
    (tmp_path / name).write_bytes(damage(data))
    log = open_log(str(tmp_path))
    assert log.survey.records == {kind: count(RECORDS, kind) for kind in KINDS}
    assert (log.bad.files, log.bad.count) == (1, 0)
    assert log.bad.first[0].file == str(tmp_path / name)
    assert why in log.bad.first[0].why


def test_a_file_that_goes_while_it_is_read(tmp_path: Path) -> None:
    write_log(tmp_path, RECORDS, files=3)
    log = open_log(str(tmp_path))
    (tmp_path / "predictions-001.jsonl").unlink()
    rows = log.rows(log.predictions.aggregate(n=ibis._.count()))
    left = RECORDS[0::3] + RECORDS[2::3]
    assert rows == [{"n": count(left, "prediction")}]
    assert "it is gone" in log.bad.first[0].why


def test_loaded_counts_what_it_reads(tmp_path: Path) -> None:
    write_log(
        tmp_path, RECORDS, bad=[BAD["a value in words"][0], BAD["half a line"][0], BAD["no champion"][0]]
    )
    log = open_log(str(tmp_path)).loaded(predictions=("user", "time"), feedback=("outcome",))
    assert log.bad.count == 2
    assert log.survey.records == {kind: count(RECORDS, kind) for kind in ("prediction", "feedback")}
    assert log.predictions.columns == ("user", "time")
    assert log.feedback.columns == ("outcome",)


def count(records: list[Record], kind: str) -> int:
    return sum(record["kind"] == kind for record in records)

"""Lines and files that are no log: counted, named, and never the end of a report."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import ibis
import pytest

from analysis.log import open_log
from analysis.log.engine import BadLine
from analysis.log.open import NAMED
from analysis.log.records import fault_of
from tests.unit.analysis.lines import BAD, GOOD, KINDS, RECORDS, of
from tests.unit.analysis.make_log import Record, line, write_log


@pytest.mark.parametrize("name", GOOD)
def test_a_good_line_is_one_for_python(name: str) -> None:
    assert fault_of(GOOD[name], KINDS) is None


def test_good_lines_are_some_for_the_engine(tmp_path: Path) -> None:
    log = open_log(str(write_log(tmp_path, RECORDS[:5], bad=list(GOOD.values()))))
    assert not log.bad, str(log.bad)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, BadLine]]:
    """The log's folder, and what is told of each bad line: as many a log as are named, beside nine good."""
    records = [record for record in RECORDS if record["kind"] == "prediction"][:9]
    told: dict[str, tuple[Path, BadLine]] = {}
    for first in range(0, len(BAD), NAMED):
        names = list(BAD)[first : first + NAMED]
        folder = write_log(tmp_path_factory.mktemp("log"), records, bad=[BAD[name][0] for name in names])
        log = open_log(str(folder))
        assert log.bad.count == len(names)
        assert log.rows(log.predictions.aggregate(n=ibis._.count())) == [{"n": 9}]
        told |= {name: (folder, line) for name, line in zip(names, log.bad.first, strict=True)}
    return told


@pytest.mark.parametrize(("number", "name"), list(enumerate(BAD)))
def test_a_bad_line_is_counted_and_named(
    named: dict[str, tuple[Path, BadLine]], number: int, name: str
) -> None:
    folder, told = named[name]
    assert told.file == str(folder / "predictions-000.jsonl")
    assert told.line == 2 + number % NAMED
    assert BAD[name][1] in told.why


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

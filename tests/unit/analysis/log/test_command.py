"""`./canario report log`: what is in a log, as a table, as JSON, and as Parquet."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from analysis.__main__ import main
from analysis.log import open_log
from tests.unit.analysis.make_log import LogPlan, make_records, write_log

RECORDS = make_records(LogPlan(users=25))
COUNTS = {kind: sum(r["kind"] == kind for r in RECORDS) for kind in ("prediction", "shadow", "feedback")}


def log(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["log", "--log", str(folder), *options])


def test_a_clean_log(tmp_path: Path) -> None:
    result = log(write_log(tmp_path / "log", RECORDS, files=2), "--fail-on-bad")
    assert result.exit_code == 0, result.output
    assert "nothing is bad" in result.output
    assert f"{COUNTS['prediction']} predictions" in result.output


def test_bad_lines_are_named(tmp_path: Path) -> None:
    folder = write_log(tmp_path, RECORDS, bad=[b"{half", b"{}"])
    (tmp_path / "old.jsonl.gz").write_bytes(b"not packed")
    result = log(folder, "--format", "json", "--fail-on-bad", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 1
    numbers = json.loads(result.stdout)["numbers"]
    assert (numbers["records"], numbers["bad_lines"], numbers["bad_files"]) == (COUNTS, 2, 1)
    assert [each["line"] for each in numbers["bad"]] == [0, 2, 3]
    assert "2 bad lines and 1 unreadable files were left out" in (tmp_path / "page.html").read_text()


def test_nothing_good(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    result = log(tmp_path)
    assert result.exit_code == 3
    assert "the log holds no good record: 1 bad lines" in result.output


def test_parquet_is_the_same_log(tmp_path: Path) -> None:
    folder = write_log(tmp_path / "log", RECORDS, files=2, packed=True, bad=[b"{half"])
    file = tmp_path / "log.parquet"
    result = log(folder, "--parquet", str(file))
    assert result.exit_code == 0, result.output
    one, two = open_log(str(folder)), open_log(str(file))
    assert not two.bad
    for name in ("predictions", "shadow", "feedback"):
        rows = [sorted(each.rows(getattr(each, name)), key=repr) for each in (one, two)]
        assert rows[0] == rows[1], name
    assert two.predictions.schema() == one.predictions.schema()
    again = log(folder, "--parquet", str(file))
    assert (again.exit_code, "is there already" in again.output) == (3, True)
    assert log(folder, "--parquet", str(tmp_path / "missing" / "x.parquet")).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.parquet"]

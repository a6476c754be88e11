"""Where a log may lie, and what is said of places where none is."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

import analysis.__main__ as command_line
from analysis.errors import AnalysisError, EngineError, LogError
from analysis.log import Log, open_log
from common.options import CommandGroup
from tests.unit.analysis.make_log import LogPlan, make_records, write_log

RECORDS = make_records(LogPlan(users=20))
COUNTS = {kind: sum(r["kind"] == kind for r in RECORDS) for kind in ("prediction", "shadow", "feedback")}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", ["", "/predictions-000.jsonl{gz}", "/*.jsonl{gz}", "/**/*.jsonl{gz}"])
def test_folder_file_and_glob(tmp_path: Path, place: str, packed: bool) -> None:
    write_log(tmp_path / "a log's folder", RECORDS, packed=packed)
    gz = ".gz" if packed else ""
    log = open_log(f"{tmp_path}/a log's folder{place.format(gz=gz)}")
    assert log.survey.records == COUNTS
    assert log.bytes > 1000


def test_kinds_of_files_may_be_mixed(tmp_path: Path) -> None:
    write_log(tmp_path / "a", RECORDS)
    write_log(tmp_path / "b", RECORDS, packed=True)
    (tmp_path / "c").mkdir()
    duckdb.sql(f"COPY (FROM read_json('{tmp_path}/a/*')) TO '{tmp_path}/c/c.parquet'")
    (tmp_path / "notes.txt").write_text("not a log")
    (tmp_path / "a" / ".predictions-1.jsonl.swp").write_text("not a log")
    (tmp_path / "a" / "predictions-2.jsonl").touch()  # begun just now
    log = open_log(str(tmp_path))
    assert log.survey.records == {kind: 3 * count for kind, count in COUNTS.items()}
    assert not log.bad
    assert len(log.files) == 3


def test_feedback_that_lies_in_two_files_counts_once(tmp_path: Path) -> None:
    write_log(tmp_path / "a", RECORDS)
    write_log(tmp_path / "b", RECORDS)
    log = open_log(str(tmp_path))
    assert len(log.rows(log.feedback)) == COUNTS["feedback"]


PARQUET = {
    "by DuckDB": "FROM read_json('{log}')",
    "context as map": "SELECT * REPLACE (TRY_CAST(to_json(context) AS MAP(VARCHAR, VARCHAR)) AS context) "
    "FROM read_json('{log}')",
    "context as text": "SELECT * REPLACE (to_json(context)::VARCHAR AS context) FROM read_json('{log}')",
    "time without zone": "SELECT * REPLACE (time AT TIME ZONE 'UTC' AS time) FROM read_json('{log}')",
    "time as text": "SELECT * REPLACE (strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ') AS time) "
    "FROM read_json('{log}')",
    "answers as text": "SELECT * REPLACE (to_json(champion)::VARCHAR AS champion) FROM read_json('{log}')",
    "without nulls": "SELECT * EXCLUDE (error) FROM read_json('{log}')",
    "all as text": "FROM read_json('{log}', all_varchar = true)",
}


@pytest.mark.parametrize("name", PARQUET)
def test_parquet_as_various_tools_write_it(tmp_path: Path, name: str) -> None:
    write_log(tmp_path / "lines", RECORDS)
    query = PARQUET[name].format(log=f"{tmp_path}/lines/*.jsonl")
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'Europe/Oslo'")  # where a converter may well run
        if name == "all as text":
            shape = "champion: 'JSON', challenger: 'JSON', context: 'JSON'"
            fields = ", ".join(
                f"{key}: 'VARCHAR'" for key in ("kind", "time", "schema", "request_id", "user")
            )
            fields += ", " + ", ".join(
                f"{key}: 'VARCHAR'"
                for record in {r["kind"]: r for r in RECORDS}.values()
                for key in record
                if key
                not in {"kind", "time", "schema", "request_id", "user", "champion", "challenger", "context"}
            )
            unique = ", ".join(dict.fromkeys(fields.split(", ")))
            query = (
                f"SELECT COLUMNS(*)::VARCHAR FROM read_json('{tmp_path}/lines/*.jsonl', "
                f"columns = {{{unique}, {shape}}})"
            )
        engine.execute(f"COPY ({query}) TO '{tmp_path}/log.parquet'")
    one, two = open_log(f"{tmp_path}/lines"), open_log(f"{tmp_path}/log.parquet")
    assert not two.bad
    for table in ("predictions", "shadow", "feedback"):
        assert rows(one, table) == rows(two, table), table


def rows(log: Log, table: str) -> list[dict[str, Any]]:
    """In one order; of the context what every converter keeps: properties that are not null."""
    return sorted(
        (
            {
                **row,
                "context": {
                    name: value for name, value in (row.get("context") or {}).items() if value is not None
                },
            }
            for row in log.rows(getattr(log, table))
        ),
        key=repr,
    )


def nothing(folder: Path) -> str:
    return str(folder / "missing")


def empty_folder(folder: Path) -> str:
    return str(folder)


def other_files(folder: Path) -> str:
    (folder / "notes.txt").write_text("x")
    return str(folder)


def empty_files(folder: Path) -> str:
    (folder / "a.jsonl").touch()
    return str(folder)


def no_matches(folder: Path) -> str:
    return str(folder / "*.jsonl")


def a_device(folder: Path) -> str:
    return "/dev/null"


def a_file_of_another_kind(folder: Path) -> str:
    (folder / "a.csv").write_text("a,b")
    return str(folder / "a.csv")


def all_broken(folder: Path) -> str:
    (folder / "a.jsonl.gz").write_bytes(b"\x1f\x8bnothing")
    return str(folder)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (nothing, "there is nothing of that name"),
        (empty_folder, "no file of a log there"),
        (other_files, "(1 other files)"),
        (empty_files, "has the service answered anything yet"),
        (no_matches, "no file of a log there"),
        (a_device, "neither a file nor a folder"),
        (a_file_of_another_kind, "no file of a log there"),
        (all_broken, "cannot be unpacked"),
    ],
)
def test_places_without_a_log(tmp_path: Path, make: Callable[[Path], str], said: str) -> None:
    with pytest.raises(LogError) as caught:
        open_log(make(tmp_path)).survey  # noqa: B018 - reading is what fails
    assert said in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.fixture
def nobody() -> Iterator[None]:
    """Without root's rights, which permissions do not hold up."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("locked", ["folder", "file"])
def test_no_permission(tmp_path_factory: pytest.TempPathFactory, nobody: None, locked: str) -> None:
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"canario-locked-{os.getpid()}-{locked}"
    write_log(folder, RECORDS)
    path = folder if locked == "folder" else folder / "predictions-000.jsonl"
    path.chmod(0)
    try:
        with pytest.raises(LogError, match="Permission denied"):
            open_log(str(folder))
    finally:
        folder.chmod(0o700)
        (folder / "predictions-000.jsonl").unlink()
        folder.rmdir()


def test_addresses_need_an_extension_of_duckdb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(
        "HOME", str(tmp_path)
    )  # where extensions are kept; and the network is not asked for one
    monkeypatch.setattr("analysis.log.in_duckdb.REPOSITORY_OF_EXTENSIONS", str(tmp_path))
    with pytest.raises(EngineError, match="httpfs, which cannot be loaded") as caught:
        open_log("s3://bucket/log/*.jsonl")
    assert caught.value.exit_code == 3


def test_an_address_names_files() -> None:
    with pytest.raises(LogError, match=r"say which files, such as s3://bucket/log/\*\.jsonl"):
        open_log("s3://bucket/log/")


def test_the_command_line_ends_with_the_exit_code() -> None:
    @command_line.main.command("fail", hidden=True)
    def fail() -> None:
        raise LogError("no log there")

    @command_line.main.command("misuse", hidden=True)
    def misuse() -> None:
        raise AnalysisError("not like this")

    assert isinstance(command_line.main, CommandGroup)
    try:
        results = [CliRunner().invoke(command_line.main, [name]) for name in ("fail", "misuse")]
    finally:
        for name in ("fail", "misuse"):
            del command_line.main.commands[name]
    assert [(result.exit_code, result.output) for result in results] == [
        (3, "error: no log there\n"),
        (2, "error: not like this\n"),
    ]

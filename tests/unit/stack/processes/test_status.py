"""What `status` and `logs` show."""

import io
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from stack.processes.status import Follower, ProgramStatus, duration, render, show


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (12.9, "12 s"),
        (60, "1 min"),
        (184, "3 min 4 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7500, "2 h 5 min"),
        (3 * 86_400 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_table_has_a_line_for_each_program() -> None:
    statuses = (
        ProgramStatus("unleash", "ready", 42, 184, 300 * 2**20, "http://127.0.0.1:4242", ""),
        ProgramStatus("service", "fatal", 0, 0, 0, "http://127.0.0.1:8000", "Exited too quickly"),
    )
    out = io.StringIO()
    Console(width=100, file=out).print(render(statuses))
    _, unleash, service = (" ".join(line.split()) for line in out.getvalue().splitlines())
    assert unleash == "unleash ready 42 3 min 4 s 300 MB http://127.0.0.1:4242"
    assert service == "service fatal http://127.0.0.1:8000"


def test_the_end_of_each_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    shown: list[tuple[str, str]] = []
    show({"a": log, "missing": tmp_path / "b.log"}, 2, lambda name, line: shown.append((name, line)))
    assert shown == [("a", "line 98"), ("a", "line 99")]


@pytest.mark.parametrize("length", [1, 3000, 40_000])
def test_long_lines_are_shown_whole(tmp_path: Path, length: int) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(f"{number}{'x' * length}\n" for number in range(5)))
    for lines in (1, 2, 5, 9):
        shown: list[str] = []
        show({"a": log}, lines, lambda _, line, shown=shown: shown.append(line))  # type: ignore[misc]
        assert [line[0] for line in shown] == [str(number) for number in range(max(0, 5 - lines), 5)]
        assert {len(line) for line in shown} == {length + 1}


def test_only_what_comes_later_is_followed_and_only_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    with closing(Follower("a", log)) as follower:
        with log.open("a") as file:
            file.write("new\nunfin")
            file.flush()
            assert follower.read() == ["new"]
            file.write("ished\n")
        assert follower.read() == ["unfinished"]
        assert follower.read() == []


def test_a_rotated_log_is_followed_into_its_successor(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("old\n")
    with closing(Follower("a", log)) as follower:
        with log.open("a") as file:
            file.write("last of the old file\n")
        log.rename(tmp_path / "a.log.1")
        log.write_text("first of the new file\n")
        assert follower.read() == ["last of the old file", "first of the new file"]


def test_a_log_that_begins_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("a long line of a former life\n")
    with closing(Follower("a", log)) as follower:
        log.write_text("new\n")
        assert follower.read() == ["new"]


def test_a_log_that_does_not_exist_yet_is_waited_for(tmp_path: Path) -> None:
    with closing(Follower("a", tmp_path / "a.log")) as follower:
        assert follower.read() == []
        (tmp_path / "a.log").write_text("first\n")
        assert follower.read() == ["first"]

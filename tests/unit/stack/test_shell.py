"""Commands of steps: their output, their failure, their end."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stack.paths import REPOSITORY
from stack.processes.supervisor import still_alive
from stack.shell import StackError, failure, run, tail
from tests.unit.waiting import until


def test_output_goes_into_the_log(tmp_path: Path) -> None:
    log = tmp_path / "new" / "a.log"
    run(["sh", "-c", "cat; echo $WORD >&2"], log, what="it", environment={"WORD": "two"}, stdin="one\n")
    assert log.read_text() == "one\ntwo\n"


def test_a_failure_says_what_where_and_what_to_do(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with pytest.raises(StackError) as caught:
        run(["sh", "-c", "seq 1 100; exit 7"], log, what="Counting failed", hint="Count again.")
    lines = str(caught.value).splitlines()
    assert lines[0] == "Counting failed: sh ended with code 7. The last lines of its log:"
    assert lines[1:16] == [f"    {number}" for number in range(86, 101)]
    assert lines[16:] == [f"The whole log: {log}", "Count again."]


def test_an_unknown_command_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-command"):
        run(["no-such-command"], tmp_path / "a.log", what="It failed")


def test_an_interruption_takes_the_whole_command_along(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stack.shell import run; "
        "run(['sh', '-c', 'sleep 602 & sleep 602'], Path(sys.argv[1]), what='it')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a.log")], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    )
    parent = psutil.Process(process.pid)
    until(lambda: len(parent.children(recursive=True)) == 3)
    children = parent.children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=10)
    assert still_alive(children, 5) == []


def test_a_log_may_be_missing_or_empty(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert tail(log) == ["(no log)"]
    log.touch()
    assert tail(log) == ["(the log is empty)"]
    assert failure("It failed", log).endswith(f"The whole log: {log}")


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * 5_000_000 + "\nlast\n")
    assert tail(log, 1) == ["last"]


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("x" * 4000)
    assert max(map(len, failure("It failed", log).splitlines())) < 600

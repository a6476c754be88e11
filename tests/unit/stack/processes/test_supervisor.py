"""A real supervisord with small programs, under a path that is no easy one."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from stack.paths import Home
from stack.processes.supervisor import Supervisor, still_alive
from stack.shell import StackError
from stack.up import wait_until_ready
from tests.unit.stack.conftest import python_program
from tests.unit.waiting import until

# Programs that run until they are ended, as servers do.
SLEEP = "import time; time.sleep(600)"
PARENT = "import subprocess, sys, time; subprocess.Popen(['sleep', '601']); time.sleep(600)"


def test_programs_are_started_changed_and_ended(supervisor: Supervisor, home: Home) -> None:
    first = python_program("first", SLEEP)
    second = python_program("second", SLEEP)
    supervisor.start([first, second], attached=True)
    assert {info.state for info in supervisor.processes().values()} == {"STOPPED"}

    supervisor.start_program("first")
    supervisor.start_program("second")
    supervisor.start_program("second")  # no harm
    assert supervisor.running() == {"first", "second"}
    pids = {name: info.pid for name, info in supervisor.processes().items()}

    changed = python_program("second", SLEEP, environment={"CHANGED": "1"})
    supervisor.apply([first, changed])
    assert supervisor.running() == {"first"}  # nothing but what has changed was stopped
    supervisor.start_program("second")
    now = {name: info.pid for name, info in supervisor.processes().items()}
    assert now["first"] == pids["first"]
    until(lambda: psutil.Process(now["second"]).environ().get("CHANGED") == "1")

    supervisor.apply([first])
    assert set(supervisor.processes()) == {"first"}
    supervisor.stop_program("first")
    assert supervisor.running() == set()

    supervisor.shutdown()
    assert not supervisor.is_running()
    assert supervisor.processes() == {}
    assert not psutil.pid_exists(now["first"])
    assert not (home.run / "supervisord.pid").exists()


def test_nothing_outlives_a_supervisord_that_is_killed(supervisor: Supervisor, home: Home) -> None:
    supervisor.start([python_program("one", SLEEP), python_program("two", SLEEP)], attached=False)
    supervisor.start_program("one")
    supervisor.start_program("two")
    processes = [psutil.Process(info.pid) for info in supervisor.processes().values()]
    os.kill(int((home.run / "supervisord.pid").read_text()), signal.SIGKILL)
    assert still_alive(processes, 5) == []
    assert not supervisor.is_running()

    supervisor.shutdown()
    supervisor.start([python_program("one", SLEEP)], attached=True)  # the stale socket does no harm
    assert supervisor.is_running()


def test_what_got_away_is_found_and_ended(supervisor: Supervisor, home: Home) -> None:
    supervisor.start([python_program("parent", PARENT)], attached=True)
    supervisor.start_program("parent")
    parent = psutil.Process(supervisor.processes()["parent"].pid)
    until(lambda: bool(parent.children()))
    (child,) = parent.children()
    os.kill(int((home.run / "supervisord.pid").read_text()), signal.SIGKILL)
    assert still_alive([parent], 5) == []
    assert still_alive([child], 0) == [child]
    supervisor.shutdown()
    assert still_alive([child], 0) == []


def test_a_program_that_ends_again_and_again_is_given_up_with_its_last_words(
    supervisor: Supervisor, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stack.up._TRIES", 1)
    program = python_program("doomed", "raise SystemExit('the reason')", ready=lambda: False)
    supervisor.start([program], attached=True)
    supervisor.start_program("doomed")
    with pytest.raises(StackError) as caught:
        wait_until_ready(home, supervisor, program, time.monotonic())
    assert "doomed ends again and again" in str(caught.value)
    assert "the reason" in str(caught.value)
    assert str(home.log("doomed")) in str(caught.value)


def test_a_program_that_is_not_ready_in_time_is_an_error(supervisor: Supervisor, home: Home) -> None:
    program = python_program("slow", SLEEP, ready=lambda: False, patience_seconds=0.3)
    supervisor.start([program], attached=True)
    supervisor.start_program("slow")
    with pytest.raises(StackError, match=r"slow is not ready after 0\.3 s"):
        wait_until_ready(home, supervisor, program, time.monotonic())


def test_a_program_without_a_probe_must_run_for_a_second(supervisor: Supervisor, home: Home) -> None:
    program = python_program("job", SLEEP)
    supervisor.start([program], attached=True)
    begun = time.monotonic()
    supervisor.start_program("job")
    wait_until_ready(home, supervisor, program, begun)
    assert time.monotonic() - begun >= 1
    again = time.monotonic()
    wait_until_ready(home, supervisor, program, 0.0)
    assert time.monotonic() - again < 0.9


def test_a_program_that_reads_its_description_never_finds_half_of_it(
    supervisor: Supervisor, home: Home
) -> None:
    programs = [python_program("first", SLEEP, environment={"LONG": "x" * 100_000})]
    supervisor.start(programs, attached=True)
    ended = threading.Event()

    def rewrite() -> None:
        while not ended.is_set():
            supervisor.apply(programs)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(2000):
            assert json.loads((home.run / "programs" / "first.json").read_bytes())["command"]
    finally:
        ended.set()
        writer.join()


def test_an_unknown_program_is_an_error(supervisor: Supervisor) -> None:
    supervisor.start([], attached=True)
    with pytest.raises(StackError, match="nobody cannot be started: it is no program"):
        supervisor.start_program("nobody")


def test_where_nothing_runs_there_is_nothing(supervisor: Supervisor) -> None:
    assert not supervisor.is_running()
    assert supervisor.processes() == {}
    supervisor.shutdown()
    with pytest.raises(StackError, match="nothing runs"):
        supervisor.start_program("one")


def test_specs_are_for_nobody_else(supervisor: Supervisor, home: Home) -> None:
    supervisor.start([python_program("one", SLEEP)], attached=True)
    assert home.run.stat().st_mode & 0o777 == 0o700
    assert (home.run / "programs" / "one.json").stat().st_mode & 0o777 == 0o600
    sockets = [path for path in Path(home.run).iterdir() if path.is_socket()]
    assert [socket.stat().st_mode & 0o777 for socket in sockets] == [0o700]

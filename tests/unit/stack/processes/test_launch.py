"""Processes that are killed when their parents exit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack.paths import REPOSITORY
from stack.processes import launch
from stack.processes.supervisor import still_alive

# A server like gunicorn: the main thread forks a worker. Another thread forks one too, and ends. Both live
# until they are killed, as servers do: hence the sleeps here and below, which nobody waits for.
SERVER = """\
import os, sys, threading, time

def fork():
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    print(pid, flush=True)

fork()
thread = threading.Thread(target=fork)
thread.start()
thread.join()
time.sleep(600)
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="it warns of forks beside threads")
def test_forks_of_the_main_thread_die_with_it_and_those_of_a_thread_outlive_the_thread(
    tmp_path: Path,
) -> None:
    (tmp_path / "some_server.py").write_text(SERVER)
    process = subprocess.Popen(
        [sys.executable, "-m", "stack.processes.launch", "module", "some_server"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        worker = psutil.Process(int(process.stdout.readline()))
        of_thread = psutil.Process(int(process.stdout.readline()))
    try:
        time.sleep(0.2)  # long enough for the end of the thread to end its fork, if it did
        assert worker.is_running()
        assert of_thread.is_running()
        process.kill()
        process.wait()
        assert still_alive([worker], 5) == []
        assert still_alive([of_thread], 0) == [of_thread]
    finally:
        of_thread.kill()


def test_the_kernel_is_asked_for_a_signal() -> None:
    child = (
        "import sys; sys.path.insert(0, '.'); from stack.processes.launch import kill_on_parent_exit; "
        "import signal, time; kill_on_parent_exit(signal.SIGTERM); "
        "print('ready', flush=True); time.sleep(600)"
    )
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        (orphan,) = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert still_alive([orphan], 5) == []


def test_who_has_lost_its_parent_already_ends_at_once() -> None:
    pid = os.fork()
    if pid == 0:
        launch.kill_on_parent_exit(parent=os.getppid() + 1)
        os._exit(0)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


@pytest.mark.parametrize("words", [[], ["module"], ["program"], ["some_server"]])
def test_what_to_become_must_be_named(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack.processes.launch", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "usage" in done.stderr

"""Starts processes that do not outlive their parent, even if that is killed. Standard library only.

    launch.py program NAME                  become the program that `programs/NAME.json` describes
    launch.py module MODULE [ARGUMENT...]   become a module whose forks are killed when it exits

The first is what supervisord starts, in `run` of the home: its own config cannot hold every value (quotes,
`%`, ` ;`), and is no place for secrets. The second is for a server with worker processes: they must not
outlive a master that was killed.
"""

import ctypes
import json
import os
import runpy
import signal
import sys
import threading
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def kill_on_parent_exit(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send `number` to this process when the thread that made it ends. Linux only.

    The request survives exec, but neither fork nor a change of user. With `parent`, the process ends at once
    if that is not its parent any more.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def kill_forks_on_exit() -> None:
    """Let every child that the main thread forks from now on be killed when this process exits.

    Not the children of other threads: they would die with the thread, which may end much sooner.
    """
    fork = threading.local()

    def before() -> None:
        fork.parent = os.getpid() if threading.current_thread() is threading.main_thread() else None

    def in_child() -> None:
        if fork.parent is not None:
            kill_on_parent_exit(parent=fork.parent)

    os.register_at_fork(before=before, after_in_child=in_child)


def become_program(name: str) -> None:
    """Of a supervisord whose working folder is that of this process."""
    spec = json.loads(Path("programs", f"{name}.json").read_bytes())
    kill_on_parent_exit(signal.Signals[spec["death_signal"]], int(Path("supervisord.pid").read_text()))
    os.chdir(spec["directory"])
    os.execvpe(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606 - a list that we wrote


def become_module() -> None:
    """The module, and its arguments, are what is left in sys.argv behind the first two words."""
    kill_forks_on_exit()
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["program"] and len(sys.argv) == 3:
        become_program(sys.argv[2])
    elif sys.argv[1:2] == ["module"] and len(sys.argv) > 2:
        become_module()
    else:
        sys.exit("usage: launch.py program NAME | module MODULE [ARGUMENT...]")

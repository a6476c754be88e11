"""What supervisord starts: `python launch.py NAME` becomes the program that `programs/NAME.json` describes.

Supervisord's own config cannot hold every value (quotes, `%`, ` ;`), and is no place for secrets. And the
program must not outlive supervisord, even if that is killed: see `die_with_parent`. Standard library only.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send `number` to this process when the thread that made it ends. Linux only.

    The wish survives exec, but neither fork nor a change of user. With `parent`, the process ends at once if
    that is not its parent any more.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Become the program; supervisord's working folder is `run` of the home."""
    spec = json.loads(Path("programs", f"{sys.argv[1]}.json").read_bytes())
    die_with_parent(signal.Signals[spec["death_signal"]], int(Path("supervisord.pid").read_text()))
    os.chdir(spec["directory"])
    os.execvpe(spec["command"][0], spec["command"], spec["environment"])  # noqa: S606 - a list that we wrote


if __name__ == "__main__":
    main()

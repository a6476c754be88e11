"""`python3 -m stack COMMAND`, with any Python: makes the venv where needed and goes on inside it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from stack.bootstrap import ensure_venv, venv_python
from stack.paths import Cache
from stack.shell import StackError

INSTALLING = {"up", "demo", "install"}  # the other commands need what these have made


def main() -> None:
    """Hand over to `stack.cli` inside the venv."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _main(Cache.default())
    except StackError as error:  # of the venv: the command line tells its own
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before the command line has begun to care for it
        print("\ninterrupted: nothing was left running", file=sys.stderr)
        sys.exit(130)


def _main(cache: Cache) -> None:
    python = str(venv_python(cache))
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    installed = 0.0
    if INSTALLING.intersection(words):
        installed = ensure_venv(cache)
    elif not os.access(python, os.X_OK):
        print("Nothing is installed yet: `./canario up` installs and starts everything.", file=sys.stderr)
        sys.exit(1)
    if installed or Path(sys.prefix) != cache.venv:
        os.execv(python, [python, "-m", "stack", *sys.argv[1:]])  # noqa: S606 - our own venv
    try:
        from common.options import start  # noqa: PLC0415 - its imports exist only in the venv
        from stack.cli import cli  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(f"{error.name} is missing in {cache.venv}: `./canario up` installs it.", file=sys.stderr)
        sys.exit(1)
    start(cli, "stack")


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

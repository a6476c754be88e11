"""Runs one command of a step to its end: output into a log, and nothing left behind when we are stopped."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stack.errors import StackError
from stack.paths import REPOSITORY

LAST_LINES = 15
_LONGEST_LINE = 500


def run(  # noqa: PLR0913 - as of subprocess.run
    command: Sequence[str],
    log: Path,
    *,
    what: str,
    hint: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path = REPOSITORY,
    stdin: str = "",
) -> None:
    """Run `command` with its output in `log` (written anew).

    `what` names the step in the error, `hint` is its last sentence. The command dies with this process, even
    when that is killed, and takes its process group with it.

    Raises:
        StackError: it could not be started, or ended with a code other than 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"{what}: {command[0]} cannot be run: {error}") from error
        try:
            process.communicate(stdin.encode())
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if process.returncode:
        raise StackError(failure(f"{what}: {command[0]} ended with code {process.returncode}", log, hint))


def failure(what: str, log: Path, hint: str = "") -> str:
    """A text with what failed, the last lines of its log, where the log lies, and what to do."""
    lines = [f"{what}. The last lines of its log:", *(f"    {line[:_LONGEST_LINE]}" for line in tail(log))]
    return "\n".join([*lines, f"The whole log: {log}", *([hint] if hint else [])])


def tail(log: Path, lines: int = LAST_LINES) -> list[str]:
    """The last `lines` lines of a log, whole ones; one that says so where there is none."""
    found, span = b"", 400 * lines
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            while (
                found.count(b"\n") < lines and len(found) < size
            ):  # a line of the rollback job has kilobytes
                span *= 4
                file.seek(max(0, size - span))
                found = file.read(span).strip()
                if span >= size:
                    break
    except OSError:
        return ["(no log)"]
    return found.decode("utf-8", "replace").splitlines()[-lines:] or ["(the log is empty)"]

"""Runs one command of a step to its end: output into a log, and nothing left behind when we are stopped.

Standard library only, and parsed by old Pythons too: the bootstrap uses it before the venv exists.

What is raised when a step fails, with the exit code of the command line:

CanarioError
└── StackError            1  a step failed, or something that should run does not
    ├── MachineLacks      3  the machine has not what is needed; the text has the command that brings it
    └── Refused           4  not done, because it would harm; the text says what to do first
"""
# ruff: noqa: N818  (the names say what happened; the suffix would say it twice)

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from common.errors import CanarioError
from stack.paths import REPOSITORY

LAST_LINES = 15
_LONGEST_LINE = 500


class StackError(CanarioError):
    """A step failed. The text says which, where its log is, and what to do."""

    exit_code = 1


class MachineLacks(StackError):
    """A command or library of the machine is missing."""

    exit_code = 3


class Refused(StackError):
    """The command was understood and not carried out."""

    exit_code = 4


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

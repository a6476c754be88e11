"""The command lines that the story calls, as a person would, and what they say as JSON."""

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import CanarioError
from stack.api import Stack
from stack.paths import REPOSITORY

MOST_SECONDS = 120.0


class ToolError(CanarioError):
    """A command line failed."""


@dataclass(frozen=True)
class Said:
    """What a report said.

    Attributes:
        command: as a person types it.
        answer: its first sentence.
        tone: good, bad, wait or plain.
        numbers: its figures by name.
        page: the HTML file.
    """

    command: str
    answer: str
    tone: str
    warnings: tuple[str, ...]
    numbers: dict[str, Any]
    page: Path


class Tools:
    """Commands on one stack, in its environment; pages and registrations go to `folder`."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._environment = stack.env("flags")
        self.folder = folder
        self.log = stack.site.home.data / "service" / "log"

    def report(self, name: str, *arguments: str | Path) -> Said:
        """`python -m analysis ARGUMENTS`, with a page of that name.

        Raises:
            ToolError: it fails.
        """
        page = self.folder / f"{name}.html"
        command = ("analysis", *map(str, arguments), "--html", str(page))
        document = json.loads(self._run(*command, "--format", "json"))
        return Said(
            command=typed(*command),
            answer=document["answer"],
            tone=document["tone"],
            warnings=tuple(document["warnings"]),
            numbers=document["numbers"],
            page=page,
        )

    def register(self, file: Path, *arguments: str) -> str:
        """`python -m analysis abtest register FILE ARGUMENTS`; what it says. Raises ToolError."""
        return self._run("analysis", "abtest", "register", str(file), *arguments)

    def flags(self, *arguments: str) -> None:
        """`python -m flags ARGUMENTS`. Raises ToolError."""
        self._run("flags", *arguments)

    def check(self) -> dict[str, Any]:
        """`python -m rollback check`: a pass of the rollback job that does not act. Raises ToolError."""
        found: dict[str, Any] = json.loads(self._run("rollback", "check", "--json", good=(0, 1)))
        return found

    def _run(self, *command: str, good: tuple[int, ...] = (0,)) -> str:
        try:
            done = subprocess.run(
                [sys.executable, "-m", *command],
                env=self._environment,
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"`{typed(*command)}` is not done after {MOST_SECONDS:.0f} s: is this machine busy?"
            ) from error
        if done.returncode not in good:
            raise ToolError(
                f"`{typed(*command)}` ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
            )
        return done.stdout


def typed(*command: str) -> str:
    """The command as a person types it in the repository's folder."""
    short = [
        str(Path(each).relative_to(REPOSITORY)) if each.startswith(f"{REPOSITORY}/") else each
        for each in command
    ]
    return "python3 -m stack exec python -m " + shlex.join(short)

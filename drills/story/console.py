"""How the story is told, and the command lines that it calls, as a person would."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from common.errors import CanarioError
from common.terminal import Console
from stack.api import Stack
from stack.paths import REPOSITORY

ACTS = 6
MOST_SECONDS = 120.0


class CommandError(CanarioError):
    """A command line failed."""


@dataclass(frozen=True)
class Report:
    """What a report says.

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


class Commands:
    """Commands on one stack, in its environment; pages and registrations go to `folder`."""

    def __init__(self, stack: Stack) -> None:
        self._environment = stack.env("flags")
        self._home = stack.home.root
        self.folder = self._home / "reports"
        self.folder.mkdir()
        self.log = stack.home.data / "service" / "log"

    def report(self, name: str, *arguments: str | Path) -> Report:
        """`./canario report ARGUMENTS`, with a page of that name.

        Raises:
            CommandError: it fails.
        """
        page = self.folder / f"{name}.html"
        command = ("analysis", *map(str, arguments), "--html", str(page))
        document = json.loads(self._run(*command, "--format", "json"))
        return Report(
            command=typed(*command),
            answer=document["answer"],
            tone=document["tone"],
            warnings=tuple(document["warnings"]),
            numbers=document["numbers"],
            page=page,
        )

    def register(self, file: Path, *arguments: str) -> str:
        """`./canario report abtest register FILE ARGUMENTS`; what it says. Raises CommandError."""
        return self._run("analysis", "abtest", "register", str(file), *arguments)

    def check(self) -> dict[str, Any]:
        """`./canario check`: a pass of the rollback job that does not act. Raises CommandError."""
        found: dict[str, Any] = json.loads(self._run("rollback", "check", "--json", good=(0, 1)))
        return found

    def typed(self, *words: str) -> str:
        """A command on the story's servers, as a person types it."""
        return typed("", "--home", str(self._home), *words)

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
            raise CommandError(
                f"`{typed(*command)}` is not done after {MOST_SECONDS:.0f} s: is this machine busy?"
            ) from error
        if done.returncode not in good:
            raise CommandError(
                f"`{typed(*command)}` ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
            )
        return done.stdout


def typed(*command: str) -> str:
    """The command as a person types it in the repository's folder."""
    short = [
        str(Path(each).relative_to(REPOSITORY)) if each.startswith(f"{REPOSITORY}/") else each
        for each in command
    ]
    program, *words = short
    return shlex.join(["./canario", *(["report"] if program == "analysis" else []), *words])


class StoryConsole:
    """A heading for each act, what happens and why, progress, figures, commands."""

    def __init__(self, console: Console) -> None:
        self._console, self._act = console, 0

    def act(self, title: str, *sentences: str) -> None:
        """Begin the next act."""
        self._act += 1
        self._console.print()
        self._console.print(f"[bold]{self._act} of {ACTS}  {title}[/]", highlight=False)
        for each in sentences:
            self.say(each)

    def say(self, sentence: str, style: str | None = None) -> None:
        """A sentence; brackets in it are no markup."""
        self._console.print(sentence, style=style, markup=False, highlight=False, soft_wrap=self._is_log)

    def command(self, typed: str) -> None:
        """A command that a person could type now, on one line so that it can be copied."""
        self._console.print(f"  $ {typed}", style="cyan", markup=False, highlight=False, soft_wrap=True)

    def found(self, sentence: str, style: str = "bold") -> None:
        """What came of it."""
        self._console.print(
            f"  {sentence}", style=style, markup=False, highlight=False, soft_wrap=self._is_log
        )

    def report(self, report: Report) -> None:
        """What a report answers, by which command, and where its page lies."""
        self.command(report.command)
        self.found(report.answer)
        for each in report.warnings:
            self.found(f"Note: {each}", style="yellow")

    def next_steps(self, folder: Path) -> None:
        """Where the reports lie, and what to try."""
        self.say("")
        for page in sorted(folder.glob("*.html")):
            self.line(f"Report:                      {page}")
        self.line(f"Registered test:             {folder / 'test.yaml'}")
        self.line("A challenger that fails:     ./canario demo")
        self.line("Be the product manager:      ./canario up, then ./canario set canary 25")
        self.say("")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A small table."""
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        self._console.print()
        self._console.print(table)

    def line(self, text: str) -> None:
        """A line to be copied from: never wrapped."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: float) -> Iterator[Callable[[float], bool]]:
        """A bar; call what it yields with how far it is: it answers whether that is all."""
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task(what, total=total)

            def advance(done: float) -> bool:
                bar.update(task, completed=int(min(done, total)))
                return done >= total

            yield advance
            advance(total)

    @property
    def _is_log(self) -> bool:
        return not self._console.is_terminal

"""How the story is told: a heading for each act, what happens and why, progress, figures, commands."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from common.terminal import Console
from drills.story.tools import Said
from stack.site import Addresses

ACTS = 6


class Voice:
    """Tells on the terminal."""

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

    def report(self, said: Said) -> None:
        """What a report answers, by which command, and where its page lies."""
        self.command(said.command)
        self.found(said.answer)
        for each in said.warnings:
            self.found(f"Note: {each}", style="yellow")

    def next_steps(self, addresses: Addresses, folder: Path) -> None:
        """Where the reports lie, and what to try."""
        self.say("")
        for page in sorted(folder.glob("*.html")):
            self.line(f"Report:                      {page}")
        self.line(f"Registered test:             {folder / 'test.yaml'}")
        self.line(f"The flag and its history:    {addresses.unleash}/projects/default/features/canary/logs")
        self.line(f"The rollout board:           {addresses.board}")
        self.line("Be the product manager:      python3 -m stack exec python -m flags set canary 25")
        self.line("Let it roll out by itself:   python3 -m stack exec python -m flags rollout begin")
        self.line("A challenger that fails:     make demo")
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

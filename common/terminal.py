"""The text of others on a terminal: what could move its cursor or turn a line around is shown as `\\u001b`.

`guard_terminal` sees to whatever is printed, `Console` to what rich draws, whose own colours come through.
JSON stays the same JSON: these are its escapes too.
"""

import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from rich import console
from rich.segment import Segment
from rich.table import Table

# Control characters, DEL and C1 among them; line ends of Unicode; marks of direction; and surrogates, which
# cannot be written at all.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_BUT_LINES = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str, *, lines: bool = False) -> str:
    """`text` with what no terminal should get as escapes; line ends and tabs stay where `lines` says so."""
    return (_UNSAFE_BUT_LINES if lines else _UNSAFE).sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Console(console.Console):
    """A console of rich on which the text of others is safe."""

    def render(
        self, renderable: console.RenderableType, options: console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does it, with safe text."""
        for segment in super().render(renderable, options):
            safe = segment.text if segment.control else printable(segment.text, lines=True)
            yield segment if safe == segment.text else Segment(safe, segment.style)


def print_table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """A table on a terminal, the same in lines without colour anywhere else."""
    # User names and flags come from Unleash: they are text, never markup.
    terminal = sys.stdout.isatty()
    console = Console(markup=False, emoji=False, highlight=False, width=None if terminal else 1000)
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        console.file.write(f"{line.rstrip()}\n")  # not by print: the colours are the console's own


class _Guarded:
    """A text stream that gets safe text only, but from rich, which knows `rich_proxied_file`."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable(text, lines=True))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def guard_terminal() -> None:
    """Make what this process prints from now on safe. A command line calls it first."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Guarded):
            setattr(sys, name, cast("TextIO", _Guarded(stream)))

"""What a report consists of, whatever it is about and wherever it is shown. No I/O, no libraries.

A report answers first, in a sentence for somebody who knows the product and no statistics. Then it brings the
evidence, and last the method. Text may mark `code` with backticks; everything else in it stands as it is.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

Tone = Literal["good", "bad", "wait", "plain"]
"""What the answer is for the reader: go on, do not go on, too early to say, or neither of these."""


@dataclass(frozen=True)
class Table:
    """Cells as text, ready to be read; columns of numbers are set to the right by who shows them.

    Attributes:
        marked: numbers of the rows that the reader should see first, from 0.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    marked: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """A row that does not fit is a bug of the report, and best seen in its test."""
        if wrong := [row for row in self.rows if len(row) != len(self.columns)]:
            raise ValueError(f"{len(self.columns)} columns, but a row has {len(wrong[0])} cells: {wrong[0]}")


@dataclass(frozen=True)
class Picture:
    """A drawing, as the functions of `analysis.render.pictures` make it.

    Attributes:
        alt: what is seen in it, for who cannot see it.
        draw: makes `svg`; not before a page wants it, for it takes longer than all the rest.
    """

    caption: str
    alt: str
    draw: Callable[[], str] = field(repr=False)

    @cached_property
    def svg(self) -> str:
        """One `<svg>` element without a prologue."""
        return self.draw()


@dataclass(frozen=True)
class Code:
    """Text to be copied as it stands: a command."""

    text: str
    caption: str = ""


Block = Table | Picture | Code


@dataclass(frozen=True)
class Section:
    """A heading, its paragraphs, and what belongs below them."""

    title: str
    text: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class Report:
    """One answer with all that it rests on.

    Attributes:
        title: the question, or what was looked at.
        answer: one sentence, two at most.
        tone: what the answer is for the reader.
        evidence: what was found, the most important first.
        method: how it was found, what was left out, and what it cannot say.
        numbers: every figure by name, JSON types only; what `--format json` prints. NaN and infinities become
            null there.
        warnings: what spoils the answer or may do so: shown right below it.
    """

    title: str
    answer: str
    tone: Tone
    evidence: tuple[Section, ...]
    method: tuple[Section, ...]
    numbers: dict[str, Any]
    warnings: tuple[str, ...] = ()


TONE_WORDS: Final[dict[Tone, str]] = {"good": "Good", "bad": "Not good", "wait": "Not yet", "plain": "Result"}
"""A colour alone says nothing on a printed page, or to one reader in twelve."""

_NUMBER = re.compile(r"[-+<>~]?\s?[\d.,]+([eE][-+]?\d+)?\s?(%|x|ms|s|points)?")
_NOTHING = {"", "-", "?"}


def numeric(table: Table) -> tuple[bool, ...]:
    """Of each column, whether its cells are numbers, so that their digits belong below each other."""
    return tuple(
        any(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)
        for cells in (
            [row[place] for row in table.rows if row[place] not in _NOTHING]
            for place in range(len(table.columns))
        )
    )


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """A paragraph cut at its backticks: (whether it is code, the piece)."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is a character like others
        yield False, text
        return
    for place, part in enumerate(parts):
        if part:
            yield place % 2 == 1, part

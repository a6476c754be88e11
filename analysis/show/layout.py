"""What terminal and page have in common: which columns are numbers, and the words beside a tone. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from analysis.reports.document import Table, Tone

WORDS: Final[dict[Tone, str]] = {"good": "Good", "bad": "Not good", "wait": "Not yet", "plain": "Result"}
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

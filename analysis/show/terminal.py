"""A report on the terminal: the answer in a frame, then tables; of a picture what is to be seen in it."""

from collections.abc import Iterable
from typing import Final

from rich import box
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from analysis.reports.document import Code, Picture, Report, Section, Table, Tone
from analysis.show.layout import WORDS, numeric, pieces
from common.terminal import Console

COLOURS: Final[dict[Tone, str]] = {"good": "green", "bad": "red", "wait": "yellow", "plain": "blue"}
INDENT: Final = (0, 0, 0, 2)


def show(report: Report, console: Console) -> None:
    """Print the whole of it."""
    colour = COLOURS[report.tone]
    console.print(
        Panel(
            Text.assemble((f"{WORDS[report.tone]}. ", f"bold {colour}"), _styled(report.answer)),
            title=Text(report.title, style="bold"),
            title_align="left",
            border_style=colour,
            padding=(1, 2),
        )
    )
    for line in report.warnings:
        console.print(Text.assemble(("! ", "bold yellow"), _styled(line)))
    _sections(report.evidence, console)
    if report.method:
        console.print()
        console.print(Rule("Method", style="dim"))
        _sections(report.method, console)


def _sections(sections: Iterable[Section], console: Console) -> None:
    for section in sections:
        console.print()
        console.print(Text(section.title, style="bold underline"))
        for paragraph in section.text:
            console.print(_styled(paragraph))
        for block in section.blocks:
            _block(block, console)


def _block(block: Table | Picture | Code, console: Console) -> None:
    if isinstance(block, Picture):
        console.print(Padding(Text(f"{block.caption}: {block.alt}", style="dim"), INDENT))
    elif isinstance(block, Code):
        if block.caption:
            console.print(_styled(block.caption))
        console.print(block.text, markup=False, highlight=False, soft_wrap=True, style="cyan")
    else:
        console.print(_grid(block))


def _grid(table: Table) -> Grid:
    grid = Grid(
        title=Text(table.caption) if table.caption else None,
        title_justify="left",
        title_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for column, number in zip(table.columns, numeric(table), strict=True):
        grid.add_column(Text(column), justify="right" if number else "left", overflow="fold")
    for place, row in enumerate(table.rows):
        grid.add_row(*(Text(cell) for cell in row), style="bold" if place in table.marked else "")
    return grid


def _styled(paragraph: str) -> Text:
    """Without rich's markup: a segment called [red] stays what it is."""
    return Text.assemble(*((piece, "cyan" if code else "") for code, piece in pieces(paragraph)))

"""A report to whoever asked: tables on a terminal, JSON for a program, or one self-contained HTML file."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from html import escape
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich import box
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table as Grid
from rich.text import Text

from analysis.log import Log
from analysis.render.document import (
    TONE_WORDS,
    Block,
    Code,
    Picture,
    Report,
    Section,
    Table,
    Tone,
    numeric,
    pieces,
)
from common.errors import CanarioError
from common.terminal import Console, printable

COLOURS: Final[dict[Tone, str]] = {"good": "green", "bad": "red", "wait": "yellow", "plain": "blue"}


class PageError(CanarioError):
    """The page cannot be written where it was asked for."""


@contextmanager
def working(log: Log, doing: str) -> Iterator[None]:
    """On a terminal's standard error: what is being done, with how much, until it is."""
    size = f"{log.bytes / 1e9:.1f} GB" if log.bytes >= 1e8 else ""
    with Console(file=sys.stderr).status(f"{doing} {size}".rstrip()):
        yield


def publish(report: Report, format: Literal["table", "json"], path: Path | None) -> None:
    """Print the report, and write it as a page where there is a `path`; see `reporting` of analysis.options.

    Raises:
        PageError: the page cannot be written.
    """
    if path:
        write_page(report, path)
    print_report(report, format)


def print_report(
    report: Report, format: Literal["table", "json"] = "table", file: TextIO | None = None
) -> None:
    """Print it to `file` (standard output by default) for a person, or as JSON for a program."""
    file = file or sys.stdout
    if format == "json":
        file.write(as_json(report) + "\n")
    else:
        _show(report, Console(file=file))


def as_json(report: Report) -> str:
    """The answer, its warnings and every figure by name, as standard JSON.

    What is no number (NaN, infinities) becomes null, which other languages can read.
    """
    fields = {
        "title": report.title,
        "answer": report.answer,
        "tone": report.tone,
        "warnings": list(report.warnings),
        "numbers": report.numbers,
    }
    return json.dumps(_standard(fields), indent=2, allow_nan=False, ensure_ascii=False)


def _standard(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _standard(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_standard(each) for each in value]
    if isinstance(value, float):
        return float(value) if isfinite(value) else None  # numpy's float64 is a float, too
    return value


def _show(report: Report, console: Console) -> None:
    """The answer in a frame, then tables; pictures are the page's."""
    colour = COLOURS[report.tone]
    console.print(
        Panel(
            Text.assemble((f"{TONE_WORDS[report.tone]}. ", f"bold {colour}"), _styled(report.answer)),
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


def _block(block: Block, console: Console) -> None:
    if isinstance(block, Picture):
        return  # tables and sentences say it too
    if isinstance(block, Code):
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


def write_page(report: Report, path: Path) -> None:
    """Write the report to `path` as HTML, over what was there.

    Raises:
        PageError: the file cannot be written.
    """
    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise PageError(f"{path}: {error.strerror or error}: name a file in a folder that exists") from None


def page(report: Report, *, written: datetime | None = None) -> str:
    """The report as HTML without network, script or font; `written` stands at its end, now by default."""
    template = _templates().get_template("page.html")
    return template.render(report=report, word=TONE_WORDS[report.tone], written=written or datetime.now(UTC))


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("analysis.render"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value, lines=True) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"styled": _markup, "numeric": numeric, "drawing": _drawing}
    made.tests |= {
        "table": lambda block: isinstance(block, Table),
        "code": lambda block: isinstance(block, Code),
    }
    return made


def _markup(paragraph: str) -> Markup:
    # Both pieces are escaped; only the tags around them are this function's own.
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if code else piece
        for code, piece in pieces(printable(paragraph, lines=True))
    )


def _drawing(picture: Picture) -> Markup:
    """The SVG as it is: pictures.py makes it, and matplotlib escapes the words in it."""
    head = f'<svg role="img" aria-label="{escape(picture.alt)}" '
    return Markup(picture.svg.replace("<svg ", head, 1))  # noqa: S704

"""A report as one HTML file that needs nothing else: no network, no script, no font."""

from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.reports.document import Code, Picture, Report, Table
from analysis.show.layout import WORDS, numeric, pieces
from common.errors import CanarioError
from common.terminal import printable


class PageError(CanarioError):
    """The page cannot be written where it was asked for."""


def write_page(report: Report, path: Path) -> None:
    """Write the report to `path`, over what was there.

    Raises:
        PageError: the file cannot be written.
    """
    try:
        path.write_text(page(report), encoding="utf-8")
    except OSError as error:
        raise PageError(f"{path}: {error.strerror or error}: name a file in a folder that exists") from None


def page(report: Report, *, written: datetime | None = None) -> str:
    """The report as HTML.

    Args:
        report: what to show.
        written: the moment that stands at the end; now by default.
    """
    return (
        _environment()
        .get_template("page.html")
        .render(report=report, word=WORDS[report.tone], written=written or datetime.now(UTC))
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("analysis.show"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["styled"] = _styled
    made.filters["numeric"] = numeric
    made.filters["drawing"] = _drawing
    made.tests["table"] = lambda block: isinstance(block, Table)
    made.tests["code"] = lambda block: isinstance(block, Code)
    return made


def _safe(value: object) -> object:
    return printable(value, lines=True) if type(value) is str else value


def _styled(paragraph: str) -> Markup:
    # Both pieces are escaped; only the tags around them are this function's own.
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if code else piece
        for code, piece in pieces(printable(paragraph, lines=True))
    )


def _drawing(picture: Picture) -> Markup:
    """The SVG as it is: pictures.py makes it, and matplotlib escapes the words in it."""
    head = f'<svg role="img" aria-label="{escape(picture.alt)}" '
    return Markup(picture.svg.replace("<svg ", head, 1))  # noqa: S704

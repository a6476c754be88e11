"""Pages of docs/ as pages of the board, so that the link of an alert opens: /docs/runbook."""

import re
from functools import cache
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

PAGES: Final = Path(__file__).resolve().parents[1] / "docs"
NAME: Final = re.compile(r"[a-z][a-z-]*")


@cache
def manual(name: str) -> tuple[str, str] | None:
    """Title and HTML of a page of docs/, with GitHub's anchors; None where there is no such page."""
    file = PAGES / f"{name}.md"
    if not NAME.fullmatch(name) or not file.is_file():
        return None
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(file.read_text(encoding="utf-8"))
    title = name
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            words = "".join(part.content for part in tokens[at + 1].children or [])
            token.attrSet("id", anchor(words))
            title = words if token.tag == "h1" else title
        elif token.type == "table_open":
            token.attrSet("tabindex", "0")  # it scrolls by itself on a phone
        for part in token.children or []:
            _point(part)
    return title, str(markdown.renderer.render(tokens, markdown.options, {}))


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _point(part: Token) -> None:
    """A link to another page of docs/ goes to that page here; files of the repository are not shown."""
    target = part.attrGet("href")
    if part.type != "link_open" or not isinstance(target, str):
        return
    page, mark, rest = target.partition("#")
    if page.endswith(".md") and "/" not in page:
        part.attrSet("href", f"/docs/{page.removesuffix('.md')}{mark}{rest}")

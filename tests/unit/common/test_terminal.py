"""Text of others on a terminal: nothing in it moves, colours, hides or turns around anything."""

import ast
import io
import json
import sys
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from common.terminal import Console, guard_terminal, printable

REPOSITORY = Path(__file__).parents[3]
EVIL = "a\x1b[2J\x1b]0;title\x07\r\x08\x9b31m\x7f\u202eb\u2028c\ud800"
SHOWN = r"a\u001b[2J\u001b]0;title\u0007\u000d\u0008\u009b31m\u007f\u202eb\u2028c\ud800"
FAMILY, HEBREW = "👨‍👩‍👧", "שלום"


def guarded(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What this guarded process writes from now on."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    monkeypatch.setattr(sys, "stderr", written)
    guard_terminal()
    guard_terminal()
    return written


def test_it_is_shown_as_an_escape() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("a\n\tb") == r"a\u000a\u0009b"
    assert printable("a\n\tb\r", lines=True) == "a\n\tb" + r"\u000d"
    assert printable(f"Größe {FAMILY} {HEBREW} 100%") == f"Größe {FAMILY} {HEBREW} 100%"


@given(st.text())
def test_json_stays_the_same(text: str) -> None:
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


def test_whatever_is_printed_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    out = guarded(monkeypatch)
    print(EVIL, EVIL, sep="\n")
    click.echo(EVIL, color=True)
    click.ClickException("a\x9b31m").show()
    sys.stderr.writelines([EVIL, "\n"])
    assert out.getvalue() == f"{SHOWN}\n{SHOWN}\n{SHOWN}\n" + r"Error: a\u009b31m" + f"\n{SHOWN}\n"


@pytest.mark.parametrize("markup", [True, False])
def test_what_rich_draws_is_safe_and_coloured(monkeypatch: pytest.MonkeyPatch, markup: bool) -> None:
    out = guarded(monkeypatch)
    console = Console(markup=markup, force_terminal=True, color_system="standard", width=200)
    table = Table(EVIL, title=Text(EVIL))
    table.add_row(Text(f"x{EVIL}\ny", style="red"))
    console.print(table)
    console.print(EVIL, style="green")
    written = out.getvalue()
    assert "\x1b[31m" in written
    assert "\x1b[32m" in written
    for evil in ("\x1b[2J", "\x1b]", "\x07", "\r", "\x9b", "\x7f", "\u202e", "\u2028", "\ud800"):
        assert evil not in written
    assert r"\u001b[2J" in written


def test_every_command_line_is_guarded() -> None:
    rooms = ("analysis", "flags", "rollback", "board", "service", "stack", "drills")
    for room in rooms:
        text = (REPOSITORY / room / "__main__.py").read_text(encoding="utf-8")
        guarded = "guard_terminal()" in text or f', "{room}")' in text  # common.options.start guards it
        assert guarded, room
    for room in (*rooms, "bench", "common"):
        for file in (REPOSITORY / room).rglob("*.py"):
            if file != REPOSITORY / "common" / "terminal.py":
                imported = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
                names = [
                    (node.module, alias.name)
                    for node in imported
                    if isinstance(node, ast.ImportFrom)
                    for alias in node.names
                ]
                assert ("rich.console", "Console") not in names, f"{file}: common.terminal has a safe one"

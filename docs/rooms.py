"""docs/rooms.md, made from the code: which room imports which, and what each module is about.

`python -m docs.rooms` writes the page; a test fails where page and code differ.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from docs.settings import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "rooms.md"
# In the order in which somebody new would read them.
ROOMS: Final = (
    "launcher",
    "service",
    "flags",
    "rollback",
    "analysis",
    "board",
    "monitoring",
    "common",
    "stack",
    "drills",
    "bench",
    "deploy",
    "docs",
)
START: Final[Mapping[str, str]] = {
    "a request": "service/predict.py",
    "an iteration of the rollback job": "rollback/job.py",
    "an iteration of the rollout job": "flags/rollout/controller.py",
    "an A/B report": "analysis/abtest/command.py",
}
HEAD: Final = """\
# Rooms

Made from the code by `python -m docs.rooms`; a test fails where this page and the code differ. A folder holds
what belongs to one question, and a module is about one thing.
[Decision 24](decisions/0024-rooms-by-question.md) says why, and `tests/unit/test_imports.py` holds who may
import whom.

Where to start reading:

| to follow | open |
|---|---|
"""


def page() -> str:
    """The page as Markdown: where to start, the picture of the rooms, a table of modules for each."""
    starts = "".join(f"| {what} | [{path}](../{path}) |\n" for what, path in START.items())
    tables = "\n".join(_room(room) for room in ROOMS)
    return f"{HEAD}{starts}\n{_picture()}\n{tables}"


def imports(room: str) -> set[str]:
    """Rooms that modules of this one import, itself left out."""
    found = {module.partition(".")[0] for file in _files(room) for module in imported(file)}
    return (found & {*ROOMS}) - {room}


def imported(file: Path) -> Iterator[str]:
    """Modules that a file of Python imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _picture() -> str:
    lines = [f"    {room} --> {other}" for room in ROOMS for other in sorted(imports(room), key=ROOMS.index)]
    return "\n".join(["Arrows point to what is imported:", "", "```mermaid", "graph LR", *lines, "```", ""])


def _room(room: str) -> str:
    rows = "".join(f"| `{file.relative_to(REPOSITORY / room)}` | {_about(file)} |\n" for file in _files(room))
    return f"## {room}\n\n| module | about |\n|---|---|\n{rows}"


def _files(room: str) -> list[Path]:
    """Modules of a room: those of the folder itself first; no empty `__init__`."""
    files = [file for file in (REPOSITORY / room).rglob("*.py") if file.stat().st_size]
    return sorted(files, key=lambda file: (len(file.parts), file))


def _about(file: Path) -> str:
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""docs/rooms.md shows the code as it is, and each module says what it is about."""

import ast

import pytest

from docs import rooms
from docs.settings import REPOSITORY


def test_the_page_is_as_the_code_is() -> None:
    assert rooms.PAGE.read_text(encoding="utf-8") == rooms.page(), "run: python -m docs.rooms"


def test_the_picture_has_every_folder_of_code_and_an_arrow_for_each_import() -> None:
    page = rooms.page()
    folders = {file.parent.name for file in REPOSITORY.glob("*/__init__.py")} - {"tests"}
    assert folders == {line[3:] for line in page.splitlines() if line.startswith("## ")}
    arrows = {line.strip() for line in page.splitlines() if " --> " in line}
    assert {"service --> flags", "rollback --> flags", "board --> rollback"} <= arrows
    assert not {arrow for arrow in arrows if arrow.startswith("common -->") or arrow.endswith("--> tests")}


@pytest.mark.parametrize("path", rooms.START.values())
def test_where_to_start_is_there(path: str) -> None:
    assert (REPOSITORY / path).is_file()


@pytest.mark.parametrize("room", rooms.ROOMS)
def test_each_module_says_what_it_is_about(room: str) -> None:
    for file in (REPOSITORY / room).rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        assert not source or ast.get_docstring(ast.parse(source)), file

"""docs/settings.md has every setting of every process, and no other."""

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from common.config import PREFIX
from common.durations import parse_duration
from docs import settings
from docs.rooms import ROOMS
from docs.settings import REPOSITORY
from flags.settings import ModelsFolder

VARIABLE = re.compile(r"\bCANARIO_[A-Z0-9_]*[A-Z0-9]\b")
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
# Between the stack and its own supervisor, and no setting.
INTERNAL = {"CANARIO_STACK_HOME", "CANARIO_STACK_SPEC"}


def places() -> Iterator[Path]:
    """Everything that names variables but tests, which make some up."""
    for room in ROOMS:
        yield from (
            path for path in (REPOSITORY / room).rglob("*") if path.suffix in {".py", ".md", ".yml", ".yaml"}
        )
    yield from (REPOSITORY / name for name in ("README.md", "Dockerfile", "docker-compose.yml", "Makefile"))


def named() -> dict[str, str]:
    """Each variable that is named anywhere, and a file that does."""
    return {
        name: str(path.relative_to(REPOSITORY))
        for path in places()
        if path != settings.PAGE
        for name in VARIABLE.findall(path.read_text(encoding="utf-8"))
    }


def loaded() -> Iterator[tuple[str, type[BaseModel]]]:
    """Each model that a process loads its settings as, and where."""
    for path in (path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")):
        here = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        tree = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        homes = {
            name.name: node.module
            for node in tree
            if isinstance(node, ast.ImportFrom) and node.module
            for name in node.names
        }
        for node in tree:
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "load_settings":
                model = ast.unparse(node.args[0])
                yield here, getattr(importlib.import_module(homes.get(model, here)), model)


def on_page() -> Mapping[str, set[str]]:
    """Each variable of the committed page, and the defaults that it tells: those of processes may differ."""
    found = defaultdict(set)
    for name, _, default, _ in ROW.findall(settings.PAGE.read_text(encoding="utf-8")):
        found[name].add(default)
    return found


def test_the_page_is_what_the_code_says() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "run: python -m docs.settings"


def test_every_variable_that_is_named_anywhere_is_on_the_page() -> None:
    known = {*on_page(), *(f"{name}_FILE" for name in on_page()), *INTERNAL}
    assert {name: file for name, file in named().items() if name not in known} == {}


def test_every_setting_that_a_process_loads_is_on_the_page() -> None:
    models = list(loaded())
    assert len(models) > 5, "the search finds the processes"
    for where, model in models:
        fields = {f"{PREFIX}{field.upper()}" for field in model.model_fields}
        assert fields <= on_page().keys(), where


def means(told: str, field: FieldInfo) -> bool:
    """Whether what the page tells as a default is one: given as the variable, it is as if there were none."""
    if field.is_required():
        return told == "**required**"
    if field.default is None or str(field.default) in ("", "()"):
        return told == "none"
    text = told.strip("`")
    if isinstance(field.default, timedelta):
        return parse_duration(text) == field.default
    if isinstance(field.default, Path):
        return REPOSITORY / text == REPOSITORY / field.default
    assert field.annotation is not None
    return bool(TypeAdapter[Any](field.annotation).validate_strings(text) == field.default)


def test_a_default_on_the_page_is_what_an_absent_variable_means() -> None:
    wrong = {
        (f"{PREFIX}{name.upper()}", str(field.default))
        for _, model in loaded()
        for name, field in model.model_fields.items()
        if not (name == "models" and issubclass(model, ModelsFolder))  # the text of its section tells that
        if not any(means(told, field) for told in on_page()[f"{PREFIX}{name.upper()}"])
    }
    assert not wrong


def test_no_variable_on_the_page_is_invented() -> None:
    """What no model declares is read somewhere by its name."""
    code = "".join(path.read_text(encoding="utf-8") for path in places() if path.suffix != ".md")
    code += "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("*.py"))
    for row in (*settings.STACK, *settings.MAKE, *settings.TESTS):
        assert re.search(rf"\b{row.name}\b", code), row.name


@pytest.mark.parametrize(
    "row", [row for one in settings.sections() for row in one.rows], ids=lambda row: row.name
)
def test_every_setting_says_what_it_is(row: settings.Row) -> None:
    assert len(row.meaning) >= 8
    assert row.kind
    assert "|" not in row.meaning

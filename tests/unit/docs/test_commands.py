"""The commands that pages tell people to type are there."""

import importlib
import re
from collections.abc import Iterator

import click
import pytest

from tests.unit.docs.pages import PAGES, REPOSITORY

MAKE = re.compile(r"(?:`|^(?=make [^\n]*(?:#|=))|&& )make ([a-z][a-z0-9-]*)", re.MULTILINE)
MODULE = re.compile(r"python3? -m ([a-z_.]+)((?: [a-z][a-z-]*)*)")
FOREIGN = {"venv", "json.tool", "pytest", "http.server", "pip"}


def all_pages() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Modules that are run, and the words that follow them up to the first option or argument."""
    seen = {(module, tuple(words.split())) for module, words in MODULE.findall(all_pages())}
    yield from sorted((module, words) for module, words in seen if module not in FOREIGN)


def test_make_has_every_word_that_a_page_tells() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    told = set(MAKE.findall(all_pages()))
    assert len(told) > 10
    assert told <= targets


@pytest.mark.parametrize(("module", "words"), [*commands()], ids=str)
def test_every_command_is_there(module: str, words: tuple[str, ...]) -> None:
    path = REPOSITORY / module.replace(".", "/")
    assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    if not (path / "__main__.py").is_file() or module == "stack":  # the stack's other words are programs
        return
    main = importlib.import_module(f"{module}.__main__")
    here = next(
        one for name in ("cli", "main") if isinstance(one := getattr(main, name, None), click.Command)
    )
    for word in words:
        if not isinstance(here, click.Group):
            break
        assert word in here.commands, f"python -m {module}: there is no {word}"
        here = here.commands[word]

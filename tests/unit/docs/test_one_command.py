"""People type `./canario` and nothing else: no page, message or help text names what is behind it."""

import re
import subprocess
from pathlib import Path

import pytest

from launcher.commands import COMMANDS
from stack.paths import REPOSITORY

# What starts a process, or is for who develops Canario.
PROCESSES = re.compile(
    r"files of before|--every"
    r"|python -m (board|service)\b|python -m service\.train|python -m (bench|docs|deploy)"
)
BEHIND = re.compile(
    r"python3? -m (flags|rollback|analysis|drills|stack|monitoring)(\.\w+)? [a-z-]"
    r"|\bmake (up|down|demo|story|drill|drill-rollback|example-fastapi|status|logs|shell|reset|clean)\b"
)
LEFT_OUT = (
    *("docs/decisions/", "CHANGELOG.md", "tests/", "locks/", "deploy/", "docs/kubernetes.md"),
    *("Makefile", "docker-compose.yml", ".ci/"),
)


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    kinds = (".md", ".py", ".yml", ".yaml", ".html", ".js")
    return [
        REPOSITORY / name
        for name in listed.stdout.split()
        if name.endswith(kinds) and not name.startswith(LEFT_OUT)
    ]


@pytest.mark.parametrize("file", pages(), ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_nothing_names_what_is_behind_it(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if BEHIND.search(line) and not PROCESSES.search(line)]
    assert not found, "say ./canario ..."


def test_every_command_that_is_named_exists() -> None:
    named = {
        (word.split()[-1], file.name)
        for file in pages()
        for word in re.findall(r"\./canario ((?:--home \S+ )?[a-z]+)", file.read_text(encoding="utf-8"))
    }
    assert named
    assert {(word, file) for word, file in named if word not in COMMANDS} == set()

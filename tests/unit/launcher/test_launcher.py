"""`./canario`: what it lists exists, what it says leads on, and it says so before anything is installed."""

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from launcher import completion
from launcher.commands import COMMANDS, STOP_NOW, listing
from stack.paths import REPOSITORY
from tests.unit.launcher.conftest import Canario

MODULES = sorted((REPOSITORY / "launcher").glob("*.py"))
THERE = [(name, one) for name, one in COMMANDS.items() if one.program]
MAIN = {"flags": "flags.__main__", "stack": "stack.cli"}


def test_the_list_begins_with_what_stops_a_challenger(canario: Canario) -> None:
    for words in ([], ["help"], ["--help"]):
        done = canario(*words, bare=True)
        assert done.returncode == 0
        assert done.stdout == f"{listing()}\n"
        assert done.stdout.startswith(f"{STOP_NOW}\n")


def test_so_does_that_of_make() -> None:
    # Under `make test` make would begin with the folder that it enters.
    done = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(STOP_NOW)


@pytest.mark.parametrize(("name", "command"), THERE, ids=[name for name, _ in THERE])
def test_a_command_is_one_of_its_program(name: str, command: object) -> None:
    one = COMMANDS[name]
    module = importlib.import_module(MAIN.get(one.program) or f"{one.program}.__main__")
    found = getattr(module, "cli", None) or module.main
    for word in one.words:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    assert isinstance(found, click.Command)


@pytest.mark.parametrize("words", [("check",), ("off",), ("rollout", "status"), ("status",), ("shell",)])
def test_before_anything_is_installed_it_says_what_to_do(canario: Canario, words: tuple[str, ...]) -> None:
    done = canario(*words, bare=True)
    assert done.returncode == 3
    assert "`./canario up`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_word_that_is_none_is_wrong_usage(canario: Canario) -> None:
    done = canario("chek")
    assert done.returncode == 2
    assert "did you mean `./canario check`?" in done.stderr
    assert STOP_NOW in done.stderr


def test_help_goes_by_the_name_that_people_type(canario: Canario) -> None:
    assert canario("rollout", "status", "--help").stdout.startswith("Usage: ./canario rollout status")
    assert canario("help", "report", "power").stdout.startswith("Usage: ./canario report power")


def test_a_program_gets_the_addresses_of_the_last_up(canario: Canario, tmp_path: Path) -> None:
    (tmp_path / "home" / "run").mkdir(parents=True)
    (tmp_path / "home" / "run" / "commands.json").write_text('{"CANARIO_UNLEASH_URL": "http://127.0.0.1:9"}')
    done = canario("exec", "printenv", "CANARIO_UNLEASH_URL")
    assert done.stdout == "http://127.0.0.1:9\n"
    other = canario("exec", "printenv", "CANARIO_UNLEASH_URL", CANARIO_UNLEASH_URL="http://unleash:4242")
    assert other.stdout == "http://unleash:4242\n", "what the shell names wins"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name)
def test_it_imports_nothing_that_must_be_installed(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    found: set[str] = set()
    for node in ast.walk(ast.parse(source, feature_version=(3, 8))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    ours = {"launcher", *(f"launcher.{one.stem}" for one in MODULES), "stack.paths", "yaml"}
    assert {name for name in found if name.split(".")[0] not in sys.stdlib_module_names} <= ours
    assert file.name == "__init__.py" or "from __future__ import annotations" in source


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("./canario rol", {"rollout", "rollouts"}),
        ("./canario rollout p", {"pause", "plan", "promote"}),
        ("./canario report a", {"abtest"}),
        ("./canario check --j", {"--json"}),
        ("./canario off ", set()),
    ],
)
def test_bash_completes(line: str, expected: set[str], tmp_path: Path) -> None:
    words = line.split(" ")
    script = (
        f"{completion.BASH}\ncompopt() {{ :; }}\nCOMP_WORDS=({' '.join(words[:-1])} '{words[-1]}')\n"
        f'COMP_CWORD={len(words) - 1}\n_canario ./canario\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == expected


def test_the_scripts_are_what_their_shells_can_read() -> None:
    for shell, script in completion.SCRIPTS.items():
        if program := shutil.which(shell):
            subprocess.run([program, "-n"], input=script, text=True, check=True)

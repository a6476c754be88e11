"""The part that runs before there is a venv."""

import ast
import shutil
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from stack import __main__, bootstrap, paths
from stack.paths import REPOSITORY, Cache
from stack.shell import MachineLacks, StackError

BEFORE_THE_VENV = (
    *("stack/__init__", "stack/__main__", "stack/bootstrap", "stack/paths", "stack/shell"),
    *("common/__init__", "common/errors", "stack/processes/__init__", "stack/processes/launch"),
)


@pytest.mark.parametrize("name", BEFORE_THE_VENV)
def test_it_imports_nothing_but_the_standard_library(name: str) -> None:
    tree = ast.parse((REPOSITORY / f"{name}.py").read_text())
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
    allowed = {name.replace("/", ".") for name in BEFORE_THE_VENV} | {
        "stack.cli",
        "common.options",
    }  # inside the venv
    assert {module for module in imported if module.split(".")[0] not in sys.stdlib_module_names} <= allowed


@pytest.mark.parametrize("name", [name for name in BEFORE_THE_VENV if "processes" not in name])
def test_an_old_python_can_read_it_and_say_that_it_is_too_old(name: str) -> None:
    source = (REPOSITORY / f"{name}.py").read_text()
    ast.parse(source, feature_version=(3, 7))
    assert "from __future__ import annotations" in source or name.endswith(("__init__", "errors"))


def test_a_cache_without_a_venv_is_not_ready(tmp_path: Path) -> None:
    assert not bootstrap.is_ready(Cache(tmp_path))


def test_a_venv_is_ready_until_the_lock_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, lock = Cache(tmp_path), tmp_path / "lock.txt"
    lock.write_text("a==1")
    monkeypatch.setattr(bootstrap, "LOCK", lock)
    python = bootstrap.venv_python(cache)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (cache.venv / bootstrap.STAMP).write_text(bootstrap._fingerprint(cache))
    assert bootstrap.is_ready(cache)
    lock.write_text("a==2")
    assert not bootstrap.is_ready(cache)


def test_a_venv_of_another_python_is_not_ready(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    python = bootstrap.venv_python(cache)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (cache.venv / bootstrap.STAMP).write_text(bootstrap._fingerprint(cache))
    python.unlink()
    python.symlink_to(shutil.which("sh") or "/bin/sh")
    assert not bootstrap.is_ready(cache)


class Version(NamedTuple):
    """As sys.version_info, as far as it is looked at."""

    major: int
    minor: int
    micro: int


class Usage(NamedTuple):
    """As shutil.disk_usage has it."""

    total: int
    used: int
    free: int


def test_a_python_that_is_too_old_gives_way_to_a_newer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", Version(3, 9, 2))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "python3.12" else None)
    assert bootstrap._new_enough_python() == "/usr/bin/python3.12"


def test_without_a_newer_one_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANARIO_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["stack", "up"])
    monkeypatch.setattr(sys, "version_info", Version(3, 9, 2))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == MachineLacks.exit_code == 3
    said = capsys.readouterr().err
    assert "error: Python 3.9.2" in said
    assert "./canario up PYTHON=" in said


def test_a_full_disk_is_found_before_the_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(2**40, 2**40, 100 * 2**20))
    with pytest.raises(MachineLacks, match=r"0\.1 GB free"):
        bootstrap._require_room(tmp_path)


def test_a_failing_pip_is_told_with_its_last_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("there-is-no-such-package==1  # and no hash of it\n")
    monkeypatch.setattr(bootstrap, "LOCK", lock)
    monkeypatch.setattr(bootstrap, "_make_venv", lambda _cache, _python: None)
    monkeypatch.setattr(bootstrap, "venv_python", lambda _cache: Path(sys.executable))
    with pytest.raises(StackError, match="ended with code 1") as caught:
        bootstrap.ensure_venv(Cache(tmp_path))
    assert "\n    ERROR: " in str(caught.value)
    assert str(tmp_path / "install-logs" / "pip.log") in str(caught.value)
    assert capsys.readouterr().out.endswith("... failed\n")


def test_the_lock_is_there_and_has_hashes() -> None:
    text = paths.LOCK.read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text

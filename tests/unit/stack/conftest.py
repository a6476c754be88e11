"""A site that exists only on paper, and programs that need no server."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stack.paths import Cache, Home
from stack.ports import DEFAULTS
from stack.processes.programs import Program
from stack.processes.supervisor import Supervisor
from stack.site import Settings, Site


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a path that is too long for a socket, and has characters that a config cannot hold."""
    made = Home(tmp_path / ("a folder; # %(here)s 'with' \"quotes\" " + "and a long name" * 6))
    for folder in (made.data, made.logs, made.run):
        folder.mkdir(parents=True)
    return made


@pytest.fixture
def site(home: Home) -> Site:
    """All programs on their usual ports."""
    made = Site(Cache.default(), home, Settings(), DEFAULTS)
    made.secrets.ensure()
    return made


@pytest.fixture
def supervisor(home: Home) -> Iterator[Supervisor]:
    """Not started; ended after the test."""
    made = Supervisor(home)
    yield made
    with suppress(OSError):  # at once: an orderly end takes seconds, and has its own test
        os.kill(int((home.run / "supervisord.pid").read_text()), signal.SIGKILL)
    made.shutdown()


def python_program(name: str, code: str, **changes: object) -> Program:
    """A program that runs `code`."""
    values: dict[str, object] = {
        "name": name,
        "title": name,
        "command": (sys.executable, "-c", code),
        "environment": {"PATH": "/usr/bin:/bin"},
        "stage": 1,
        **changes,
    }
    return Program(**values)  # type: ignore[arg-type]

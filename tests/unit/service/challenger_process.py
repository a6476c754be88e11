"""Challengers' processes, and how they are told to misbehave."""

import json
from collections.abc import Callable
from typing import Any

import psutil

from service.settings import Settings
from tests.unit.waiting import until


def drill(settings: Settings, **fault: Any) -> None:
    """What the challenger is to do wrong from the next call on."""
    assert settings.drill_file is not None
    settings.drill_file.write_text(json.dumps(fault), encoding="utf-8")


def child_of_this_process() -> psutil.Process:
    """The one challenger's process; that of the test before may take a moment to end."""
    return _only(lambda: [run for server in _servers() for run in server.children()])


def fork_server_of_this_process() -> psutil.Process:
    """What that is forked from."""
    return _only(_servers)


def _only(look: Callable[[], list[psutil.Process]]) -> psutil.Process:
    found: list[psutil.Process] = []

    def is_alone() -> bool:
        try:
            found[:] = [each for each in look() if each.status() != psutil.STATUS_ZOMBIE]
        except psutil.Error:  # one has just ended
            return False
        return len(found) == 1

    until(is_alone)
    return found[0]


def _servers() -> list[psutil.Process]:
    return [
        each for each in psutil.Process().children() if "challenger.fork_server" in " ".join(each.cmdline())
    ]

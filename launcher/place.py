"""Where the parts of Canario are on this machine: a Python that has them, addresses, and files of tokens."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from collections.abc import Mapping

from launcher.commands import NAME
from stack.paths import REPOSITORY, Cache, Home

NOT_READY = 3
"""Exit code where something is missing that a command brings; the message has the command."""
_INSTALLED = "click"  # every program needs it, and no plain Python has it


class NotReady(Exception):  # noqa: N818 - says what is the matter
    """Something must be done first; the text says what."""

    exit_code = NOT_READY


def python() -> str:
    """A Python that has what the programs import: that of the venv, else this one. Raises NotReady."""
    own = Cache.default().venv / "bin" / "python"
    if os.access(str(own), os.X_OK):
        return str(own)
    if importlib.util.find_spec(_INSTALLED):
        return sys.executable
    raise NotReady(
        f"Nothing is installed yet: `{NAME} up` installs and starts everything (the first time some minutes)."
    )


def environment(shell: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Addresses and files of tokens: those of the shell where it names an Unleash, else of the last `up`.

    Raises NotReady: there is neither.
    """
    if shell.get("CANARIO_UNLEASH_URL"):
        return dict(shell)
    try:
        stack = json.loads(Home.default().commands.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise NotReady(
            f"Nothing was started here yet: `{NAME} up` does. For an Unleash of your own set"
            " CANARIO_UNLEASH_URL and CANARIO_UNLEASH_ADMIN_TOKEN_FILE (docs/settings.md)."
        ) from None
    return {**shell, **stack}


def is_of_this_machine(variables: Mapping[str, str]) -> bool:
    """Whether these variables name the Unleash of this home's stack."""
    try:
        return environment({})["CANARIO_UNLEASH_URL"] == variables.get("CANARIO_UNLEASH_URL")
    except NotReady:
        return False


def is_up() -> bool:
    """Whether the stack of this home runs: its supervisord answers on its socket."""
    try:
        folder = os.open(str(Home.default().run), os.O_RDONLY)
    except OSError:
        return False
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"/proc/self/fd/{folder}/supervisor.sock")  # its path may be too long for a socket
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(folder)


def on_path(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables`, so that a child finds Canario's modules from any folder."""
    known = variables.get("PYTHONPATH", "")
    return {**variables, "PYTHONPATH": f"{REPOSITORY}:{known}" if known else str(REPOSITORY)}


def has(program: str) -> bool:
    """Whether a program is here; an image has only what it serves with."""
    return (REPOSITORY / program.partition(".")[0]).is_dir()

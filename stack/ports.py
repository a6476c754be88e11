"""Which program listens on which port of 127.0.0.1.

A port once given is remembered in the home, so that addresses stay the same; one in use is replaced by a free
one, and said.
"""

import json
import random
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from stack.shell import StackError

HOST = "127.0.0.1"
DEFAULTS = {
    "postgres": 5433,
    "unleash": 4242,
    "service": 8000,
    "prometheus": 9090,
    "alertmanager": 9093,
    "rollback": 9300,
    "rollout": 9301,
    "board": 8100,
}
# Below the range from which the system takes ports for outgoing connections (32768 and up).
FREE_RANGE = range(20_000, 32_000)

Mode = Literal["default", "free"]


@dataclass(frozen=True)
class Assignment:
    """The ports by program, and a sentence for each that is not where one would look for it."""

    ports: dict[str, int]
    notices: tuple[str, ...]


def assign(
    *,
    asked: Mapping[str, int],
    remembered: Mapping[str, int],
    ours: Collection[str] = (),
    mode: Mode = "default",
    holder: Callable[[int], str | None],
) -> Assignment:
    """Choose a port for each program: the one asked for, or the remembered, or the default, or a free one.

    `ours` are the programs that run already: their remembered ports are in use, by themselves. With mode
    `free`, one without a remembered port gets any free one instead of the default. `holder` says who uses a
    port, None where nobody does.

    Raises:
        StackError: a port that was asked for is in use, or asked for twice.
    """
    ports: dict[str, int] = {}
    notices: list[str] = []
    for name, default in DEFAULTS.items():
        known = remembered.get(name)
        if name in ours and known is not None and asked.get(name, known) == known:
            ports[name] = known
            continue
        taken = set(ports.values()) | set(asked.values())
        if name in asked:
            port = asked[name]
            user = "another program of this stack" if port in ports.values() else holder(port)
            if user:
                raise StackError(
                    f"port {port}, asked for {name}, is in use by {user}: "
                    "name another one, or none, and a free one is taken"
                )
        elif name not in remembered and mode == "free":
            port = _first_free(_shuffled(FREE_RANGE), taken, holder)
        else:
            wanted = remembered.get(name, default)
            port = wanted
            user = "another program of this stack" if wanted in taken else holder(wanted)
            if user:
                port = _first_free(range(wanted + 1, 65_536), taken, holder)
                notices.append(f"port {wanted} is in use by {user}: {name} gets {port}, now and from now on")
        ports[name] = port
    return Assignment(ports, tuple(notices))


def holder(port: int) -> str | None:
    """Who keeps a server from listening on `port`; None if nobody does."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no use
        try:
            server.bind((HOST, port))
        except OSError:
            return _name_of_holder(port)
    return None


def free_port() -> int:
    """A port that no server of this machine listens on, for a program that is none of a stack."""
    return _first_free(_shuffled(FREE_RANGE), (), holder)


def _name_of_holder(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if (
                connection.status == psutil.CONN_LISTEN
                and address
                and address.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"  # of another user: the system does not tell


def recall(file: Path) -> dict[str, int]:
    """The remembered ports of a home; none where there is no file, or no usable one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: port for name, port in found.items() if name in DEFAULTS and isinstance(port, int)}


def remember(file: Path, ports: Mapping[str, int]) -> None:
    """Write the ports of a home."""
    file.write_text(json.dumps(dict(ports), indent=2) + "\n", encoding="utf-8")


def _first_free(
    candidates: Iterable[int], taken: Collection[int], holder: Callable[[int], str | None]
) -> int:
    for port in candidates:
        if port not in taken and holder(port) is None:
            return port
    raise StackError("no port of this machine is free")


def _shuffled(ports: range) -> list[int]:
    return random.sample(ports, len(ports))  # stacks that start at once should not race for the same port

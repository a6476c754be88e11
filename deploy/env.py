"""`python3 -m deploy.env`: write the env file of docker-compose.yml, with new random secrets.

Standard library only, and any Python from 3.8 on: a machine that has Docker need have nothing else of ours.
"""

from __future__ import annotations

import argparse
import os
import secrets
import string
import sys
from pathlib import Path
from typing import NamedTuple

DEFAULT_FILE = Path(__file__).resolve().parent.parent / ".env"

_HEAD = """\
# Secrets of the stack that docker-compose.yml describes: keep this file to yourself.
# Made by `python3 -m deploy.env`. Servers take these in when they first start with empty volumes, so a new
# file fits new volumes only: `docker compose down --volumes`, then `python3 -m deploy.env --force`.
"""
_OPTIONS_HEAD = """
# What may be chosen beside, each with its default. There is no TLS: put a proxy in front before you let other
# machines in. Any other setting of the service, the jobs and the board (docs/settings.md) may stand in a file
# settings.env beside this one.
"""


class Option(NamedTuple):
    """What may be chosen; `default` is that of docker-compose.yml, `example` stands in where it is empty."""

    default: str
    kind: str
    about: str
    example: str = ""


SECRETS = {
    "CANARIO_POSTGRES_PASSWORD": "PostgreSQL's superuser, which no service uses",
    "CANARIO_UNLEASH_DB_PASSWORD": "Unleash's role in PostgreSQL",
    "CANARIO_UNLEASH_SESSION_SECRET": "signs the sessions of the Unleash UI",
    "CANARIO_UNLEASH_ADMIN_PASSWORD": "the user `admin` of the Unleash UI",
    "CANARIO_UNLEASH_SDK_TOKEN": "the service reads flags with it",
    "CANARIO_ADMIN_TOKEN": "bearer token of the service's /admin",
    "CANARIO_BOARD_TOKEN": "whoever has it may read the rollout board",
    "CANARIO_GRAFANA_ADMIN_PASSWORD": "the user `admin` of Grafana",
}
OPTIONS = {
    "CANARIO_PUBLISH_ADDRESS": Option(
        "127.0.0.1", "address", "address of this machine that all ports below are open on"
    ),
    "CANARIO_SERVICE_PORT": Option("8000", "number", "port of the service"),
    "CANARIO_UNLEASH_PORT": Option("4242", "number", "port of Unleash"),
    "CANARIO_PROMETHEUS_PORT": Option("9090", "number", "port of Prometheus"),
    "CANARIO_BOARD_PORT": Option("8100", "number", "port of the rollout board"),
    "CANARIO_ALERTMANAGER_PORT": Option("9093", "number", "port of Alertmanager"),
    "CANARIO_GRAFANA_PORT": Option("3000", "number", "port of Grafana"),
    "CANARIO_SERVICE_REPLICAS": Option("2", "number", "containers of the service, behind one port"),
    "CANARIO_SERVICE_CPUS": Option("2", "number", "cores that each of them may use"),
    "CANARIO_SERVICE_MEMORY_MB": Option(
        "1024", "MiB", "memory of each of them: 512, and that of a challenger for each worker"
    ),
    "CANARIO_GUEST_MEMORY_MB": Option("256", "MiB", "memory of a challenger's process; each worker has one"),
    "CANARIO_LEASE": Option(
        "15m", "duration", "how long users have the challenger without a word of the rollback job, or off"
    ),
    "CANARIO_NOTIFY_URLS": Option(
        "",
        "addresses",
        "whom to tell of rollbacks, with spaces between: https://appriseit.com/services/",
        "slack://TokenA/TokenB/TokenC jsons://host/path",
    ),
    "CANARIO_ALERTMANAGER_FOLDER": Option(
        "./monitoring", "folder", "with alertmanager.yml, which says whom Alertmanager tells of alerts"
    ),
}


def password() -> str:
    """A password that Unleash's own rule accepts, of characters that an env file takes literally.

    The rule: lower and upper case, a digit, a special character, and no character three times in a row.
    """
    alphabet = string.ascii_letters + string.digits + "-_"
    needed = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_")
    while True:
        word = "".join(secrets.choice(alphabet) for _ in range(28))
        runs = any(a == b == c for a, b, c in zip(word, word[1:], word[2:]))  # noqa: B905 - strict= came in 3.10
        if not runs and all(set(kind) & set(word) for kind in needed):
            return word


def content() -> str:
    """The text of an env file with new secrets."""
    new = {
        "CANARIO_UNLEASH_ADMIN_PASSWORD": password(),
        "CANARIO_UNLEASH_SDK_TOKEN": f"default:production.{secrets.token_hex(32)}",
    }
    lines = [_HEAD]
    for name, about in SECRETS.items():
        value = new.get(name) or secrets.token_urlsafe(32)
        lines.append(f"\n# {about}\n{name}={value}\n")
    lines.append(_OPTIONS_HEAD)
    for name, option in OPTIONS.items():
        lines.append(f"\n# {option.about}\n#{name}={option.default or option.example}\n")
    return "".join(lines)


def write(file: Path, text: str, *, overwrite: bool) -> None:
    """Write `text` to a new `file` that nobody else can read at any moment (mode 0600).

    Raises:
        FileExistsError: `file` exists and may not be replaced.
        OSError: the folder cannot be written.
    """
    if overwrite:
        file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(text)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m deploy.env",
        description="Write the env file of docker-compose.yml, with new random secrets and mode 0600.",
        epilog="Exit codes: 0 written; 1 the file exists already; 2 wrong usage, or it cannot be written.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=DEFAULT_FILE,
        metavar="FILE",
        help="default: .env beside docker-compose.yml",
    )
    parser.add_argument("--force", action="store_true", help="replace the file; its secrets are lost")
    options = parser.parse_args(arguments)
    try:
        write(options.out, content(), overwrite=options.force)
    except FileExistsError:
        print(
            f"error: {options.out} exists, and the volumes of the stack were made with its secrets."
            " To begin anew: `docker compose down --volumes`, then this command with --force",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(f"error: {options.out} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}; now: docker compose up --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main())

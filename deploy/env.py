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

DEFAULT_FILE = Path(__file__).resolve().parent.parent / ".env"

_HEAD = """\
# Secrets of the stack that docker-compose.yml describes: keep this file to yourself.
# Made by `python3 -m deploy.env`. Servers take these in when they first start with empty volumes, so a new
# file fits new volumes only: `docker compose down --volumes`, then `python3 -m deploy.env --force`.
"""
_TAIL = """
# To choose other ports, or to let other machines in, uncomment. There is no TLS: put a proxy in front first.
#CANARIO_PUBLISH_ADDRESS=127.0.0.1
#CANARIO_SERVICE_PORT=8000
#CANARIO_UNLEASH_PORT=4242
#CANARIO_PROMETHEUS_PORT=9090

# How long users have the challenger without a word of the rollback job; off: for ever.
#CANARIO_LEASE=15m

# Whom to tell of rollbacks, with spaces between: https://appriseit.com/services/
#CANARIO_NOTIFY_URLS=slack://TokenA/TokenB/TokenC jsons://host/path
"""


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
    values = {
        "CANARIO_POSTGRES_PASSWORD": (
            secrets.token_urlsafe(32),
            "PostgreSQL's superuser, which no service uses",
        ),
        "CANARIO_UNLEASH_DB_PASSWORD": (secrets.token_urlsafe(32), "Unleash's role in PostgreSQL"),
        "CANARIO_UNLEASH_SESSION_SECRET": (secrets.token_urlsafe(32), "signs the sessions of the Unleash UI"),
        "CANARIO_UNLEASH_ADMIN_PASSWORD": (password(), "the user `admin` of the Unleash UI"),
        "CANARIO_UNLEASH_SDK_TOKEN": (
            f"default:production.{secrets.token_hex(32)}",
            "the service reads flags with it",
        ),
        "CANARIO_ADMIN_TOKEN": (secrets.token_urlsafe(32), "bearer token of the service's /admin"),
    }
    return (
        _HEAD + "".join(f"\n# {about}\n{name}={value}\n" for name, (value, about) in values.items()) + _TAIL
    )


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

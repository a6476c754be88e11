"""The secret of a service: by it users are hashed in the log, and request ids are signed."""

import contextlib
import logging
import os
import secrets
import tempfile
from hashlib import blake2b
from pathlib import Path

from service.settings import Settings

log = logging.getLogger(__name__)

SALT_FILE = "log-salt"
SHORTEST_SECRET = 16


def secret(settings: Settings) -> bytes:
    """The setting `log_salt`; without it a random one, kept in the state folder so that it stays the same.

    Where it cannot be kept, it lasts as long as this process: serving users matters more.
    """
    if settings.log_salt:
        return _shortened(settings.log_salt.get_secret_value())
    path = settings.state_dir / SALT_FILE
    try:
        return _shortened(_kept(path) or _keep(path))
    except (OSError, ValueError) as error:
        log.warning(
            "the salt of the prediction log cannot be kept: users have other hashes in each worker and after "
            "each start; set CANARIO_LOG_SALT: %s",
            error,
        )
        return secrets.token_bytes(32)


def _kept(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    if len(text) < SHORTEST_SECRET:
        raise ValueError(f"{path} is too short for a secret: delete it, and a new one is made")
    return text


def _keep(path: Path) -> str:
    """Make the file; whichever worker is first decides what is in it, and nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{SALT_FILE}-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path.read_text(encoding="ascii").strip()


def _shortened(text: str) -> bytes:
    """Any text as a key of 32 bytes."""
    return blake2b(text.encode(), digest_size=32).digest()

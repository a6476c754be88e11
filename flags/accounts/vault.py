"""The folder of tokens: `<user>.token` holds the secret alone, `<user>.json` its id and expiry, no secret.

The folder is 0700 and every file 0600; files change as a whole or not at all.
"""

import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import AwareDatetime, SecretStr, ValidationError

from common.config import ConfigError, StrictModel
from common.files import replace_whole
from flags.unleash.models import NewToken

LABEL = ".json"


class Label(StrictModel):
    """What is known about a kept token besides its secret."""

    id: int
    expires_at: AwareDatetime


@dataclass(frozen=True)
class Kept:
    """A token from the folder; `label` is None where there is none that can be read."""

    secret: SecretStr
    label: Label | None


class Vault:
    """Tokens in one folder."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it is missing.

        Raises:
            ConfigError: it cannot be made, or other users may read it.
        """
        self.folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(folder.stat().st_mode)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from error
        if mode & 0o077:
            raise ConfigError(
                f"{folder}: is open to other users (mode {mode:04o}); it will hold tokens: run"
                f" `chmod 700 {folder}`, or name another folder"
            )

    def path(self, user: str) -> Path:
        """Where the token of `user` lies."""
        return self.folder / f"{user}.token"

    def read(self, user: str) -> Kept | None:
        """The token of `user`, None where there is none.

        Raises:
            ConfigError: the file is there and cannot be read.
        """
        try:
            secret = self.path(user).read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path(user)}: cannot be read: {error.strerror}") from error
        return Kept(SecretStr(secret), label_beside(self.path(user)))

    def write(self, user: str, token: NewToken) -> None:
        """Keep a new token. The label goes first: with the old secret it only makes a renewal come late.

        Raises:
            ConfigError: the folder cannot be written.
        """
        label = Label(id=token.id, expires_at=token.expires_at)
        try:
            replace_whole(self._label(user), label.model_dump_json() + "\n", durable=True)
            replace_whole(self.path(user), token.secret + "\n", durable=True)
        except OSError as error:
            raise ConfigError(f"{self.folder}: cannot be written: {error.strerror}") from error

    def _label(self, user: str) -> Path:
        return self.path(user).with_suffix(LABEL)


def label_beside(token: Path) -> Label | None:
    """What is known about the token in this file; None where no label lies beside it that can be read."""
    try:
        return Label.model_validate_json(token.with_suffix(LABEL).read_bytes())
    except (OSError, ValidationError):
        return None

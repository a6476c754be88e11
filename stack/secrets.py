"""The secrets of one stack: random, made at the first `up`, one 0600 file each in a 0700 folder."""

import json
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from common.files import replace_whole
from stack.shell import StackError

PAT_USERS = (
    *("canario-flags", "canario-rollback", "canario-rollout", "canario-service"),
    *("canario-board", "canario-mesh"),
)

RENEW_BEFORE = timedelta(days=30)  # as flags/accounts/bootstrap.py, which writes when a token ends beside it


def strong_password() -> str:
    """A random password that Unleash accepts: long, with both cases, a digit and a special character."""
    body = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))
    required = (string.ascii_uppercase, string.ascii_lowercase, string.digits, "!-_.")
    return "".join(secrets.choice(kind) for kind in required) + body  # no dot at the end of a printed line


def sdk_token() -> str:
    """A backend token of Unleash for the environment production of the project default."""
    return f"default:production.{secrets.token_hex(24)}"


MAKERS: dict[str, Callable[[], str]] = {
    "postgres-superuser.password": strong_password,
    "postgres-unleash.password": strong_password,
    "unleash-admin.password": strong_password,
    "unleash-session.secret": lambda: secrets.token_hex(24),
    "unleash-sdk.token": sdk_token,
    "service-admin.token": lambda: secrets.token_urlsafe(24),
}


@dataclass(frozen=True)
class Secrets:
    """The files in `folder`: those of MAKERS, and `<user>.token` for each of PAT_USERS (flags bootstrap)."""

    folder: Path

    def ensure(self) -> None:
        """Make what is missing; leave alone what is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for name, make in MAKERS.items():
            if not self.path(name).exists():
                for unfinished in self.folder.glob(f".{name}*"):  # of a killed run
                    unfinished.unlink()
                replace_whole(self.path(name), make())

    def tokens_are_due(self) -> bool:
        """Whether a token of PAT_USERS is missing, or ends so soon that `flags bootstrap` makes a new one."""
        return not all(self._lasts(self.token(user)) for user in PAT_USERS)

    def path(self, name: str) -> Path:
        return self.folder / name

    def token(self, user: str) -> Path:
        """The file of the personal access token of an Unleash user."""
        return self.path(f"{user}.token")

    def read(self, name: str) -> str:
        """The secret `name`.

        Raises:
            StackError: there is none; the text names those that there are.
        """
        try:
            return self.path(name).read_text(encoding="utf-8").strip()
        except OSError as error:
            known = ", ".join(sorted(path.name for path in self.folder.glob("*"))) or "none"
            raise StackError(f"{self.path(name)} cannot be read: {error}. There are: {known}.") from error

    def _lasts(self, token: Path) -> bool:
        try:
            label = json.loads(token.with_suffix(".json").read_bytes())
            ends = datetime.fromisoformat(label["expires_at"])
            return token.exists() and ends - datetime.now(UTC) >= RENEW_BEFORE
        except (OSError, ValueError, TypeError, LookupError):
            return False

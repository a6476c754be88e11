"""Canario's users of Unleash, and its admin API for users and tokens: logging in, roles, access tokens.

Unleash allows ten log-ins a minute and ten tokens a user, and changes a password only at its own address:
`PUT user-admin/:id` with a password answers 200 and changes nothing.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import SecretStr

from flags.unleash.errors import NotFound
from flags.unleash.http import CookieAuth, TokenAuth, Transport
from flags.unleash.models import Me, NewToken, Token, Tokens, User, Users

MAX_TOKENS: Final = 10  # PAT_LIMIT of Unleash 7 and 8: expired tokens count
USER_ADMIN: Final = "/api/admin/user-admin"
OWN_TOKENS: Final = "/api/admin/user/tokens"
EDITOR: Final = "Editor"
VIEWER: Final = "Viewer"


@dataclass(frozen=True)
class ServiceUser:
    """A user of Unleash that is a program.

    Attributes:
        role: its root role in Unleash. A Viewer reads everything of flags and changes nothing.
    """

    username: str
    name: str
    role: str = EDITOR


COMMAND_LINE: Final = "canario-flags"
ROLLBACK_USER: Final = "canario-rollback"
ROLLOUT_USER: Final = "canario-rollout"
USERS: Final = (
    ServiceUser(COMMAND_LINE, "Canario flags command line"),
    ServiceUser(ROLLBACK_USER, "Canario rollback job"),
    ServiceUser(ROLLOUT_USER, "Canario rollout plan (advance)"),
    ServiceUser("canario-service", "Canario service (admin routes)"),
    ServiceUser("canario-board", "Canario rollout board", VIEWER),
    ServiceUser("canario-mesh", "Canario mesh job (weights of routes)", VIEWER),
)
AUTOMATION: Final = frozenset(user.username for user in USERS)


def is_automation(username: str) -> bool:
    """Whether this user of Unleash is one of Canario's programs, and not a person in the UI."""
    return username in AUTOMATION


def logged_in(url: str, username: str, password: SecretStr) -> Transport:
    """A session of this user.

    Raises:
        Unauthorized: wrong user or password. Rejected: more than ten log-ins in a minute.
    """
    transport = Transport(
        url,
        CookieAuth(),
        refused="set CANARIO_UNLEASH_ADMIN_USER and CANARIO_UNLEASH_ADMIN_PASSWORD (or _FILE)",
    )
    body = {"username": username, "password": password.get_secret_value()}
    transport.send("POST", "/auth/simple/login", body, repeatable=False)
    return transport


class UserAdmin:
    """Users of the server, seen by an administrator."""

    def __init__(self, transport: Transport) -> None:
        """`transport` carries the session of a user with the root role Admin."""
        self._transport = transport

    def all(self) -> Users:
        """Every user, and the root roles there are."""
        return self._transport.get(Users, USER_ADMIN)

    def create(self, username: str, name: str, role: int, password: SecretStr) -> User:
        """Make a user that gets no mail. Raises Rejected (409) where the name is taken."""
        body = {
            "username": username,
            "name": name,
            "rootRole": role,
            "password": password.get_secret_value(),
            "sendEmail": False,
        }
        return self._transport.post(User, USER_ADMIN, body)

    def set_password(self, user: int, password: SecretStr) -> None:
        """Replace the password; sessions of the user end, tokens go on working."""
        path = f"{USER_ADMIN}/{user}/change-password"
        self._transport.send("POST", path, {"password": password.get_secret_value()}, repeatable=True)

    def set_role(self, user: int, role: int) -> None:
        """Give the user another root role, and leave the rest."""
        self._transport.send("PUT", f"{USER_ADMIN}/{user}", {"rootRole": role}, repeatable=True)


class OwnAccount:
    """A user and its own tokens, seen by the user itself: by a session or by one of the tokens."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def by_token(cls, url: str, token: SecretStr) -> "OwnAccount":
        """The user whose personal access token this is. Raises ConfigError where it cannot be one."""
        return cls(Transport(url, TokenAuth(token), refused="the token is wrong or has ended"))

    def me(self) -> Me:
        """Who this is, and what it may do. Raises Unauthorized where the token is dead."""
        return self._transport.get(Me, "/api/admin/user")

    def tokens(self) -> tuple[Token, ...]:
        """All tokens, also expired ones."""
        return self._transport.get(Tokens, OWN_TOKENS).pats

    def create_token(self, description: str, expires_at: datetime) -> NewToken:
        """Make a token. Raises Forbidden where the user has ten."""
        body = {"description": description, "expiresAt": expires_at.isoformat()}
        return self._transport.post(NewToken, OWN_TOKENS, body)

    def delete_token(self, token: int) -> None:
        """Delete a token; one that is gone already is no fault."""
        with suppress(NotFound):  # from Unleash 7.6; 8.2 answers 200
            self._transport.send("DELETE", f"{OWN_TOKENS}/{token}", repeatable=True)

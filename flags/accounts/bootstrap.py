"""Makes the Unleash users that Canario's processes act as, and a personal access token for each.

Each process has its own user, so that Unleash's event log, and with it every product manager, can tell who
changed a flag. Which role they need, and why, is in docs/decisions/0003-unleash-roles.md.

A run with working tokens asks Unleash once for each and needs no password. A token that ends soon renews
itself. Only a missing or dead one takes an administrator: the user gets a new random password, which is used
once and kept nowhere.
"""

import secrets
import socket
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Final

from pydantic import SecretStr

from common.config import ConfigError
from flags.accounts.users import EDITOR, MAX_TOKENS, USERS, OwnAccount, ServiceUser, UserAdmin, logged_in
from flags.accounts.vault import Kept, Vault
from flags.settings import BootstrapSettings
from flags.unleash.errors import Unauthorized, UnexpectedAnswer
from flags.unleash.models import Me, NewToken, User

LIFETIME: Final = timedelta(days=365)
RENEW_BEFORE: Final = timedelta(days=30)
NEEDED: Final = (  # to create a flag, add and change its strategy, turn it on and off, lease, mark, narrow it
    "CREATE_FEATURE",
    "UPDATE_FEATURE",
    "CREATE_FEATURE_STRATEGY",
    "UPDATE_FEATURE_STRATEGY",
    "UPDATE_FEATURE_ENVIRONMENT",
    "CREATE_SEGMENT",
    "UPDATE_SEGMENT",
    "CREATE_TAG_TYPE",
    "CREATE_CONTEXT_FIELD",
)


class Action(StrEnum):
    """What became of a user's token."""

    KEPT = "kept"
    RENEWED = "renewed"
    MADE = "made"


@dataclass(frozen=True)
class Outcome:
    """One user after a run; `why` says what was done and for which reason, "" for nothing."""

    username: str
    action: Action
    expires_at: datetime
    why: str


class Bootstrap:
    """One run against one server."""

    def __init__(self, settings: BootstrapSettings, vault: Vault) -> None:
        self._settings = settings
        self._vault = vault

    def run(self) -> Iterator[Outcome]:
        """Bring every user and token into order, one outcome each as soon as it is known.

        Raises:
            ConfigError: the folder cannot be used, or the administrator's password is needed and absent.
            AdminError: Unleash does not answer, or not so.
        """
        for user in USERS:
            yield self._ensure(user)

    def _ensure(self, user: ServiceUser) -> Outcome:
        kept = self._vault.read(user.username)
        if kept is None:
            return self._make(user, "there was none")
        account = self._account(kept)
        try:
            me = account.me() if account else None
        except Unauthorized:
            me = None
        if account is None or me is None:
            return self._make(user, "the old one no longer worked")
        if me.user.username != user.username:
            return self._make(user, f"the old one belonged to {me.user.username}")
        role = self._mended_role(user, me)
        if kept.label is None:
            return self._renew(user, account, "it was not known when the old one ends", role)
        ends = kept.label.expires_at
        if ends - datetime.now(UTC) >= RENEW_BEFORE:
            return Outcome(user.username, Action.KEPT, ends, role)
        # The old one goes on until then: who holds it takes up the new one when it looks at its file again.
        return self._renew(user, account, f"the old one would have ended on {ends:%Y-%m-%d}", role)

    def _account(self, kept: Kept) -> OwnAccount | None:
        try:
            return OwnAccount.by_token(self._settings.unleash_url, kept.secret)
        except ConfigError:  # not even the form of a token
            return None

    def _make(self, user: ServiceUser, why: str) -> Outcome:
        """A token by way of the administrator: make the user or reset its password, and log in as it."""
        password = new_password()
        found = self._find(user)
        if found is None:
            self._users.create(user.username, user.name, self._role(user), password)
        else:
            self._users.set_password(found.id, password)
        account = OwnAccount(logged_in(self._settings.unleash_url, user.username, password))
        role = self._mended_role(user, account.me())
        token = self._new_token(user, account)
        return Outcome(user.username, Action.MADE, token.expires_at, _joined(why, role))

    def _renew(self, user: ServiceUser, account: OwnAccount, *why: str) -> Outcome:
        """A token by way of the one that still works."""
        token = self._new_token(user, account)
        return Outcome(user.username, Action.RENEWED, token.expires_at, _joined(*why))

    def _new_token(self, user: ServiceUser, account: OwnAccount) -> NewToken:
        now = datetime.now(UTC)
        self._make_room(account, now)
        # People see this in Unleash, and two of one name are refused.
        description = f"canario on {socket.gethostname()}, {now:%Y-%m-%d %H:%M:%S} {secrets.token_hex(2)}"
        token = account.create_token(description, now + LIFETIME)
        self._vault.write(user.username, token)
        return token

    def _make_room(self, account: OwnAccount, now: datetime) -> None:
        """Unleash allows ten tokens a user: drop the ended ones, or else the one unused for longest."""
        tokens = account.tokens()
        if len(tokens) < MAX_TOKENS:
            return
        ended = [token for token in tokens if token.expires_at <= now]
        idle = sorted(tokens, key=lambda token: token.seen_at or token.created_at)
        for token in ended or idle[: len(tokens) - MAX_TOKENS + 1]:
            account.delete_token(token.id)

    def _mended_role(self, user: ServiceUser, me: Me) -> str:
        """Give the user its role back where it may not do its work, or may do more than look.

        Returns what was done, "" for nothing.
        """
        project, environment = self._settings.unleash_project, self._settings.unleash_environment
        may = [
            any(permission.covers(needed, project, environment) for permission in me.permissions)
            for needed in NEEDED
        ]
        if all(may) if user.role == EDITOR else not any(may):
            return ""
        found = self._find(user)
        if found is None:
            raise UnexpectedAnswer(f"Unleash knows the token of {user.username}, and no such user")
        self._users.set_role(found.id, self._role(user))
        could = "could not" if user.role == EDITOR else "could"
        return f"it {could} change flags: its role is {user.role} again"

    def _find(self, user: ServiceUser) -> User | None:
        return next((one for one in self._users.all().users if one.username == user.username), None)

    def _role(self, user: ServiceUser) -> int:
        for role in self._users.all().root_roles:
            if role.name == user.role:
                return role.id
        raise UnexpectedAnswer(f"Unleash has no root role {user.role}")

    @cached_property
    def _users(self) -> UserAdmin:
        """The administrator, logged in when first needed: Unleash allows ten log-ins a minute."""
        password = self._settings.unleash_admin_password
        if password is None:
            raise ConfigError(
                "CANARIO_UNLEASH_ADMIN_PASSWORD: is needed to make a token or mend a role"
                " (set it, or its _FILE)"
            )
        return UserAdmin(logged_in(self._settings.unleash_url, self._settings.unleash_admin_user, password))


def new_password() -> SecretStr:
    """A password of 117 bits that Unleash takes: each kind of character, and none three times in a row."""
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.!")
    return SecretStr("".join(secrets.choice(kind) for _ in range(8) for kind in kinds))


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))

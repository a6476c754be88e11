"""Whether a job's token of Unleash still lets it do its work, and until when. It is asked, never used to act.

A job that only reads would find out that it may not act in the moment in which it must.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr

from common.config import FileSecret
from common.errors import CanarioError
from common.names import TokenMetric
from common.schedule import keep_running
from flags.accounts.users import OwnAccount
from flags.accounts.vault import label_beside
from flags.unleash.admin import UnleashSettings
from flags.unleash.errors import Forbidden, Unauthorized
from flags.unleash.models import Me, Token

EVERY: Final = timedelta(minutes=1)
SHARES: Final = ("UPDATE_FEATURE_ENVIRONMENT", "UPDATE_FEATURE", "UPDATE_FEATURE_STRATEGY")
LEASES: Final = ("UPDATE_SEGMENT",)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TokenState:
    """What Unleash says of a token.

    Attributes:
        ends: when it ends; None where that is not known.
        fault: why it cannot do the work, in a sentence; None where it can.
    """

    ends: datetime | None
    fault: str | None


Told = tuple[Me, tuple[Token, ...]]
"""The user whose token it is, and all its tokens."""


class Accounts:
    """What Unleash says of tokens' users: one answer for all checks that ask within half a period."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is asked yet."""
        self._clock, self._lock = clock, threading.Lock()
        self._told: dict[tuple[str, str], tuple[float, Told | CanarioError]] = {}

    def read(self, url: str, token: SecretStr) -> Told:
        """Raises AdminError, also one that was raised for another check just before."""
        key = url, token.get_secret_value()
        with self._lock:  # who waits here has the answer of who was before
            at, told = self._told.get(key, (float("-inf"), None))
            if told is None or self._clock() - at > EVERY.total_seconds() / 2:
                told = self._ask(url, token)
                self._told[key] = self._clock(), told
        if isinstance(told, CanarioError):
            raise told
        return told

    @staticmethod
    def _ask(url: str, token: SecretStr) -> Told | CanarioError:
        try:
            account = OwnAccount.by_token(url, token)
            return account.me(), account.tokens()
        except CanarioError as error:
            return error


@dataclass(frozen=True)
class TokenCheck:
    """Asks Unleash about one token.

    Attributes:
        needed: the permissions that the work takes, as Unleash names them.
        accounts: of a process with many rollouts, which mostly have one token; None: asked each time.
    """

    url: str
    token: SecretStr
    project: str
    environment: str
    needed: Collection[str]
    accounts: Accounts | None = None

    def look(self) -> TokenState:
        """Raises AdminError: Unleash does not answer, or not so. A refusal is a state."""
        try:
            me, tokens = (self.accounts or Accounts()).read(self.url, self.token)
        except (Unauthorized, Forbidden) as error:
            return TokenState(None, str(error))
        lacking = [
            one
            for one in self.needed
            if not any(each.covers(one, self.project, self.environment) for each in me.permissions)
        ]
        fault = f"{me.user.username} lacks {', '.join(lacking)}: give it the role Editor" if lacking else None
        return TokenState(self._end(tokens), fault)

    def _end(self, tokens: Collection[Token]) -> datetime | None:
        """Of the token that the label beside its file names; without one, of the one that was seen last.

        Unleash does not say which of a user's tokens asks.
        """
        label = label_beside(self.token.file) if isinstance(self.token, FileSecret) else None
        for one in tokens:
            if label is not None and one.id == label.id:
                return one.expires_at
        alive = [one for one in tokens if one.expires_at > datetime.now(UTC)]
        return max(alive, key=lambda one: one.seen_at or one.created_at).expires_at if alive else None


class JobSettings(UnleashSettings, Protocol):
    """The same of a job, which has a token, and perhaps leases to renew."""

    @property
    def unleash_admin_token(self) -> SecretStr: ...
    @property
    def lease(self) -> timedelta | None: ...


def check_from(settings: JobSettings, accounts: Accounts | None = None) -> TokenCheck:
    """The check of a job that sets shares, and leases where there are any."""
    return TokenCheck(
        settings.unleash_url,
        settings.unleash_admin_token,
        settings.unleash_project,
        settings.unleash_environment,
        needed=(*SHARES, *(LEASES if settings.lease else ())),
        accounts=accounts,
    )


class TokenMetrics:
    """What Prometheus is told of the token; NaN until Unleash has answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ends = Gauge(
            TokenMetric.ENDS, "When the job's token of Unleash ends (Unix time).", registry=registry
        )
        self._usable = Gauge(
            TokenMetric.USABLE,
            "1 where Unleash lets the job do its work, 0 where it refuses its token or its user may not.",
            registry=registry,
        )
        for gauge in (self._ends, self._usable):
            gauge.set(float("nan"))

    def show(self, state: TokenState) -> None:
        """The end that was known stays where a refused token tells none."""
        if state.ends is not None:
            self._ends.set(state.ends.timestamp())
        self._usable.set(int(state.fault is None))


def watch(
    check: TokenCheck,
    registry: CollectorRegistry,
    every: timedelta = EVERY,
    *,
    ended: threading.Event | None = None,
) -> None:
    """Look at once and again `every` so often, in a thread, until `ended`."""
    metrics, ended = TokenMetrics(registry), ended or threading.Event()

    def looks() -> None:
        while True:
            try:
                _look(check, metrics)
            except Exception as error:  # a bug of one look says nothing about the next
                _log.exception("the token was not checked", extra={"error": str(error)})
            if ended.wait(every.total_seconds()):
                return

    keep_running("token", looks, again_after=every.total_seconds(), until=ended.is_set)


def _look(check: TokenCheck, metrics: TokenMetrics) -> None:
    try:
        state = check.look()
    except CanarioError as error:  # no answer says nothing about the token
        _log.warning("the token could not be checked", extra={"error": str(error)})
        return
    metrics.show(state)
    if state.fault:
        _log.error("the job cannot act", extra={"error": state.fault})

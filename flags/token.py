"""Whether a job's token of Unleash still lets it do its work, and until when. It is asked, never used to act.

A job that only reads would find out that it may not act in the moment in which it must.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from pydantic import SecretStr

from common.config import FileSecret
from common.errors import CanarioError
from common.names import TokenMetric
from common.schedule import keep_running, repeat
from flags.accounts import OwnAccount
from flags.errors import Forbidden, Unauthorized
from flags.vault import label_beside

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


@dataclass(frozen=True)
class TokenCheck:
    """Asks Unleash about one token.

    Attributes:
        needed: the permissions that the work takes, as Unleash names them.
    """

    url: str
    token: SecretStr
    project: str
    environment: str
    needed: Collection[str]

    def look(self) -> TokenState:
        """Raises AdminError: Unleash does not answer, or not so. A refusal is a state."""
        try:
            me = self._account.me()
            ends = self._end()
        except (Unauthorized, Forbidden) as error:
            return TokenState(None, str(error))
        lacking = [
            one
            for one in self.needed
            if not any(each.covers(one, self.project, self.environment) for each in me.permissions)
        ]
        fault = f"{me.user.username} lacks {', '.join(lacking)}: give it the role Editor" if lacking else None
        return TokenState(ends, fault)

    @cached_property
    def _account(self) -> OwnAccount:
        return OwnAccount.by_token(self.url, self.token)

    def _end(self) -> datetime | None:
        """Of the token that the label beside its file names; without one, of the one that was seen last.

        Unleash does not say which of a user's tokens asks.
        """
        label = label_beside(self.token.file) if isinstance(self.token, FileSecret) else None
        tokens = self._account.tokens()
        for one in tokens:
            if label is not None and one.id == label.id:
                return one.expires_at
        alive = [one for one in tokens if one.expires_at > datetime.now(UTC)]
        return max(alive, key=lambda one: one.seen_at or one.created_at).expires_at if alive else None


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


def watch(check: TokenCheck, registry: CollectorRegistry, every: timedelta = EVERY) -> None:
    """Look at once and again `every` so often, in a thread, for as long as the process lives."""
    look = partial(_look, check, TokenMetrics(registry))
    keep_running("token", lambda: repeat(look, every), again_after=every.total_seconds())


def _look(check: TokenCheck, metrics: TokenMetrics) -> None:
    try:
        state = check.look()
    except CanarioError as error:  # no answer says nothing about the token
        _log.warning("the token could not be checked", extra={"error": str(error)})
        return
    metrics.show(state)
    if state.fault:
        _log.error("the job cannot act", extra={"error": state.fault})

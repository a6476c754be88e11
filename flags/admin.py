"""Unleash's admin API for flags: with flags.accounts the only place that knows its addresses.

There is no optimistic locking in it, the last write wins. Two things soften this: each write changes one
field by a JSON patch, and such a patch may begin with a `test` of the value that the caller has seen.
"""

from collections.abc import Sequence
from typing import Final

from pydantic import SecretStr

from flags.errors import (
    AdminError,
    ChangedMeanwhile,
    Forbidden,
    NotFound,
    Rejected,
    ServerFault,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from flags.http import DEFAULT_TIMEOUTS, Timeouts, TokenAuth, Transport, checked_token, quoted
from flags.models import GRADUAL, Event, Events, Feature, Strategy

__all__ = [
    "AdminError",
    "Forbidden",
    "NotFound",
    "Rejected",
    "ServerFault",
    "Unauthorized",
    "UnexpectedAnswer",
    "UnleashAdmin",
    "Unreachable",
]

SHARE_EVENTS: Final = (
    "feature-strategy-add",
    "feature-strategy-update",
    "feature-strategy-remove",
    "feature-environment-enabled",
    "feature-environment-disabled",
)
ARCHIVED: Final = "feature-archived"
CREATED: Final = "feature-created"
LIFE_EVENTS: Final = (CREATED, ARCHIVED, "feature-revived", "feature-deleted")


class UnleashAdmin:
    """Reads and changes flags of one project and environment, as the user whose token it holds.

    May be shared by threads; make one in each process, after the fork. Every method raises AdminError.
    """

    def __init__(
        self,
        url: str,
        token: SecretStr | str,
        *,
        project: str = "default",
        environment: str = "production",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`url` without /api; `token` a personal access token (`user:...`).

        Raises:
            ConfigError: the token has characters that no token has; it is not told.
        """
        self.url = url.rstrip("/")
        self.project = project
        self.environment = environment
        self._transport = Transport(
            self.url,
            TokenAuth(checked_token(token)),
            refused="the token is wrong or expired, set CANARIO_UNLEASH_ADMIN_TOKEN",
            timeouts=timeouts,
        )

    def __repr__(self) -> str:
        return f"UnleashAdmin({self.url!r}, project={self.project!r}, environment={self.environment!r})"

    def feature(self, flag: str) -> Feature:
        """The flag with all environments. Raises NotFound where it is missing or archived."""
        return self._transport.get(Feature, self._flag(flag))

    def last_change(self, flag: str) -> Event | None:
        """The last event that changed who gets the challenger in this environment.

        That is one on the share, a strategy or the switch here, or on the whole flag: created, archived,
        revived (which turns it off everywhere), deleted. The latter also tell where a missing flag is; the
        search for archived flags would too, but Unleash 8.2 answers only 15 of those a minute to one address.
        """
        events = (
            self._last_event(flag, SHARE_EVENTS, environment=f"IS:{self.environment}"),
            self._last_event(flag, LIFE_EVENTS, project=f"IS:{self.project}"),
        )
        return max(filter(None, events), key=lambda event: event.id, default=None)

    def create_feature(self, flag: str, *, kind: str, description: str) -> None:
        """Create a flag that is off in every environment. Raises Rejected (409) where the name exists."""
        body = {"name": flag, "type": kind, "description": description}
        self._transport.send("POST", self._project("features"), body, repeatable=False)

    def change_feature(self, flag: str, field: str, value: str) -> None:
        """Set one field of the flag itself: `description` or `type`."""
        patch = [{"op": "replace", "path": f"/{field}", "value": value}]
        self._transport.send("PATCH", self._flag(flag), patch, repeatable=True)

    def add_strategy(self, flag: str, *, percent: int, stickiness: str, group: str) -> Strategy:
        """Add a gradual rollout of `percent` to the environment."""
        path = self._environment(flag, "strategies")
        parameters = {"rollout": str(percent), "stickiness": stickiness, "groupId": group}
        body = {"name": GRADUAL, "parameters": parameters, "constraints": []}
        return self._transport.post(Strategy, path, body)

    def change_parameter(
        self, flag: str, strategy: str, parameter: str, value: str, *, seen: str | None = None
    ) -> None:
        """Set one parameter of one strategy, and nothing else of it.

        With `seen`, only if Unleash still has that value; otherwise the last write wins.

        Raises:
            ChangedMeanwhile: the value is no longer `seen`.
        """
        path = self._environment(flag, "strategies", strategy)
        field = f"/parameters/{parameter}"
        patch = [{"op": "replace", "path": field, "value": value}]
        if seen is not None:
            patch.insert(0, {"op": "test", "path": field, "value": seen})
        try:
            # A tested patch is not repeated: after a lost answer the test would fail on our own value.
            self._transport.send("PATCH", path, patch, repeatable=seen is None)
        except ServerFault as error:
            if seen is None or not error.details.startswith("Test operation failed"):
                raise
            raise ChangedMeanwhile(
                f"{parameter} of {flag} in {self.environment} is no longer {seen}: somebody changed it in the"
                " meantime. Nothing was overwritten; look at it again"
            ) from error

    def switch(self, flag: str, *, on: bool) -> None:
        """Turn the flag on or off in the environment.

        Caution: where no strategy is active, Unleash adds one by itself when it turns a flag on: 100% of the
        users, stickiness `default`. Callers look first (flags.canary.turn_on does).
        """
        self._transport.send("POST", self._environment(flag, "on" if on else "off"), repeatable=True)

    def _last_event(self, flag: str, types: Sequence[str], **where: str) -> Event | None:
        query = {"feature": f"IS:{flag}", "type": f"IS_ANY_OF:{','.join(types)}", "limit": "1", **where}
        found = self._transport.get(Events, "/api/admin/search/events", query)
        return found.events[0] if found.events else None

    def _project(self, *parts: str) -> str:
        return "/".join(("/api/admin/projects", quoted(self.project), *parts))

    def _flag(self, flag: str, *parts: str) -> str:
        return self._project("features", quoted(flag), *parts)

    def _environment(self, flag: str, *parts: str) -> str:
        return self._flag(flag, "environments", quoted(self.environment), *map(quoted, parts))

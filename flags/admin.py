"""Unleash's admin API for flags: with flags.parts and flags.accounts the only place that knows its addresses.

There is no optimistic locking in it, the last write wins. Two things soften this: each write changes one
field by a JSON patch, and such a patch may begin with a `test` of the value that the caller has seen. What is
lost all the same is put back by flags.writes, by which strategies should be changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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
from flags.http import DEFAULT_TIMEOUTS, Timeouts, TokenAuth, Transport, quoted
from flags.models import GRADUAL, Event, Feature, Strategy
from flags.parts import ContextStore, EventLog, Links, SegmentStore, TagStore

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

REFUSED: Final = (
    "CANARIO_UNLEASH_ADMIN_TOKEN is wrong or has ended: `make up`, `docker compose run --rm provision` or"
    " `python -m flags bootstrap` make a new one"
)
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


class _TestFailed(ServerFault):
    """The `test` at the head of a patch did not hold: Unleash has another value than the caller saw."""


class UnleashAdmin:
    """Reads and changes flags of one project and environment, as the user whose token it holds.

    May be shared by threads; make one in each process, after the fork. Every method raises AdminError.

    Attributes:
        segments, context, tags, links, events: the parts of the API that are not about strategies.
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
            TokenAuth(token),
            refused=REFUSED,
            timeouts=timeouts,
        )
        self.segments = SegmentStore(self._transport, project)
        self.context = ContextStore(self._transport)
        self.tags = TagStore(self._transport)
        self.links = Links(self._transport, self._project("features"))
        self.events = EventLog(self._transport)

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
            self.events.last(SHARE_EVENTS, flag=flag, environment=self.environment),
            self._last_of_life(flag),
        )
        return max(filter(None, events), key=lambda event: event.id, default=None)

    def is_archived(self, flag: str) -> bool:
        """Whether a flag that is not there lies in the archive, by the event log."""
        event = self._last_of_life(flag)
        return event is not None and event.type == ARCHIVED

    def _last_of_life(self, flag: str) -> Event | None:
        return self.events.last(LIFE_EVENTS, flag=flag, project=self.project)

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
        field = f"/parameters/{parameter}"
        patch: list[Mapping[str, Any]] = [{"op": "replace", "path": field, "value": value}]
        if seen is not None:
            patch.insert(0, {"op": "test", "path": field, "value": seen})
        try:
            # A tested patch is not repeated: after a lost answer the test would fail on our own value.
            self._patch(flag, strategy, patch, repeatable=seen is None)
        except _TestFailed as error:
            raise ChangedMeanwhile(
                f"{parameter} of {flag} in {self.environment} is no longer {seen}: somebody changed it in the"
                " meantime. Nothing was overwritten; look at it again"
            ) from error

    def attach_segment(self, flag: str, strategy: str, segment: int) -> None:
        """Let a strategy depend on one segment more; doing it twice is doing it once."""
        patch = [{"op": "add", "path": "/segments/-", "value": segment}]
        self._patch(flag, strategy, patch, repeatable=True)

    def detach_segment(self, flag: str, strategy: str, segment: int, *, among: int) -> None:
        """Take a segment off a strategy that has `among` of them, and leave the others.

        Each place is tried: Unleash may tell the segments in another order than its PATCH has them.

        Raises:
            ChangedMeanwhile: it is no longer there.
        """
        for place in range(among):
            patch: list[Mapping[str, Any]] = [
                {"op": "test", "path": f"/segments/{place}", "value": segment},
                {"op": "remove", "path": f"/segments/{place}"},
            ]
            try:
                self._patch(flag, strategy, patch, repeatable=False)
            except _TestFailed:
                continue
            return
        raise ChangedMeanwhile(
            f"the segments of {flag} in {self.environment} were changed in the meantime. Nothing was"
            " overwritten; look at it again"
        )

    def change_constraints(
        self,
        flag: str,
        strategy: str,
        constraints: Sequence[Mapping[str, Any]],
        *,
        seen: Sequence[Mapping[str, Any]],
    ) -> None:
        """Give a strategy other conditions, only if Unleash still has those that were seen.

        Raises:
            ChangedMeanwhile: it has others.
        """
        patch: list[Mapping[str, Any]] = [
            {"op": "test", "path": "/constraints", "value": list(seen)},
            {"op": "replace", "path": "/constraints", "value": list(constraints)},
        ]
        try:
            self._patch(flag, strategy, patch, repeatable=False)
        except _TestFailed as error:
            raise ChangedMeanwhile(
                f"the constraints of {flag} in {self.environment} were changed in the meantime. Nothing was"
                " overwritten; look at it again"
            ) from error

    def put_back(self, flag: str, strategy: str, patch: Iterable[Mapping[str, Any]]) -> None:
        """Give fields of a strategy the values that were lost (flags.overwritten)."""
        self._patch(flag, strategy, list(patch), repeatable=True)

    def switch(self, flag: str, *, on: bool) -> None:
        """Turn the flag on or off in the environment.

        Caution: where no strategy is active, Unleash adds one by itself when it turns a flag on: 100% of the
        users, stickiness `default`. Callers look first (flags.canary.turn_on does).
        """
        self._transport.send("POST", self._environment(flag, "on" if on else "off"), repeatable=True)

    def _patch(
        self, flag: str, strategy: str, patch: Sequence[Mapping[str, Any]], *, repeatable: bool
    ) -> None:
        """Change fields of a strategy. Raises _TestFailed where a `test` in the patch does not hold."""
        path = self._environment(flag, "strategies", strategy)
        try:
            self._transport.send("PATCH", path, patch, repeatable=repeatable)
        except ServerFault as error:
            if not error.details.startswith("Test operation failed"):
                raise
            raise _TestFailed(str(error), status=error.status, details=error.details) from error

    def _project(self, *parts: str) -> str:
        return "/".join(("/api/admin/projects", quoted(self.project), *parts))

    def _flag(self, flag: str, *parts: str) -> str:
        return self._project("features", quoted(flag), *parts)

    def _environment(self, flag: str, *parts: str) -> str:
        return self._flag(flag, "environments", quoted(self.environment), *map(quoted, parts))

"""Unleash's admin API for flags: with flags.unleash.parts and flags.accounts.users the only place that knows
its addresses.

There is no optimistic locking in it, the last write wins. Two things soften this: each write changes one
field by a JSON patch, and such a patch may begin with a `test` of the value that the caller has seen. What is
lost all the same is put back by flags.canary.writes, by which strategies should be changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from pydantic import SecretStr

from common.config import ConfigError
from flags.unleash.errors import (
    ChangedMeanwhile,
    ServerFault,
)
from flags.unleash.http import DEFAULT_TIMEOUTS, Timeouts, TokenAuth, Transport, quoted
from flags.unleash.models import GRADUAL, Event, Feature, Strategy, Written
from flags.unleash.parts import ContextStore, EventLog, Links, SegmentStore, TagStore

REFUSED: Final = (
    "CANARIO_UNLEASH_ADMIN_TOKEN is wrong or has ended: `./canario up`, `docker compose run --rm provision`"
    " or `./canario bootstrap` make a new one"
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
LINES: Final = 100  # of a flag's log that are read at once


STICKY: Final = "userId"


class _TestFailed(ServerFault):
    """The `test` at the head of a patch did not hold: Unleash has another value than the caller saw."""


class UnleashSettings(Protocol):
    """Where Unleash lies and who asks it, as the settings of every process name it."""

    @property
    def unleash_url(self) -> str: ...
    @property
    def unleash_admin_token(self) -> SecretStr | None: ...
    @property
    def unleash_project(self) -> str: ...
    @property
    def unleash_environment(self) -> str: ...


class UnleashAdmin:
    """Reads and changes flags of one project and environment, as the user whose token it holds.

    May be shared by threads; make one in each process, after the fork. Every method raises AdminError.

    Attributes:
        segments, context, tags, links, events: the parts of the API that are not about strategies.
    """

    def __init__(  # noqa: PLR0913 - each of them has a default
        self,
        url: str,
        token: SecretStr | str,
        *,
        project: str = "default",
        environment: str = "production",
        stickiness: str = STICKY,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`url` without /api; `token` a personal access token; `stickiness`: by what shares must be drawn.

        Raises:
            ConfigError: the token has characters that no token has; it is not told.
        """
        self.url = url.rstrip("/")
        self.project = project
        self.environment = environment
        self.stickiness = stickiness
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

    def log(self, flag: str) -> tuple[Event, ...]:
        """The last LINES of the event log on a flag's share, strategies, switches and life, oldest first."""
        return self.events.of(flag, (*SHARE_EVENTS, *LIFE_EVENTS), limit=LINES)

    def last_change(self, flag: str, log: Sequence[Event] | None = None) -> Event | None:
        """The last event that changed who gets the challenger in this environment.

        That is one on the share, a strategy or the switch here, or on the whole flag: created, archived,
        revived (which turns it off everywhere), deleted. The latter also tell where a missing flag is; the
        search for archived flags would too, but Unleash 8.2 answers only 15 of those a minute to one address.

        `log` is what `log` has read; it is asked again only where that is full of other environments.
        """
        lines = self.log(flag) if log is None else log
        found = next((line for line in reversed(lines) if self._is_here(line)), None)
        if found or len(lines) < LINES:
            return found
        events = (
            self.events.last(SHARE_EVENTS, flag=flag, environment=self.environment),
            self.events.last(LIFE_EVENTS, flag=flag, project=self.project),
        )
        return max(filter(None, events), key=lambda event: event.id, default=None)

    def is_archived(self, flag: str, log: Sequence[Event]) -> bool:
        """Whether a flag that is not there lies in the archive, by the event log. `log` as above."""
        found = next((line for line in reversed(log) if self._is_of_life(line)), None)
        if found is None and len(log) >= LINES:
            found = self.events.last(LIFE_EVENTS, flag=flag, project=self.project)
        return found is not None and found.type == ARCHIVED

    def _is_here(self, line: Event) -> bool:
        return self._is_of_life(line) or (line.type in SHARE_EVENTS and line.environment == self.environment)

    def _is_of_life(self, line: Event) -> bool:
        return line.type in LIFE_EVENTS and line.project == self.project

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
    ) -> Written:
        """Set one parameter of one strategy, and nothing else of it; answer the strategy as it is then.

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
            return self._patch(flag, strategy, patch, repeatable=seen is None)
        except _TestFailed as error:
            raise ChangedMeanwhile(
                f"{parameter} of {flag} in {self.environment} is no longer {seen}: somebody changed it in the"
                " meantime. Nothing was overwritten; look at it again"
            ) from error

    def attach_segment(self, flag: str, strategy: str, segment: int) -> Written:
        """Let a strategy depend on one segment more; doing it twice is doing it once."""
        patch = [{"op": "add", "path": "/segments/-", "value": segment}]
        return self._patch(flag, strategy, patch, repeatable=True)

    def detach_segment(self, flag: str, strategy: str, segment: int, *, among: int) -> Written:
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
                return self._patch(flag, strategy, patch, repeatable=False)
            except _TestFailed:
                continue
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
    ) -> Written:
        """Give a strategy other conditions, only if Unleash still has those that were seen.

        Raises:
            ChangedMeanwhile: it has others.
        """
        patch: list[Mapping[str, Any]] = [
            {"op": "test", "path": "/constraints", "value": list(seen)},
            {"op": "replace", "path": "/constraints", "value": list(constraints)},
        ]
        try:
            return self._patch(flag, strategy, patch, repeatable=False)
        except _TestFailed as error:
            raise ChangedMeanwhile(
                f"the constraints of {flag} in {self.environment} were changed in the meantime. Nothing was"
                " overwritten; look at it again"
            ) from error

    def put_back(self, flag: str, strategy: str, patch: Iterable[Mapping[str, Any]]) -> None:
        """Give fields of a strategy the values that were lost (flags.canary.overwritten)."""
        self._patch(flag, strategy, list(patch), repeatable=True)

    def switch(self, flag: str, *, on: bool) -> None:
        """Turn the flag on or off in the environment.

        Caution: where no strategy is active, Unleash adds one by itself when it turns a flag on: 100% of the
        users, stickiness `default`. Callers look first (flags.canary.share.turn_on does).
        """
        self._transport.send("POST", self._environment(flag, "on" if on else "off"), repeatable=True)

    def _patch(
        self, flag: str, strategy: str, patch: Sequence[Mapping[str, Any]], *, repeatable: bool
    ) -> Written:
        """Change fields of a strategy. Raises _TestFailed where a `test` in the patch does not hold."""
        path = self._environment(flag, "strategies", strategy)
        try:
            return self._transport.patch(Written, path, patch, repeatable=repeatable)
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


def admin_from(
    settings: UnleashSettings, timeouts: Timeouts = DEFAULT_TIMEOUTS, *, stickiness: str = STICKY
) -> UnleashAdmin:
    """The client that a process' settings mean. Raises ConfigError."""
    if settings.unleash_admin_token is None:
        raise ConfigError("CANARIO_UNLEASH_ADMIN_TOKEN: is not set")
    return UnleashAdmin(
        settings.unleash_url,
        settings.unleash_admin_token,
        project=settings.unleash_project,
        environment=settings.unleash_environment,
        stickiness=stickiness,
        timeouts=timeouts,
    )

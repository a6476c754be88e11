"""One flag as Unleash holds it now, and the rules by which its strategies mean one share.

Unleash lets a user in when any active strategy matches. A share is therefore the rollout of the only active
strategy, a gradual rollout drawn by user id; anything else needs a person, and is named instead of guessed.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from flags.admin import CREATED, UnleashAdmin
from flags.errors import (
    AdminError,
    EnvironmentMissing,
    FlagArchived,
    FlagError,
    FlagMissing,
    NotFound,
    ShareUnreadable,
    StickinessUnsafe,
    StrategyAmbiguous,
    StrategyDisabled,
    StrategyMissing,
)
from flags.event_words import in_words
from flags.lease_segment import Lease, find, lease_of
from flags.models import GRADUAL, EnvironmentState, Event, Feature, Strategy

STICKY = "userId"
QUARANTINE = "canario-quarantine"  # type of the tags that name versions which were rolled back

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A flag in one environment at the time of reading.

    Attributes:
        feature: None where the flag is missing or archived.
        last_change: last event on share, strategies or switch in this environment, or on the whole flag
            (created, archived, revived, deleted); None without one.
        quarantined: versions of the challenger that must not be given to more users.
        lease: what strategies of the flag depend on; None where none does.
        declined: who took the lease off, where that was asked (flags.apply does); "" where nobody did.
    """

    flag: str
    project: str
    environment: str
    feature: Feature | None
    archived: bool
    last_change: Event | None
    quarantined: frozenset[str] = frozenset()
    lease: Lease | None = None
    declined: str = ""

    @property
    def here(self) -> EnvironmentState | None:
        """The flag in this environment."""
        environments = self.feature.environments if self.feature else ()
        return next((one for one in environments if one.name == self.environment), None)

    @property
    def enabled(self) -> bool:
        """The environment's switch."""
        return self.here is not None and self.here.enabled

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """All strategies, also disabled ones."""
        return self.here.strategies if self.here else ()

    @property
    def untouched(self) -> bool:
        """Whether nobody has changed anything here since the flag was made."""
        return self.last_change is None or self.last_change.type == CREATED

    @property
    def active(self) -> tuple[Strategy, ...]:
        """Strategies that let users in."""
        return tuple(one for one in self.strategies if not one.disabled)


def take(admin: UnleashAdmin, flag: str, *, history_required: bool = True) -> Snapshot:
    """Read a flag, its tags and its last change in four calls; a fifth where it may have a lease, or is gone.

    Without `history_required` an event log, tags or segments that cannot be read are logged and left out:
    the flag itself says whether anybody is exposed.

    Raises:
        AdminError: Unleash does not answer, or not so.
        EnvironmentMissing: the project has no such environment.
    """
    feature = None
    with suppress(NotFound):
        feature = admin.feature(flag)

    def read(what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except AdminError as error:
            if history_required:
                raise
            log.warning("the %s of Unleash cannot be read: %s", what, error)
            return otherwise

    change = read("event log", lambda: admin.last_change(flag), None)
    # The last change need not say so: strategies of an archived flag can be changed.
    archived = feature is None and read("event log", lambda: admin.is_archived(flag), otherwise=False)
    shot = Snapshot(flag, admin.project, admin.environment, feature, archived, change)
    if feature is None:
        return shot
    if not shot.here:
        names = ", ".join(one.name for one in feature.environments)
        raise EnvironmentMissing(
            f"the project {admin.project} has no environment {admin.environment}, only {names}:"
            " set CANARIO_UNLEASH_ENVIRONMENT"
        )
    return replace(
        shot,
        quarantined=read("tags", lambda: read_quarantined(admin, flag), frozenset()),
        lease=read("segments", lambda: _lease(admin, shot), None),
    )


def read_quarantined(admin: UnleashAdmin, flag: str) -> frozenset[str]:
    """Versions in quarantine; none of a flag that does not exist. Raises AdminError."""
    try:
        tags = admin.tags.of(flag)
    except NotFound:  # deleted or archived this moment
        return frozenset()
    return frozenset(tag.value for tag in tags if tag.type == QUARANTINE)


def _lease(admin: UnleashAdmin, shot: Snapshot) -> Lease | None:
    if not any(one.segments for one in shot.strategies):
        return None
    segment = find(admin.segments.all(), shot.flag, shot.environment)
    return lease_of(segment, shot.strategies) if segment else None


def require_present(shot: Snapshot) -> None:
    """Raises FlagMissing or FlagArchived."""
    if shot.archived:
        raise FlagArchived(
            f"the flag {shot.flag} is archived, every user gets the champion: revive it in the Unleash UI"
            " (Project, Archived flags) if that is not wanted"
        )
    if not shot.feature:
        raise FlagMissing(
            f"the project {shot.project} has no flag {shot.flag}, every user gets the champion:"
            " create it by `python -m flags apply`"
        )


def gradual(shot: Snapshot) -> Strategy:
    """The one strategy whose rollout is the share.

    Raises:
        FlagMissing, FlagArchived: there is no flag.
        StrategyMissing: no gradual rollout. StrategyAmbiguous: it is not alone.
    """
    require_present(shot)
    candidates = shot.active or shot.strategies
    rollouts = [one for one in candidates if one.name == GRADUAL]
    if not rollouts:
        raise StrategyMissing(
            f"the flag {shot.flag} has no gradual rollout strategy in {shot.environment}"
            + (
                f", only {listed(candidates)}: replace that by one in the Unleash UI"
                if candidates
                else ": add one in the Unleash UI, or run `python -m flags apply`"
            )
        )
    if len(shot.active) > 1 or len(rollouts) > 1:
        raise StrategyAmbiguous(
            f"the flag {shot.flag} has {len(candidates)} strategies in {shot.environment}"
            f" ({listed(candidates)}) and lets a user in when any of them matches, so no one share says who"
            f" gets the challenger: keep one in the Unleash UI. `python -m flags off {shot.flag}` still works"
        )
    return rollouts[0]


def require_active(shot: Snapshot, strategy: Strategy) -> None:
    """Raises StrategyDisabled. A person switched it off, so a person switches it on."""
    if strategy.disabled:
        raise StrategyDisabled(
            f"the gradual rollout strategy of {shot.flag} in {shot.environment} is disabled:"
            " enable it in the Unleash UI"
        )


def require_sticky(shot: Snapshot, strategy: Strategy) -> None:
    """Raises StickinessUnsafe."""
    stickiness = strategy.parameter("stickiness")
    if stickiness != STICKY:
        raise StickinessUnsafe(
            f"the share of {shot.flag} in {shot.environment} is drawn by {stickiness or 'nothing'} instead of"
            f" {STICKY}, so users could change models from call to call: run `python -m flags apply`, which"
            " sets the stickiness, or set it in the Unleash UI"
        )


def require_readable(shot: Snapshot, strategy: Strategy) -> None:
    """Raises ShareUnreadable."""
    if strategy.percent is None:
        raise ShareUnreadable(
            f"the rollout of {shot.flag} in {shot.environment} is {strategy.parameter('rollout')!r}, no whole"
            f" number from 0 to 100: set it by `python -m flags set {shot.flag} PERCENT` or in the Unleash UI"
        )


def fault(shot: Snapshot) -> FlagError | None:
    """Why the share does not mean what it says; None where it does."""
    try:
        strategy = gradual(shot)
        require_active(shot, strategy)
        require_sticky(shot, strategy)
        require_readable(shot, strategy)
    except FlagError as error:
        return error
    return None


def blame(shot: Snapshot) -> str:
    """The last change as an aside to append to a sentence; "" where there is none."""
    change = shot.last_change
    if change is None:
        return ""
    return f" (last change: {in_words(change)} by {change.created_by} at {moment(change.created_at)})"


def moment(time: datetime) -> str:
    """A time for people, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def listed(strategies: tuple[Strategy, ...]) -> str:
    """Strategies for people: `flexibleRollout 25%, default`."""
    return ", ".join(
        f"{one.name} {one.parameter('rollout')}%" if one.name == GRADUAL else one.name for one in strategies
    )

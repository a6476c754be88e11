"""One flag as Unleash holds it now: read in three calls, or after a write from what is known of it."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from flags.canary.history import ENDED, Exposure
from flags.canary.lease_segment import Lease, find, lease_of
from flags.canary.marks import QUARANTINE, tags_of, values
from flags.canary.overwritten import MOMENT
from flags.unleash.admin import CREATED, STICKY, UnleashAdmin
from flags.unleash.errors import (
    AdminError,
    EnvironmentMissing,
    NotFound,
)
from flags.unleash.models import EnvironmentState, Event, Feature, Segment, Strategy, Tag

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A flag in one environment at the time of reading.

    Attributes:
        feature: None where the flag is missing or archived.
        last_change: last event on share, strategies or switch in this environment, or on the whole flag
            (created, archived, revived, deleted); None without one.
        tags: on its page, among them the marks (flags.canary.marks).
        lease_segment: the segment on which strategies of the flag depend; None where none does.
        stickiness: by what the share must be drawn.
        declined: who took the lease off, where that was asked (flags.desired.plan); "" where nobody did.
    """

    flag: str
    project: str
    environment: str
    feature: Feature | None
    archived: bool
    last_change: Event | None
    tags: tuple[Tag, ...] = ()
    lease_segment: Segment | None = None
    declined: str = ""
    stickiness: str = STICKY

    @property
    def here(self) -> EnvironmentState | None:
        """The flag in this environment."""
        environments = self.feature.environments if self.feature else ()
        return next((one for one in environments if one.name == self.environment), None)

    @property
    def quarantined(self) -> tuple[str, ...]:
        """Versions of the challenger that must not be given to more users, sorted."""
        return values(self.tags, QUARANTINE)

    @property
    def enabled(self) -> bool:
        """The environment's switch."""
        return self.here is not None and self.here.enabled

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """All strategies, also disabled ones."""
        return self.here.strategies if self.here else ()

    @property
    def lease(self) -> Lease | None:
        """What strategies of the flag depend on; None where none does."""
        return lease_of(self.lease_segment, self.strategies) if self.lease_segment else None

    @property
    def segmented(self) -> bool:
        """Whether any strategy depends on segments, of which one may be the lease."""
        return any(one.segments for one in self.strategies)

    @property
    def untouched(self) -> bool:
        """Whether nobody has changed anything here since the flag was made."""
        return self.last_change is None or self.last_change.type == CREATED

    @property
    def active(self) -> tuple[Strategy, ...]:
        """Strategies that let users in."""
        return tuple(one for one in self.strategies if not one.disabled)


def take(admin: UnleashAdmin, flag: str, *, history_required: bool = True, with_log: bool = True) -> Snapshot:
    """Read a flag, its log and its tags in three calls; a fourth where it may have a lease.

    Without `history_required` an event log, tags or segments that cannot be read are logged and left out:
    the flag itself says whether anybody is exposed. Without `with_log` the last change is not asked for,
    unless the flag is gone; `read_back` brings it.

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

    nothing: tuple[Event | None, bool] = (None, False)
    change, archived = nothing
    if with_log or feature is None:
        change, archived = read("event log", lambda: _told(admin, flag, gone=feature is None), nothing)
    shot = Snapshot(
        flag, admin.project, admin.environment, feature, archived, change, stickiness=admin.stickiness
    )
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
        tags=read("tags", lambda: tags_of(admin, flag), ()),
        lease_segment=read("segments", lambda: _lease_segment(admin, shot), None),
    )


def _told(admin: UnleashAdmin, flag: str, *, gone: bool) -> tuple[Event | None, bool]:
    """The last change, and whether the flag lies in the archive.

    The last change need not say so: strategies of an archived flag can be changed.
    """
    lines = admin.log(flag)
    return admin.last_change(flag, lines), gone and admin.is_archived(flag, lines)


def read_back(admin: UnleashAdmin, before: Snapshot, log: Sequence[Event]) -> Snapshot:
    """The flag after an order, for one call more than its log; its tags and its lease are those of `before`.

    Raises AdminError.
    """
    try:
        feature = admin.feature(before.flag)
    except NotFound:  # archived or deleted this moment
        return take(admin, before.flag)
    return replace(before, feature=feature, last_change=admin.last_change(before.flag, log))


def replayed_on(admin: UnleashAdmin, before: Snapshot, log: Sequence[Event]) -> Snapshot:
    """The same without another call: each line holds the whole strategy, or the switch, as it left that.

    Raises AdminError.
    """
    here = before.here
    recent = [
        one
        for one in log
        if one.environment in (None, before.environment) and log[-1].created_at - one.created_at < MOMENT
    ]
    if before.feature is None or here is None or any(one.type in ENDED for one in recent):
        return take(admin, before.flag)
    exposure = Exposure(here.enabled, {one.id: one for one in here.strategies})
    for line in recent:
        exposure = exposure.after(line)
    now = here.model_copy(update={"enabled": exposure.on, "strategies": tuple(exposure.strategies.values())})
    environments = tuple(now if one is here else one for one in before.feature.environments)
    feature = before.feature.model_copy(update={"environments": environments})
    return replace(before, feature=feature, last_change=admin.last_change(before.flag, log))


def _lease_segment(admin: UnleashAdmin, shot: Snapshot) -> Segment | None:
    return find(admin.segments.all(), shot.flag, shot.environment) if shot.segmented else None

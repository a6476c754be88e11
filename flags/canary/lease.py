"""Exposure on a lease: users get the challenger only while the job that guards it keeps saying so.

The gradual rollout refers to a segment whose condition is a time. The rollback job puts it off after each
pass that could measure; when the job, Prometheus or Unleash stands still, the time passes and every SDK gives
the champion by itself. A renewal writes the segment alone, never the strategy, which people edit.

People win: whoever takes the segment off the strategy has switched the lease off there, and only a person
puts it back. Why it is built so: docs/decisions/0014-lease.md.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from common.figures import moment
from flags.accounts.users import is_automation
from flags.canary.lease_segment import (
    Lease,
    conditions,
    end_of,
    find,
    lease_of,
    plain,
    renewed,
    saved_by_a_person,
    segment_description,
    segment_name,
)
from flags.canary.overwritten import MOMENT
from flags.canary.snapshot import take
from flags.canary.state import gradual
from flags.canary.writes import attach_segment, detach_segment
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import AdminError, NotFound, Rejected
from flags.unleash.models import Event, Segment, Strategy

STRATEGY_EVENTS: Final = ("feature-strategy-add", "feature-strategy-update")
DELETED: Final = ("segment-deleted",)
SEGMENT_EVENTS: Final = ("segment-created", "segment-updated")

log = logging.getLogger(__name__)


def read_lease(admin: UnleashAdmin, flag: str) -> Lease | None:
    """The flag's lease as Unleash holds it; None where there is none.

    Raises:
        AdminError: Unleash does not answer, or not so; NotFound where there is no such flag.
    """
    segment = find(admin.segments.all(), flag, admin.environment)
    return lease_of(segment, _strategies(admin, flag)) if segment else None


def renew(admin: UnleashAdmin, flag: str, until: datetime) -> Lease | None:
    """Put the end off to `until`, and answer what Unleash says then; None where there is no lease.

    Nothing else is touched: not the strategy, not what a person added to the segment. A later end stays, and
    so does a segment without any, both of which only a person makes.

    Raises:
        AdminError: Unleash does not answer, or not so; NotFound where there is no such flag.
    """
    segment = find(admin.segments.all(), flag, admin.environment)
    if segment is None:
        return None
    end = end_of(segment)
    if end is None or end >= until:
        return read_lease(admin, flag)
    admin.segments.rewrite(segment, conditions(until, segment.constraints))
    _put_back(admin, segment.id, until)
    return read_lease(admin, flag)


def _put_back(admin: UnleashAdmin, segment: int, until: datetime) -> None:
    """Undo what a renewal did to the segment that a person saved in the same moment: Unleash has no locks."""
    try:
        now = next((one for one in admin.segments.all() if one.id == segment), None)
        saved = saved_by_a_person(admin.events.of_segment(now, SEGMENT_EVENTS)) if now else None
        wanted = renewed(saved, until) if saved else None
        if now and wanted and plain(wanted) != plain(now):
            log.warning("a renewal of the lease met a person's change of the segment: putting that back")
            admin.segments.rewrite(wanted, wanted.constraints)
    except AdminError as error:  # the lease itself is renewed
        log.warning("whether a renewal met a person's change of the segment is not known: %s", error)


def ensure_lease(admin: UnleashAdmin, flag: str, length: timedelta, *, insist: bool = False) -> Lease:
    """Let the flag's gradual rollout depend on a lease, and answer what Unleash says then.

    A new lease has `length` to go: the time in which the job must begin to renew it. One that exists is only
    attached, with what it has left. Where a person took it off, nothing is done, and `declined` says so; with
    `insist`, a person's order, it is attached all the same.

    Raises:
        FlagMissing, FlagArchived, StrategyMissing, StrategyAmbiguous: there is no one strategy for it.
        AdminError: Unleash does not answer, or not so.
    """
    shot = take(admin, flag, history_required=False)
    strategy = gradual(shot)
    segment = find(admin.segments.all(), flag, admin.environment)
    if segment and segment.id in strategy.segments:
        return lease_of(segment, shot.strategies)
    if not insist and (refusal := declined(admin, flag, strategy, segment)):
        return Lease(end_of(segment) if segment else None, attached=False, declined=refusal)
    segment = segment or _create(admin, flag, length)
    attach_segment(admin, flag, strategy.id, segment.id)
    return lease_of(segment, _strategies(admin, flag))


def remove_lease(admin: UnleashAdmin, flag: str) -> None:
    """Let nothing depend on the flag's lease any more, and delete it. Does nothing where there is none.

    Raises:
        ChangedMeanwhile: a person changed the strategy's segments at this moment.
        AdminError: Unleash does not answer, or not so; NotFound where there is no such flag.
    """
    segment = find(admin.segments.all(), flag, admin.environment)
    if segment is None:
        return
    for strategy in _strategies(admin, flag):
        if segment.id in strategy.segments:
            detach_segment(admin, flag, strategy.id, segment.id, among=len(strategy.segments))
    with suppress(Rejected, NotFound):  # somebody refers to it elsewhere, or was faster
        admin.segments.delete(segment.id)


def declined(admin: UnleashAdmin, flag: str, strategy: Strategy, segment: Segment | None) -> str | None:
    """Who took the lease off this strategy, and when, as a sentence; None where no person did.

    `segment` is the lease, None where there is none now: then perhaps a person deleted it.
    """
    number, event = segment.id if segment else None, None
    if segment is None:
        name = segment_name(flag, admin.environment)
        event = admin.events.last(DELETED, project=admin.project, words=name)
        if event is None or (event.pre_data or {}).get("name") != name:
            return None
        number = event.pre_data["id"]
    if event is None or is_automation(event.created_by):
        event = taken_off(admin.events.of(flag, STRATEGY_EVENTS), strategy.id, number)
    if event is None:
        return None
    return f"{event.created_by} took the lease off at {moment(event.created_at)}"


def taken_off(events: Iterable[Event], strategy: str, segment: int | None) -> Event | None:
    """The event by which a person took the segment off the strategy, if that was the last word on it.

    `events` in their order, the oldest first.
    """
    last = order = None
    for event in events:
        after, before = event.data or {}, event.pre_data or {}
        if strategy not in (after.get("id"), before.get("id")):
            continue
        had, has = segment in before.get("segments", ()), segment in after.get("segments", ())
        if had and not has and not is_automation(event.created_by):
            last = order = event
        elif had and not has and order and event.created_at - order.created_at < MOMENT:
            last = order  # ours only puts back what the person did, and Unleash had overwritten
        elif had != has:
            last = None
            order = order if is_automation(event.created_by) else None
    return last


def _create(admin: UnleashAdmin, flag: str, length: timedelta) -> Segment:
    name, until = segment_name(flag, admin.environment), datetime.now(UTC) + length
    try:
        return admin.segments.create(name, segment_description(flag), conditions(until))
    except Rejected:  # another process was faster
        segment = find(admin.segments.all(), flag, admin.environment)
        if segment is None:
            raise
        return segment


def _strategies(admin: UnleashAdmin, flag: str) -> tuple[Strategy, ...]:
    environments = admin.feature(flag).environments
    return next((one.strategies for one in environments if one.name == admin.environment), ())

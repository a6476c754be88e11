"""The segment that a lease is: its name, its one condition, and what it says about a strategy. No calls.

Unleash's SDKs fill `currentTime` themselves at each evaluation, so a strategy that depends on the segment
stops matching by itself when the time has come, without an answer from anybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flags.accounts.users import is_automation
from flags.canary.overwritten import MOMENT
from flags.unleash.models import Event, Segment, Strategy

CLOCK: Final = "currentTime"
BEFORE: Final = "DATE_BEFORE"


def segment_name(flag: str, environment: str) -> str:
    """The segment's name. Each environment has its own: a job that guards staging vouches for no more."""
    return f"canario-lease-{flag} ({environment})"  # no flag's name has a space: no two can be taken for one


def segment_description(flag: str) -> str:
    """What a product manager reads who asks why users fell back to the champion."""
    return (
        f"Users of {flag} get the challenger only until this time. Canario's rollback job puts it off every"
        " few minutes while it can measure. Time over? Then the job, Prometheus or Unleash stands still, and"
        " everybody has the champion until it works again. To end the canary use the flag's switch. To do"
        " without the lease take this segment off the strategy; Canario will not put it back."
    )


@dataclass(frozen=True)
class Lease:
    """How long a flag's challenger may be given to users without a word from the job that guards it.

    Attributes:
        until: the end; None where a person took the time out of the segment: then it limits nothing.
        attached: whether the flag's gradual rollout depends on it; without, it limits nothing.
        declined: who took it off and when, where it was therefore not put on; only `ensure_lease` tells.
    """

    until: datetime | None
    attached: bool
    declined: str | None = None

    @property
    def left(self) -> timedelta:
        """What is left by the clock of this machine; zero when it is over. Services go by theirs."""
        if self.until is None:
            return timedelta.max
        return max(self.until - datetime.now(UTC), timedelta())


def find(segments: Iterable[Segment], flag: str, environment: str) -> Segment | None:
    """The flag's lease among all segments; None where there is none."""
    name = segment_name(flag, environment)
    return next((one for one in segments if one.name == name), None)


def lease_of(segment: Segment, strategies: Iterable[Strategy]) -> Lease:
    """What the segment means to those of a flag's strategies that let users in."""
    using = [one for one in strategies if not one.disabled] or list(strategies)
    return Lease(
        until=end_of(segment), attached=bool(using) and all(segment.id in one.segments for one in using)
    )


def end_of(segment: Segment) -> datetime | None:
    """When the segment stops matching; None where nothing in it says so, or not in a way that can be read."""
    ends = [_moment(one.get("value")) for one in segment.constraints if _is_clock(one)]
    known = [end for end in ends if end is not None]
    return min(known) if known else None


def conditions(until: datetime, kept: Iterable[Mapping[str, Any]] = ()) -> list[Mapping[str, Any]]:
    """The segment's conditions: the new end, and whatever else a person put there."""
    text = until.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    own = {"contextName": CLOCK, "operator": BEFORE, "value": text, "values": []}
    return [*(one for one in kept if not _is_clock(one)), own]


def renewed(segment: Segment, until: datetime) -> Segment:
    """The segment with an end of `until`, unless it has a later one, or none: both only a person makes."""
    end = end_of(segment)
    if end is None or end >= until:
        return segment
    return segment.model_copy(update={"constraints": tuple(conditions(until, segment.constraints))})


def saved_by_a_person(events: Sequence[Event]) -> Segment | None:
    """The segment as a person saved it within the last moment of these events; None where nobody did.

    A program changes nothing but the end, so the rest must be as saved, whatever a program wrote since.
    """
    for event in reversed(events):
        if not is_automation(event.created_by) and event.data:
            recent = events[-1].created_at - event.created_at < MOMENT
            return Segment.model_validate(event.data) if recent else None
    return None


def plain(segment: Segment) -> tuple[object, ...]:
    """What one segment is compared by with another: Unleash adds fields that say nothing as it saves."""
    constraints = [
        {name: value for name, value in one.items() if value not in (None, False, "", [])}
        for one in segment.constraints
    ]
    return segment.name, segment.description or "", constraints


def _is_clock(constraint: Mapping[str, Any]) -> bool:
    return (
        constraint.get("contextName") == CLOCK
        and constraint.get("operator") == BEFORE
        and not constraint.get("inverted")
    )


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

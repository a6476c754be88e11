"""What each line of the event log made of a flag: a replay of share and switch. Pure.

The log of a flag's whole life begins with its creation. Where it was cut (Unleash tells 1,000 lines), what
came before is taken from the first line that names it, or from the flag as it is now.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from flags.accounts import is_automation
from flags.event_words import ADDED, REMOVED, TAGGED, UNTAGGED, UPDATED, in_words
from flags.models import GRADUAL, EnvironmentState, Event, Strategy
from flags.overwritten import notes

ON: Final = "feature-environment-enabled"
OFF: Final = "feature-environment-disabled"
ENDED: Final = ("feature-archived", "feature-revived", "feature-deleted")


@dataclass(frozen=True)
class Standing:
    """A flag in one environment at one time.

    Attributes:
        on: the environment's switch.
        strategies: by id.
    """

    on: bool = False
    strategies: dict[str, Strategy] = field(default_factory=dict)

    @property
    def share(self) -> int | None:
        """The rollout of the only active strategy, 0 to 100; None where there is no such one share."""
        active = self._active
        return active[0].percent if len(active) == 1 and active[0].name == GRADUAL else None

    @property
    def reach(self) -> int:
        """The most per cent of the users that may get the challenger; 0 while it is off."""
        return max(map(_most, self._active), default=0) if self.on else 0

    @property
    def _active(self) -> tuple[Strategy, ...]:
        return tuple(one for one in self.strategies.values() if not one.disabled)


@dataclass(frozen=True)
class Change:
    """One line of the event log and what it did.

    Attributes:
        id: the event's number; later ones are greater.
        at: its time, in UTC.
        who: the user's name in Unleash.
        is_automation: whether that is one of Canario's programs.
        type: as Unleash names it, `feature-strategy-update`.
        before, after: the flag on both sides of it.
        words: what it did, for people.
        tag: type and value of the tag that was put on or taken off, if it was that.
    """

    id: int
    at: datetime
    who: str
    is_automation: bool
    type: str
    before: Standing
    after: Standing
    words: str
    tag: tuple[str, str] | None = None

    @property
    def lowered(self) -> bool:
        """Whether fewer users may get the challenger than before."""
        return self.after.reach < self.before.reach

    @property
    def raised(self) -> bool:
        """Whether more users may get the challenger than before."""
        return self.after.reach > self.before.reach


def replayed(events: Sequence[Event], now: EnvironmentState | None, environment: str) -> Iterator[Change]:
    """The changes, from the oldest on. `events` in that order too; `now` is the flag as it is."""
    here = [one for one in events if one.environment in (None, environment)]
    standing, noted = _beginning(here, now), notes(here)
    for event in here:
        before, standing = standing, _after(standing, event)
        yield Change(
            id=event.id,
            at=event.created_at,
            who=event.created_by,
            is_automation=is_automation(event.created_by),
            type=event.type,
            before=before,
            after=standing,
            words=f"{in_words(event)} ({noted[event.id]})" if event.id in noted else in_words(event),
            tag=_tag(event),
        )


def _after(standing: Standing, event: Event) -> Standing:
    if event.type in (ON, OFF):
        return replace(standing, on=event.type == ON)
    if event.type == "feature-created":
        return Standing()
    if event.type in ENDED:  # reviving turns a flag off everywhere, and keeps its strategies
        return replace(standing, on=False)
    strategies = dict(standing.strategies)
    if event.type == REMOVED and event.pre_data:
        strategies.pop(event.pre_data["id"], None)
    elif event.type in (ADDED, UPDATED) and event.data:
        strategies[event.data["id"]] = Strategy.model_validate(event.data)
    return replace(standing, strategies=strategies)


def _beginning(events: Iterable[Event], now: EnvironmentState | None) -> Standing:
    """The flag before the first of these events."""
    on: bool | None = None
    found: dict[str, Strategy] = {}
    named = set()
    for event in events:
        if event.type == "feature-created":
            return Standing()
        if on is None and event.type in (ON, OFF):
            on = event.type == OFF
        if event.type in (ADDED, UPDATED, REMOVED):
            old, new = event.pre_data, event.data
            number = str((old or new or {}).get("id"))
            if old and number not in named:
                found[number] = Strategy.model_validate(old)
            named.add(number)
    rest = {one.id: one for one in (now.strategies if now else ()) if one.id not in named}
    return Standing(on if on is not None else now is not None and now.enabled, found | rest)


def _most(strategy: Strategy) -> int:
    """Per cent of the users that a strategy can let in; what is not known counts as all."""
    percent = strategy.percent if strategy.name == GRADUAL else None
    return 100 if percent is None else percent


def _tag(event: Event) -> tuple[str, str] | None:
    if event.type not in (TAGGED, UNTAGGED):
        return None
    tag = event.data or event.pre_data or {}
    return str(tag.get("type")), str(tag.get("value"))

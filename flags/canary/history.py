"""The history of a flag, read from Unleash's event log: what each line made of it, and what people ordered.

The log of a flag's whole life begins with its creation. Where it was cut (Unleash tells 1,000 lines), what
came before is taken from the first line that names it, or from the flag as it is now.

People win: a person's change is the new state, and where it lowered the share, automation stays at or below
it until a person raises the share, or gives a reason to go on (flags.canary.marks.resume). Nothing of this
is kept elsewhere. Why it is drawn so: docs/decisions/0015-people-win.md.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from common.figures import moment
from flags.accounts.users import ROLLBACK_USER, ROLLOUT_USER, is_automation
from flags.canary.events import ADDED, REMOVED, TAGGED, UNTAGGED, UPDATED, in_words
from flags.canary.marks import APPROVE, BEGIN, LIFT, PAUSE, QUARANTINE, RESUME, ROLLED_BACK
from flags.canary.overwritten import notes
from flags.unleash.admin import LIFE_EVENTS, SHARE_EVENTS, UnleashAdmin
from flags.unleash.errors import NotFound, UnexpectedAnswer
from flags.unleash.models import GRADUAL, EnvironmentState, Event, Strategy

ON: Final = "feature-environment-enabled"
OFF: Final = "feature-environment-disabled"
ENDED: Final = ("feature-archived", "feature-revived", "feature-deleted")
EVENTS: Final = (*SHARE_EVENTS, *LIFE_EVENTS, TAGGED, UNTAGGED)
MARKS: Final = (QUARANTINE, RESUME, LIFT, ROLLED_BACK, PAUSE, APPROVE, BEGIN)
# Lower a share by their own judgement: a blocked version stands for a rollback, and the plan sets 0 when it
# promotes. The other users of Canario lower one only because a person told them to, by the command line or
# the admin routes.
LOWERS_BY_ITSELF: Final = frozenset({ROLLBACK_USER, ROLLOUT_USER})


@dataclass(frozen=True)
class Exposure:
    """Who could get the challenger at one time: a flag in one environment.

    Attributes:
        on: the environment's switch.
        strategies: by id.
    """

    on: bool = False
    strategies: dict[str, Strategy] = field(default_factory=dict)

    @property
    def reach(self) -> int:
        """The most per cent of the users that may get the challenger; 0 while it is off."""
        return max(map(_most, self._active), default=0) if self.on else 0

    @property
    def share(self) -> int | None:
        """The rollout of the only active strategy, 0 to 100; None where there is no such one share."""
        active = self._active
        return active[0].percent if len(active) == 1 and active[0].name == GRADUAL else None

    @property
    def _active(self) -> list[Strategy]:
        return [one for one in self.strategies.values() if not one.disabled]

    def after(self, event: Event) -> "Exposure":
        """As this line of the log has left it."""
        if event.type in (ON, OFF):
            return replace(self, on=event.type == ON)
        if event.type == "feature-created":
            return Exposure()
        if event.type in ENDED:  # reviving turns a flag off everywhere, and keeps its strategies
            return replace(self, on=False)
        strategies = dict(self.strategies)
        if event.type == REMOVED and event.pre_data:
            strategies.pop(event.pre_data["id"], None)
        elif event.type in (ADDED, UPDATED) and event.data:
            strategies[event.data["id"]] = Strategy.model_validate(event.data)
        return replace(self, strategies=strategies)


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
    before: Exposure
    after: Exposure
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

    @property
    def marked(self) -> tuple[str, str] | None:
        """Type and value of the mark that was put on, if it was that."""
        return self.tag if self.type == TAGGED else None


@dataclass(frozen=True)
class Hold:
    """A share that a person lowered, and that automation must not raise.

    Attributes:
        limit: the most per cent of the users that automation may give the challenger.
        who, at, words: the change that says so.
    """

    limit: int
    who: str
    at: datetime
    words: str

    def refusal(self, percent: int) -> str | None:
        """Why automation must not set this share; None where it may."""
        if percent <= self.limit:
            return None
        return (
            f"{self.who} lowered it at {moment(self.at)} ({self.words}), so it stays at {self.limit}% at most"
            ' until a person raises it, or says `./canario rollout resume --reason "..."`'
        )


def history(admin: UnleashAdmin, flag: str, since: datetime | None = None) -> tuple[Change, ...]:
    """What was done to the flag in this environment, the oldest first; `since` leaves out what came before.

    Raises:
        AdminError: Unleash does not answer, or not so.
    """
    now = None
    with suppress(NotFound):
        environments = admin.feature(flag).environments
        now = next((one for one in environments if one.name == admin.environment), None)
    return tuple(one for one in history_until(admin, flag, now) if since is None or one.at >= since)


def history_until(admin: UnleashAdmin, flag: str, now: EnvironmentState | None) -> tuple[Change, ...]:
    """The same, where it is known what the flag is now. Raises AdminError."""
    events = admin.events.of(flag, EVENTS)
    if now is not None and not events:  # what its database cannot tell, Unleash calls nothing
        raise UnexpectedAnswer(
            f"Unleash's event log tells nothing of {flag}, which exists: see the log of Unleash, try again"
        )
    changes = replayed(events, now, admin.environment)
    return tuple(one for one in changes if one.tag is None or one.tag[0] in MARKS)


def held(changes: Iterable[Change]) -> Hold | None:
    """What a person lowered and nobody has raised or resumed since. `changes` from the oldest on."""
    found = None
    for change in changes:
        if change.marked and change.marked[0] == RESUME:
            found = None
        elif change.lowered and change.who not in LOWERS_BY_ITSELF:
            found = Hold(change.after.reach, change.who, change.at, change.words)
        elif change.raised and not change.is_automation:
            found = None
    return found


def switched_off(changes: Iterable[Change]) -> Hold | None:
    """A person turned the flag off, perhaps at 0%, where that lowers nothing: it is an order all the same.

    So is archiving it; who revives it finds it off.
    """
    found = None
    for change in changes:
        if change.type in (OFF, *ENDED) and change.who not in LOWERS_BY_ITSELF:
            found = Hold(0, change.who, change.at, change.words)
        elif change.type == ON or (change.marked and change.marked[0] == RESUME):
            found = None
    return found


def unmarked_rollback(changes: Iterable[Change]) -> Change | None:
    """A rollback whose version is not blocked yet, and that no person has answered since."""
    found = None
    for change in changes:
        if change.who == ROLLBACK_USER and change.lowered:
            found = change
        elif (change.tag and change.tag[0] in (QUARANTINE, RESUME, LIFT)) or (
            change.raised and not change.is_automation
        ):
            found = None
    return found


def rolled_back(changes: Iterable[Change]) -> tuple[Change, str | None] | None:
    """The last rollback, and why, as the job that did it marked it; None where there was none."""
    found: tuple[Change, str | None] | None = None
    for change in changes:
        if change.who == ROLLBACK_USER and change.lowered:
            found = change, None
        elif found and change.marked and change.marked[0] == ROLLED_BACK:
            found = found[0], change.marked[1]
    return found


def last_mark(changes: Sequence[Change], kind: str, value: str) -> Change | None:
    """The last time that somebody put on this mark, where the log tells."""
    return next((one for one in reversed(changes) if one.marked == (kind, value)), None)


def replayed(events: Sequence[Event], now: EnvironmentState | None, environment: str) -> Iterator[Change]:
    """The changes, from the oldest on. `events` in that order too; `now` is the flag as it is."""
    here = [one for one in events if one.environment in (None, environment)]
    exposure, noted = _at_first(here, now), notes(here)
    for event in here:
        before, exposure = exposure, exposure.after(event)
        yield Change(
            id=event.id,
            at=event.created_at,
            who=event.created_by,
            is_automation=is_automation(event.created_by),
            type=event.type,
            before=before,
            after=exposure,
            words=f"{in_words(event)} ({noted[event.id]})" if event.id in noted else in_words(event),
            tag=_tag(event),
        )


def _at_first(events: Iterable[Event], now: EnvironmentState | None) -> Exposure:
    """The flag before the first of these events."""
    on: bool | None = None
    found: dict[str, Strategy] = {}
    named = set()
    for event in events:
        if event.type == "feature-created":
            return Exposure()
        if on is None and event.type in (ON, OFF):
            on = event.type == OFF
        if event.type in (ADDED, UPDATED, REMOVED):
            old, new = event.pre_data, event.data
            number = str((old or new or {}).get("id"))
            if old and number not in named:
                found[number] = Strategy.model_validate(old)
            named.add(number)
    rest = {one.id: one for one in (now.strategies if now else ()) if one.id not in named}
    return Exposure(on if on is not None else now is not None and now.enabled, found | rest)


def _most(strategy: Strategy) -> int:
    """Per cent of the users that a strategy can let in; what is not known counts as all."""
    percent = strategy.percent if strategy.name == GRADUAL else None
    return 100 if percent is None else percent


def _tag(event: Event) -> tuple[str, str] | None:
    if event.type not in (TAGGED, UNTAGGED):
        return None
    tag = event.data or event.pre_data or {}
    return str(tag.get("type")), str(tag.get("value"))

"""What Unleash lost of somebody's change because a program of Canario wrote in the same moment. Pure.

Unleash patches a strategy by reading it, changing it and writing it whole, without a lock. Its event log
shows what came of it: a line is stored with the write that it tells of, so the lines of one strategy stand in
the order of the writes, each with all of the strategy. A program means to change one field. If its line
brings any other field back to what it was before the line above, that is lost, and the line above is right.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, NamedTuple

from flags.accounts.users import COMMAND_LINE, is_automation
from flags.canary.events import ADDED, REMOVED, UPDATED, in_words
from flags.unleash.fields import Fields, fields, patch_of
from flags.unleash.models import Event

MOMENT: Final = timedelta(seconds=30)  # the longest that a call may be under way, and more
# Programs change these themselves, and a line does not tell which of them was meant.
SHARE: Final = "/parameters/rollout"
CONSTRAINTS: Final = "/constraints/"
OWN: Final = frozenset({SHARE, "/parameters/stickiness", "/parameters/groupId"})
KINDS: Final = (ADDED, UPDATED, REMOVED)


@dataclass(frozen=True)
class Loss:
    """What is to be put back.

    Attributes:
        strategy: its id.
        fields: what was lost, by the place in the strategy, as it was meant to be; None: it was not there.
        patch: the JSON patch that puts it back.
        who: whose change it was; `words`: what it did.
        conflict: whether it is also the very field that the program set.
    """

    strategy: str
    fields: Fields
    patch: tuple[Mapping[str, Any], ...]
    who: str
    words: str
    conflict: bool = False


@dataclass(frozen=True)
class Write:
    """A write whose outcome is looked at.

    Attributes:
        fields: what it set, by the place in the strategy; None: it took that away.
        seen: values on which it rested. Another one just before it was somebody's, and is wanted.
        answer: the fields of the whole strategy as Unleash answered the write. Lines of the last MOMENT that
            tell just that are its own; another program's would have done the same.
        since: id of the last line before it, where that is known.
        puts_back: it gives fields what a person wanted; one who has saved the strategy since wants it so.
    """

    strategy: str
    fields: Fields
    seen: Fields = field(default_factory=dict)
    answer: Fields | None = None
    since: int = 0
    puts_back: bool = False

    def own(self, lines: Sequence[Event], after: Sequence[Fields]) -> frozenset[int]:
        """Which lines of the strategy, by their place in `lines`, can be the write's own."""
        known = [n for n, line in enumerate(lines) if line.id > self.since]
        if self.answer is not None:
            known = [n for n in known if lines[-1].created_at - lines[n].created_at < MOMENT]
            if same := [n for n in known if after[n] == self.answer]:
                # An order of a moment ago may have led to the same, by another field.
                return frozenset(n for n in same if n and self.fields.keys() & _changed(after, n, n - 1)) or (
                    frozenset(same)
                )
        fitting = [
            n
            for n in known
            if is_automation(lines[n].created_by)
            and all(after[n].get(place) == one for place, one in self.fields.items())
        ]
        # A later one that fits is the write's own only if the same program wrote it.
        return frozenset(n for n in fitting if lines[n].created_by == lines[fitting[0]].created_by)

    def met(self, above: Sequence[Event], before: Fields) -> set[str]:
        """Fields that somebody had set otherwise than the write, since what it rests on was seen."""
        if self.puts_back and any(one.id > self.since and not is_automation(one.created_by) for one in above):
            return {place for place, one in self.fields.items() if before.get(place) != one}
        return {
            place for place, one in self.seen.items() if before.get(place) not in (one, self.fields[place])
        }


def lost(events: Iterable[Event], write: Write) -> Loss | None:
    """What a write has undone; None where that was nothing, or is put back.

    `events` are of the flag's strategies, the oldest first, the write's own line among them.
    """
    return _reviewed(_lines(events, write.strategy), write).left


def notes(events: Iterable[Event]) -> dict[int, str]:
    """What is to be added to the words of lines that undid something, or that put it back; by their id."""
    every = tuple(events)
    reviews = (_reviewed(_lines(every, one)) for one in _strategies(every))
    return {number: told for review in reviews for number, told in review.notes.items()}


def still_lost(events: Iterable[Event], by: str) -> Loss | None:
    """What a write of the program `by` has undone, and nobody has put back: it was ended meanwhile."""
    every = tuple(events)
    reviews = (_reviewed(_lines(every, one), by=by) for one in _strategies(every))
    return next((review.left for review in reviews if review.left), None)


class _Review(NamedTuple):
    notes: dict[int, str]
    left: Loss | None


class _Undone(NamedTuple):
    n: int
    """The line that did it."""
    places: frozenset[str]
    author: Event
    met: frozenset[str]
    """Those of the places that the line itself meant to change."""
    ours: bool


def _reviewed(lines: Sequence[Event], write: Write | None = None, by: str | None = None) -> _Review:
    """Go through the lines of one strategy.

    `left` is what the lines of `write`, or those of the program `by`, have undone.
    """
    after = [fields(one.data or {}) for one in lines]
    told: dict[int, str] = {}
    found: _Undone | None = None
    own = write.own(lines, after) if write else frozenset()
    for n, line in enumerate(lines):
        if line.type != UPDATED or not is_automation(line.created_by):
            found = None  # whoever saved the strategy since has seen it
            continue
        if found and (back := found.places - _changed(after, n, found.n - 1)) == found.places:
            told[line.id] = f"put back: {found.author.created_by} had set it"
            found = None
            continue
        if found:  # what was given another value since is somebody's order
            kept = found.places - _changed(after, n, found.n) - back
            found = found._replace(places=kept) if kept else None
        if n == 0 or lines[n - 1].type == REMOVED:
            continue
        places, met = _brought_back(lines, after, n), frozenset[str]()
        if write is not None and n in own:
            met = frozenset(write.met(lines[:n], after[n - 1]))
            places = places - write.fields.keys() | met
        else:
            places = frozenset() if _is_about_one_part(line, after, n) else places - OWN
            if who := _share_is_again_of(lines, after, n):
                told[line.id] = f"put back: {who} had set it"
        if places:
            found = _Undone(n, places, _author(lines, n, places), met, n in own or line.created_by == by)
            told[line.id] = f"it undid what {found.author.created_by} had just done: {in_words(found.author)}"
    return _Review(told, _loss(lines, found) if found and found.ours else None)


def _share_is_again_of(lines: Sequence[Event], after: Sequence[Fields], n: int) -> str | None:
    """The person who had set the share that the line `n` sets, a moment before a program set another one."""
    share = after[n].get(SHARE)
    if share == after[n - 1].get(SHARE):
        return None
    people = [one for one in lines[:n] if not is_automation(one.created_by)]
    if not people or lines[n].created_at - people[-1].created_at >= MOMENT:
        return None
    old, new = (fields(state or {}).get(SHARE) for state in (people[-1].pre_data, people[-1].data))
    return people[-1].created_by if old != new == share else None


def _brought_back(lines: Sequence[Event], after: Sequence[Fields], n: int) -> frozenset[str]:
    """Fields that the line `n` brings back to a value from before the line above it."""
    recent = [one for one in lines[:n] if lines[n].created_at - one.created_at < MOMENT]
    earlier = [fields(state) for one in recent for state in (one.pre_data, one.data) if state]
    return frozenset(
        place
        for place in _changed(after, n, n - 1)
        if any(one.get(place) == after[n].get(place) for one in earlier)
    )


def _changed(after: Sequence[Fields], n: int, since: int) -> frozenset[str]:
    """Fields that are not at the line `n` what they were at the line `since`."""
    old, new = after[since], after[n]
    return frozenset(place for place in old.keys() | new.keys() if old.get(place) != new.get(place))


def _author(lines: Sequence[Event], n: int, places: Collection[str]) -> Event:
    """The line that had made these fields what they were before the line `n`."""
    for line in reversed(lines[:n]):
        old, new = fields(line.pre_data or {}), fields(line.data or {})
        if any(old.get(place) != new.get(place) for place in places):
            return line
    return lines[n - 1]


def _loss(lines: Sequence[Event], undone: _Undone) -> Loss:
    """What is to be put back of it."""
    wanted, now = lines[undone.n - 1].data, lines[-1].data
    meant, places = fields(wanted), sorted(undone.places)
    return Loss(
        strategy=str(now["id"]),
        fields={place: meant.get(place) for place in places},
        patch=tuple(patch_of(places, wanted, now)),
        who=undone.author.created_by,
        words=in_words(undone.author),
        conflict=not undone.met.isdisjoint(places),
    )


def _is_about_one_part(line: Event, after: Sequence[Fields], n: int) -> bool:
    """A line that changed one segment and nothing else put the lease on, or took it off.

    One of the command line that changed constraints alone kept users out, or let them in.
    """
    changed = [*_changed(after, n, n - 1)]
    if line.created_by == COMMAND_LINE and all(place.startswith(CONSTRAINTS) for place in changed):
        return True
    return len(changed) == 1 and changed[0].startswith("/segments/")


def _strategies(events: Iterable[Event]) -> Iterable[str]:
    return dict.fromkeys(_about(one) for one in events if one.type in KINDS)


def _lines(events: Iterable[Event], strategy: str) -> list[Event]:
    return [one for one in events if one.type in KINDS and _about(one) == strategy]


def _about(event: Event) -> str:
    return str((event.data or event.pre_data or {}).get("id"))

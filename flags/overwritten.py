"""What Unleash lost of somebody's change because a program of Canario wrote in the same moment. Pure.

Unleash patches a strategy by reading it, changing it and writing it whole, without a lock. Its event log
shows what came of it: a line is stored with the write that it tells of, so the lines of one strategy stand in
the order of the writes, each with all of the strategy. A program means to change one field. If its line
brings any other field back to what it was before the line above, that is lost, and the line above is right.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from flags.accounts import is_automation
from flags.event_words import ADDED, REMOVED, UPDATED, in_words
from flags.models import Event

MOMENT: Final = timedelta(seconds=30)  # the longest that a call may be under way, and more
# Programs change these themselves, and a line does not tell which of them was meant.
OWN: Final = frozenset({"/parameters/rollout", "/parameters/stickiness", "/parameters/groupId"})
KINDS: Final = (ADDED, UPDATED, REMOVED)
LISTS: Final = ("constraints", "variants")
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Loss:
    """What is to be put back.

    Attributes:
        strategy: its id.
        fields: what was lost, by the place in the strategy, as it was meant to be; None: it was not there.
        now: what is there instead.
        patch: the JSON patch that puts it back.
        who: whose change it was; `words`: what it did.
        conflict: whether it is also the very field that the program set.
    """

    strategy: str
    fields: Fields
    now: Fields
    patch: tuple[Mapping[str, Any], ...]
    who: str
    words: str
    conflict: bool = False


def fields(strategy: Fields) -> dict[str, Any]:
    """The fields of a strategy by their place in it, in one spelling; each of its segments is one field."""
    found: dict[str, Any] = {f"/{name}": [*map(_plain, strategy.get(name) or ())] for name in LISTS}
    found |= {"/name": strategy.get("name"), "/title": strategy.get("title") or ""}
    found["/disabled"] = bool(strategy.get("disabled"))
    parameters = strategy.get("parameters") or {}
    found |= {f"/parameters/{name}": str(one) for name, one in parameters.items() if one is not None}
    return found | {f"/segments/{number}": True for number in strategy.get("segments") or ()}


def lost(events: Iterable[Event], strategy: str, wrote: Fields, seen: Fields | None = None) -> Loss | None:
    """What the write of the fields `wrote` has undone; None where that was nothing, or is put back.

    Args:
        events: of the flag's strategies, the oldest first, the write's own line among them.
        seen: values on which the write rested; another one just before it was somebody's, and is wanted.
    """
    return _reviewed(_lines(events, strategy), wrote, seen).left


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
    places: Collection[str]
    author: Event
    met: Collection[str]
    """Those of the places that the line itself meant to change."""
    ours: bool


def _reviewed(
    lines: Sequence[Event], wrote: Fields | None = None, seen: Fields | None = None, by: str | None = None
) -> _Review:
    """Go through the lines of one strategy.

    `left` is what lines that wrote `wrote`, or are of the program `by`, have undone.
    """
    after = [fields(one.data or {}) for one in lines]
    told: dict[int, str] = {}
    found: _Undone | None = None
    for n, line in enumerate(lines):
        if line.type != UPDATED or not is_automation(line.created_by):
            found = None  # whoever saved the strategy since has seen it
        elif found and all(after[n].get(place) == after[found.n - 1].get(place) for place in found.places):
            told[line.id] = f"put back: {found.author.created_by} had set it"
            found = None
        elif n and lines[n - 1].type != REMOVED:
            places, is_write = _brought_back(lines, after, n), wrote is not None and _holds(after[n], wrote)
            met: set[str] = set()
            if wrote is not None and is_write:
                met = _met(after[n - 1], wrote, seen or {})
                places -= wrote.keys()
            else:
                places = set() if _is_about_a_segment(after, n) else places - OWN
            if places := places | met:
                ours = is_write or line.created_by == by
                found = _Undone(n, places, _author(lines, n, places), met, ours)
                told[line.id] = (
                    f"it undid what {found.author.created_by} had just done: {in_words(found.author)}"
                )
    return _Review(told, _loss(lines, found) if found and found.ours else None)


def _met(before: Fields, wrote: Fields, seen: Fields) -> set[str]:
    """Fields that somebody had changed since they were seen, and that were overwritten."""
    return {place for place, value in seen.items() if before.get(place) not in (value, wrote[place])}


def _brought_back(lines: Sequence[Event], after: Sequence[Fields], n: int) -> set[str]:
    """Fields that the line `n` brings back to a value from before the line above it."""
    recent = [one for one in lines[:n] if lines[n].created_at - one.created_at < MOMENT]
    earlier = [fields(state) for one in recent for state in (one.pre_data, one.data) if state]
    return {
        place for place in _changed(after, n) if any(one.get(place) == after[n].get(place) for one in earlier)
    }


def _changed(after: Sequence[Fields], n: int) -> set[str]:
    old, new = after[n - 1], after[n]
    return {place for place in old.keys() | new.keys() if old.get(place) != new.get(place)}


def _author(lines: Sequence[Event], n: int, places: Collection[str]) -> Event:
    """The line that had made these fields what they were before the line `n`."""
    for line in reversed(lines[:n]):
        old, new = fields(line.pre_data or {}), fields(line.data or {})
        if any(old.get(place) != new.get(place) for place in places):
            return line
    return lines[n - 1]


def _loss(lines: Sequence[Event], undone: _Undone) -> Loss | None:
    """What is to be put back of it: fields that nobody has given another value since."""
    wanted, then, now = (lines[n].data for n in (undone.n - 1, undone.n, -1))
    meant, old, new = fields(wanted), fields(then), fields(now)
    places = sorted(place for place in undone.places if new.get(place) == old.get(place))
    if not places:
        return None
    return Loss(
        strategy=str(now["id"]),
        fields={place: meant.get(place) for place in places},
        now={place: new.get(place) for place in places},
        patch=tuple(_operations(places, wanted, now)),
        who=undone.author.created_by,
        words=in_words(undone.author),
        conflict=not undone.met.isdisjoint(places),
    )


def _operations(places: Iterable[str], before: Fields, now: Fields) -> Iterator[Mapping[str, Any]]:
    segments = list(now.get("segments") or ())
    for place in places:
        name, _, rest = place[1:].partition("/")
        if name == "segments":
            had = int(rest) in (before.get("segments") or ())
            segments = [*segments, int(rest)] if had else [one for one in segments if one != int(rest)]
        elif name == "parameters" and before["parameters"].get(rest) is None:
            yield {"op": "remove", "path": place}
        else:
            value = before["parameters"][rest] if name == "parameters" else before.get(name)
            yield {
                "op": "add",
                "path": place,
                "value": ([] if name in LISTS else "") if value is None else value,
            }
    if any(place.startswith("/segments/") for place in places):
        yield {"op": "add", "path": "/segments", "value": segments}


def _holds(state: Fields, wrote: Fields) -> bool:
    return all(state.get(place) == value for place, value in wrote.items())


def _is_about_a_segment(after: Sequence[Fields], n: int) -> bool:
    """A line that changed one segment and nothing else put the lease on, or took it off."""
    changed = [*_changed(after, n)]
    return len(changed) == 1 and changed[0].startswith("/segments/")


def _strategies(events: Iterable[Event]) -> Iterable[str]:
    return dict.fromkeys(_about(one) for one in events if one.type in KINDS)


def _lines(events: Iterable[Event], strategy: str) -> list[Event]:
    return [one for one in events if one.type in KINDS and _about(one) == strategy]


def _about(event: Event) -> str:
    return str((event.data or event.pre_data or {}).get("id"))


def _plain(entry: Any) -> Any:
    """A condition or variant without what says nothing: Unleash adds such fields as it saves."""
    if not isinstance(entry, Mapping):
        return entry
    return {name: value for name, value in entry.items() if value not in (None, False, "", [])}

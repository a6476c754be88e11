"""The parts of Unleash's admin API beside the strategies: segments, tags, links, the event log.

All of it was seen to be the same on Unleash 7.6.5 and 8.2.0, open source; docs/decisions/0014-lease.md tells
which of it has surprises.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flags.unleash.errors import Rejected
from flags.unleash.http import Transport, quoted
from flags.unleash.models import ContextFields, Event, Events, Segment, Segments, Tag, TagList, TagTypes

SEGMENTS: Final = "/api/admin/segments"
CONTEXT: Final = "/api/admin/context"
TAG_TYPES: Final = "/api/admin/tag-types"
MOST_EVENTS: Final = 1000  # that Unleash tells in one answer
AT_ONCE: Final = 5  # writes that may wait for each other
CONFLICT: Final = 409  # a name that is taken

Constraint = Mapping[str, Any]


class SegmentStore:
    """Segments. New ones are of one project: only its strategies can refer to them."""

    def __init__(self, transport: Transport, project: str) -> None:
        self._transport = transport
        self._project = project

    def all(self) -> tuple[Segment, ...]:
        """Every segment of the server, those of other projects too."""
        return self._transport.get(Segments, SEGMENTS).segments

    def create(self, name: str, description: str, constraints: Sequence[Constraint]) -> Segment:
        """Make a segment. Raises Rejected (409) where the name is taken."""
        body = self._body(name, description, constraints, self._project)
        return self._transport.post(Segment, SEGMENTS, body)

    def rewrite(self, segment: Segment, constraints: Sequence[Constraint]) -> None:
        """Give a segment other constraints. Unleash knows no patch here: the rest is written back as read."""
        body = self._body(segment.name, segment.description or "", constraints, segment.project)
        self._transport.send("PUT", f"{SEGMENTS}/{segment.id}", body, repeatable=True)

    def delete(self, segment: int) -> None:
        """Delete a segment. Raises Rejected (409) where a strategy still refers to it, NotFound if gone."""
        self._transport.send("DELETE", f"{SEGMENTS}/{segment}", repeatable=False)

    @staticmethod
    def _body(
        name: str, description: str, constraints: Sequence[Constraint], project: str | None
    ) -> dict[str, Any]:
        body = {"name": name, "description": description, "constraints": [dict(one) for one in constraints]}
        return body | ({"project": project} if project else {})


class ContextStore:
    """Fields of the context of a request. The UI offers no others for a constraint."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def names(self) -> frozenset[str]:
        """Those that there are."""
        return frozenset(one.name for one in self._transport.get(ContextFields, CONTEXT).root)

    def create(self, name: str) -> None:
        """Make one; doing it twice is doing it once."""
        field = {"name": name, "description": "As clients send it in the context of a request."}
        try:
            self._transport.send("POST", CONTEXT, field, repeatable=False)
        except Rejected as error:
            if error.status != CONFLICT:  # somebody else was faster
                raise


class TagStore:
    """Tags of flags, and their types. A flag's tags are the same in all environments."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def of(self, flag: str) -> tuple[Tag, ...]:
        """The flag's tags. Raises NotFound where there is no such flag."""
        return self._transport.get(TagList, self._path(flag)).tags

    def ensure_type(self, name: str, description: str, color: str) -> None:
        """Make a type of tags, unless there is one of this name; whoever changed that one may.

        Only making it takes the permission CREATE_TAG_TYPE.
        """
        if any(one.name == name for one in self._transport.get(TagTypes, TAG_TYPES).tag_types):
            return
        body = {"name": name, "description": description, "icon": "", "color": color}
        try:
            self._transport.send("POST", TAG_TYPES, body, repeatable=False)
        except Rejected as error:
            if error.status != CONFLICT:  # somebody else was faster
                raise

    def change(self, flag: str, *, add: Iterable[Tag] = (), remove: Iterable[Tag] = ()) -> None:
        """Add and remove tags in one step. Twice is as once, but for lines in the event log."""
        body = {
            "addedTags": [one.model_dump() for one in add],
            "removedTags": [one.model_dump() for one in remove],
        }
        self._transport.send("PUT", self._path(flag), body, repeatable=True)

    @staticmethod
    def _path(flag: str) -> str:
        return f"/api/admin/features/{quoted(flag)}/tags"


class Links:
    """Links on a flag's page; reading the flag tells those it has."""

    def __init__(self, transport: Transport, features: str) -> None:
        """`features` is the address of the project's flags."""
        self._transport = transport
        self._features = features

    def put(self, flag: str, url: str, title: str, *, instead_of: str | None = None) -> None:
        """Put a link on the page, in the place of the one with this id or beside all others."""
        body, path = {"url": url, "title": title}, self._path(flag)
        if instead_of is None:
            self._transport.send("POST", path, body, repeatable=False)
        else:
            self._transport.send("PUT", f"{path}/{quoted(instead_of)}", body, repeatable=True)

    def _path(self, flag: str) -> str:
        return f"{self._features}/{quoted(flag)}/link"


class EventLog:
    """Unleash's event log, which names who changed what."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def last(
        self,
        types: Iterable[str],
        *,
        flag: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        words: str | None = None,
    ) -> Event | None:
        """The last event of these types; `words` must stand somewhere in it."""
        exact = {"feature": flag, "project": project, "environment": environment}
        query = {name: f"IS:{value}" for name, value in exact.items() if value is not None}
        if words is not None:
            query["query"] = words
        found = self._found(types, limit=AT_ONCE, **query)
        return found[0] if found else None

    def recent(self, types: Iterable[str], *, limit: int) -> tuple[Event, ...]:
        """The last events of these types, whatever they are about, the latest first."""
        return self._found(types, limit=limit)

    def of(self, flag: str, types: Iterable[str], *, limit: int = MOST_EVENTS) -> tuple[Event, ...]:
        """The flag's last events of these types in all environments, the oldest first."""
        return self._found(types, limit=limit, feature=f"IS:{flag}")[::-1]

    def of_segment(self, segment: Segment, types: Iterable[str]) -> tuple[Event, ...]:
        """Those of a segment among the last 50 of these types in its project, the oldest first."""
        project = {"project": f"IS:{segment.project}"} if segment.project else {}
        found = self._found(types, limit=50, **project)[::-1]
        return tuple(one for one in found if (one.data or one.pre_data or {}).get("id") == segment.id)

    def _found(self, types: Iterable[str], *, limit: int, **query: str) -> tuple[Event, ...]:
        """The latest first, by their numbers: that is the order of the writes.

        Unleash sorts by time, which is that of a transaction's beginning, and it may have waited for another.
        """
        asked = {"type": f"IS_ANY_OF:{','.join(types)}", "limit": str(limit), **query}
        found = self._transport.get(Events, "/api/admin/search/events", asked).events
        return tuple(sorted(found, key=lambda event: event.id, reverse=True))

"""A strategy as Unleash writes it, as fields that can be compared and put back one by one. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

LISTS: Final = ("constraints", "variants")
Fields = Mapping[str, Any]


def fields(strategy: Fields) -> dict[str, Any]:
    """The fields of a strategy by their place in it, in one spelling; each of its segments is one field."""
    found: dict[str, Any] = {f"/{name}": [*map(_plain, strategy.get(name) or ())] for name in LISTS}
    found |= {"/name": strategy.get("name"), "/title": strategy.get("title") or ""}
    found["/disabled"] = bool(strategy.get("disabled"))
    parameters = strategy.get("parameters") or {}
    found |= {f"/parameters/{name}": str(one) for name, one in parameters.items() if one is not None}
    return found | {f"/segments/{number}": True for number in strategy.get("segments") or ()}


def patch_of(places: Iterable[str], before: Fields, now: Fields) -> Iterator[Mapping[str, Any]]:
    """The JSON patch that gives these fields of the strategy `now` what they are in `before`."""
    segments = list(now.get("segments") or ())
    parameters = before.get("parameters") or {}
    for place in places:
        name, _, rest = place[1:].partition("/")
        pointer = f"/parameters/{rest.replace('~', '~0').replace('/', '~1')}"
        if name == "segments":
            had = int(rest) in (before.get("segments") or ())
            segments = [*segments, int(rest)] if had else [one for one in segments if one != int(rest)]
        elif name == "parameters" and parameters.get(rest) is None:
            yield {"op": "remove", "path": pointer}
        elif name == "parameters":
            yield {"op": "add", "path": pointer, "value": parameters[rest]}
        else:
            value = before.get(name)
            nothing: Any = [] if name in LISTS else ""
            yield {"op": "add", "path": place, "value": nothing if value is None else value}
    if any(place.startswith("/segments/") for place in places):
        yield {"op": "add", "path": "/segments", "value": segments}


def _plain(entry: Any) -> Any:
    """A condition or variant without what says nothing: Unleash adds such fields as it saves."""
    if not isinstance(entry, Mapping):
        return entry
    return {name: value for name, value in entry.items() if value not in (None, False, "", [])}

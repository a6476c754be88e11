"""A strategy as Unleash writes it, as fields that can be compared and put back one by one. Pure.

A field's place is its JSON pointer. Each condition and each segment is a field of its own, which is there or
not: two who add one each have not changed the same. Addresses of links are compared here too: Unleash tidies
them before it keeps them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

MEMBERS: Final = ("constraints", "segments")
PORTS: Final = {"http": 80, "https": 443}
Fields = Mapping[str, Any]
Key = tuple[str, str, int | None, str, tuple[tuple[str, str], ...], str]


def fields(strategy: Fields) -> dict[str, Any]:
    """The fields of a strategy by their place in it, in one spelling."""
    found: dict[str, Any] = {"/variants": [*map(_plain, strategy.get("variants") or ())]}
    found |= {"/name": strategy.get("name"), "/title": strategy.get("title") or ""}
    found["/disabled"] = bool(strategy.get("disabled"))
    parameters = strategy.get("parameters") or {}
    found |= {f"/parameters/{name}": str(one) for name, one in parameters.items() if one is not None}
    return found | {member(name, one): True for name in MEMBERS for one in strategy.get(name) or ()}


def member(name: str, entry: Any) -> str:
    """The place of one of the `constraints` or `segments`."""
    return f"/{name}/{json.dumps(_plain(entry), sort_keys=True)}"


def patch_of(places: Sequence[str], before: Fields, now: Fields) -> Iterator[Mapping[str, Any]]:
    """The JSON patch that gives these fields of the strategy `now` what they are in `before`."""
    parameters = before.get("parameters") or {}
    for place in places:
        name, _, rest = place[1:].partition("/")
        pointer = f"/parameters/{rest.replace('~', '~0').replace('/', '~1')}"
        if name == "parameters" and parameters.get(rest) is None:
            yield {"op": "remove", "path": pointer}
        elif name == "parameters":
            yield {"op": "add", "path": pointer, "value": parameters[rest]}
        elif name not in MEMBERS:
            value = before.get(name)
            nothing: Any = [] if name == "variants" else ""
            yield {"op": "add", "path": place, "value": nothing if value is None else value}
    for name in MEMBERS:
        if any(place.startswith(f"/{name}/") for place in places):
            value = _members(name, frozenset(places), before.get(name) or (), now.get(name) or ())
            yield {"op": "add", "path": f"/{name}", "value": value}


def _members(name: str, places: frozenset[str], before: Iterable[Any], now: Iterable[Any]) -> list[Any]:
    """What is there now, but for those at `places`, and those of them that were there before."""
    kept = [one for one in now if member(name, one) not in places]
    return kept + [one for one in before if member(name, one) in places]


def _plain(entry: Any) -> Any:
    """A condition or variant without what says nothing: Unleash adds such fields as it saves."""
    if not isinstance(entry, Mapping):
        return entry
    return {name: value for name, value in entry.items() if value not in (None, False, "", [])}


def same_page(one: str, other: str) -> bool:
    """Whether two addresses are one page to Unleash.

    Seen on 7.6.5 and 8.2.0: `https://www.h/a//?b=%20&a=1&utm_source=x` is kept as `https://h/a?a=1&b=+`.
    """
    return _key(one) == _key(other)


def _key(address: str) -> Key:
    parts = urlsplit(address)
    query = sorted(pair for pair in parse_qsl(parts.query, True) if not pair[0].startswith("utm_"))
    return (
        parts.scheme.lower(),
        (parts.hostname or "").removeprefix("www."),
        parts.port or PORTS.get(parts.scheme.lower()),
        re.sub("/+", "/", unquote(parts.path)).rstrip("/"),
        tuple(query),
        parts.fragment,
    )

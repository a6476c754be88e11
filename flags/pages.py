"""Whether two addresses are one page to Unleash, which tidies the addresses of links before it keeps them."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

Key = tuple[str, str, int | None, str, tuple[tuple[str, str], ...], str]
PORTS = {"http": 80, "https": 443}


def same_page(one: str, other: str) -> bool:
    """Seen on 7.6.5 and 8.2.0: `https://www.h/a//?b=%20&a=1&utm_source=x` is kept as `https://h/a?a=1&b=+`."""
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

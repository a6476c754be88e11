"""The few pieces of SQL that are put together by hand."""

from collections.abc import Iterable, Mapping


def quoted(texts: Iterable[str]) -> str:
    """Literals, separated by commas."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def struct(fields: Mapping[str, str]) -> str:
    """A type with named fields."""
    return "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in fields.items()) + ")"

"""What one line of Unleash's event log did to a flag, in a few words. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flags.unleash.models import GRADUAL, Constraint, Event

PLAIN: Final = {
    "feature-created": "created",
    "feature-archived": "archived",
    "feature-revived": "revived, off everywhere",
    "feature-deleted": "deleted",
    "feature-environment-enabled": "turned on",
    "feature-environment-disabled": "turned off",
}
ADDED: Final = "feature-strategy-add"
UPDATED: Final = "feature-strategy-update"
REMOVED: Final = "feature-strategy-remove"
TAGGED: Final = "feature-tagged"
UNTAGGED: Final = "feature-untagged"


def in_words(event: Event) -> str:
    """`share 5% -> 25%`, `turned off`, ...; the event's type where there are no better words."""
    after, before = _fields(event.data), _fields(event.pre_data)
    words = PLAIN.get(event.type)
    if event.type == ADDED and after:
        words = f"{_strategy(after)} added"
    elif event.type == REMOVED and before:
        words = f"{_strategy(before)} removed"
    elif event.type == UPDATED and after and before:
        words = ", ".join(_differences(before, after)) or "saved without a change"
    elif event.type == TAGGED and after:
        words = f"marked {after.get('type')}: {after.get('value')}"
    elif event.type == UNTAGGED and before:
        words = f"mark {before.get('type')}: {before.get('value')} removed"
    return words or event.type


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = _fields(before.get("parameters")), _fields(after.get("parameters"))
    if old.get("rollout") != new.get("rollout"):
        yield f"share {_percent(old)} -> {_percent(new)}"
    for name, word in (("stickiness", "drawn by"), ("groupId", "group")):
        if old.get(name) != new.get(name):
            yield f"{word} {old.get(name) or 'nothing'} -> {new.get(name) or 'nothing'}"
    if bool(before.get("disabled")) != bool(after.get("disabled")):
        yield "strategy disabled" if after.get("disabled") else "strategy enabled"
    yield from _moved("constraint", _conditions(before), _conditions(after))
    yield from _moved("segment", _listed(before, "segments"), _listed(after, "segments"))
    if before.get("variants") != after.get("variants"):
        yield "variants changed"


def _moved(what: str, old: list[str], new: list[str]) -> Iterator[str]:
    yield from (f"{what} {one} added" for one in new if one not in old)
    yield from (f"{what} {one} removed" for one in old if one not in new)


def _conditions(strategy: Mapping[str, Any]) -> list[str]:
    found: Iterable[Any] = strategy.get("constraints") or ()
    return [str(Constraint.model_validate(one)) for one in found]


def _listed(strategy: Mapping[str, Any], name: str) -> list[str]:
    return [str(one) for one in strategy.get(name) or ()]


def _strategy(strategy: Mapping[str, Any]) -> str:
    if strategy.get("name") == GRADUAL:
        return f"gradual rollout of {_percent(_fields(strategy.get('parameters')))}"
    return f"strategy {strategy.get('name')}"


def _percent(parameters: Mapping[str, Any]) -> str:
    return f"{parameters.get('rollout', '?')}%"


def _fields(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""Lines of the event log in words, as Unleash 7.6.5 and 8.2.0 write them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from flags.canary.events import in_words
from flags.unleash.models import Event
from tests.unit.flags.fake_unleash import gradual

COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO", "SE"]}


def event(kind: str, data: Any = None, before: Any = None) -> Event:
    at = datetime(2026, 11, 23, tzinfo=UTC)
    return Event(id=1, type=kind, created_by="ada", created_at=at, data=data, pre_data=before)


@pytest.mark.parametrize(
    ("kind", "data", "before", "words"),
    [
        ("feature-created", {"name": "canary"}, None, "created"),
        ("feature-archived", None, None, "archived"),
        ("feature-revived", None, None, "revived, off everywhere"),
        ("feature-deleted", None, {"name": "canary"}, "deleted"),
        ("feature-environment-enabled", None, None, "turned on"),
        ("feature-environment-disabled", None, None, "turned off"),
        ("feature-strategy-add", gradual(5), None, "gradual rollout of 5% added"),
        ("feature-strategy-add", {"name": "default"}, None, "strategy default added"),
        ("feature-strategy-remove", None, gradual(5), "gradual rollout of 5% removed"),
        ("feature-strategy-update", gradual(5), gradual(25), "share 25% -> 5%"),
        ("feature-strategy-update", gradual(5), gradual(5), "saved without a change"),
        (
            "feature-strategy-update",
            gradual(7, constraints=[COUNTRY], segments=[3], disabled=True, parameters={"stickiness": "x"}),
            gradual(5, segments=[2]),
            "share 5% -> 7%, drawn by userId -> x, strategy disabled, constraint country IN NO, SE added,"
            " segment 3 added, segment 2 removed",
        ),
        (
            "feature-strategy-update",
            gradual(5, variants=[{"name": "a"}], parameters={"groupId": "g"}),
            gradual(5, disabled=True, constraints=[COUNTRY], parameters={"groupId": None}),
            "group nothing -> g, strategy enabled, constraint country IN NO, SE removed, variants changed",
        ),
        ("feature-tagged", {"type": "t", "value": "v"}, None, "marked t: v"),
        ("feature-untagged", None, {"type": "t", "value": "v"}, "mark t: v removed"),
        ("feature-strategy-update", None, None, "feature-strategy-update"),
        ("feature-tagged", "odd", None, "feature-tagged"),
        ("feature-project-change", {"a": 1}, None, "feature-project-change"),
    ],
)
def test_words(kind: str, data: Any, before: Any, words: str) -> None:
    assert in_words(event(kind, data, before)) == words

"""docs/http-api.md: its examples are sent, and its table of paths is that of the OpenAPI document."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from flask.testing import FlaskClient

from common.names import Model
from service.api.openapi import PROBLEMS
from service.assignment.assignment import Reason
from service.metrics.service import CHALLENGER_FAILURES, HOST_REASONS
from tests.unit.service.conftest import flag, rollout

REPOSITORY = Path(__file__).parents[4]
PAGE = (REPOSITORY / "docs" / "http-api.md").read_text(encoding="utf-8")
Start = Callable[..., FlaskClient]


class Example(NamedTuple):
    """One that the page shows."""

    method: str
    path: str
    body: str | None
    status: int
    answer: Any


def examples() -> list[Example]:
    found = []
    for block in re.findall(r"^```http\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        asked, status, answered = re.split(r"^(\d{3})$", block, maxsplit=1, flags=re.MULTILINE)
        line, _, body = asked.strip().partition("\n")
        line, _, file = line.partition(" < ")
        method, path = line.split()
        body = (REPOSITORY / file).read_text(encoding="utf-8") if file else body
        found.append(Example(method, path, body or None, int(status), json.loads(answered)))
    return found


def fits(shown: Any, given: Any) -> bool:
    """Whether an answer is what the page shows, field by field; "..." is anything."""
    if shown == "...":
        return True
    if isinstance(shown, dict) and isinstance(given, dict):
        return list(shown) == list(given) and all(fits(shown[key], given[key]) for key in shown)
    if isinstance(shown, list) and isinstance(given, list):
        return len(shown) == len(given) and all(map(fits, shown, given))
    return bool(shown == given)


def test_every_example_is_answered_as_shown(start: Start, models: dict[Model, Path]) -> None:
    client = start(flag(rollout(0)), challenger=models[Model.CHALLENGER])
    assert len(examples()) > 5
    for example in examples():
        response = client.open(
            example.path, method=example.method, data=example.body, content_type="application/json"
        )
        assert response.status_code == example.status, (example.path, response.text)
        assert fits(example.answer, response.get_json()), (example.path, response.get_json())


def test_every_path_is_told(start: Start) -> None:
    paths = set(start().get("/openapi.json", follow_redirects=True).get_json()["paths"]) | {"/metrics"}
    rows = re.findall(r"^\| (`(?:GET|POST) .*?) \|", PAGE, re.MULTILINE)
    assert {path for row in rows for path in re.findall(r"(?:GET|POST) (/[a-z0-9/{}]+)", row)} == paths


@pytest.mark.parametrize("status", PROBLEMS)
def test_every_problem_is_told(status: int) -> None:
    rows = re.findall(r"^\| ([0-9, ]+) \|", PAGE, re.MULTILINE)
    assert str(status) in {each.strip() for row in rows for each in row.split(",")}


@pytest.mark.parametrize(
    "reason", [*map(str, Reason), *(f"fallback_{each}" for each in (*CHALLENGER_FAILURES, *HOST_REASONS))]
)
def test_every_reason_is_told(reason: str) -> None:
    assert f"`{reason}`" in PAGE

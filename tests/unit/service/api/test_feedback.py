"""POST /feedback: outcomes belong to the model that was assigned, count once, and fit or are refused."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import ValidationError

from common.names import Metric, Model
from service.app import close
from service.feedback.memory import Assigned, RequestIds, Table
from service.feedback.outcomes import MOST_OUTCOMES, Outcomes, judged_outcomes
from service.settings import GUARDRAILS, Settings
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample, series

Start = Callable[..., FlaskClient]


def predict(client: FlaskClient, user: str = "u", **headers: str) -> str:
    answer = client.post("/predict", json={"user_id": user, "features": ROW}, headers=headers)
    return str(answer.get_json()["request_id"])


def tell(client: FlaskClient, **body: Any) -> dict[str, Any]:
    response = client.post("/feedback", json={"outcome": "bought", **body})
    assert response.status_code == 202
    answer: dict[str, Any] = response.get_json()
    return answer


@pytest.mark.parametrize(("percent", "assigned"), [(100, "challenger"), (0, "champion")])
def test_an_outcome_counts_for_the_model_that_was_assigned(start: Start, percent: int, assigned: str) -> None:
    client = start(flag(rollout(percent)))
    answer = tell(client, request_id=predict(client), value=3.5)
    assert answer == {"known": True, "duplicate": False, "assigned": assigned, "counted_as": "bought"}
    assert sample(client, Metric.OUTCOMES, model=assigned, outcome="bought") == 1


def test_a_fallback_counts_for_the_challenger_that_was_assigned(start: Start) -> None:
    client = start(flag(rollout(100)), challenger=None)
    assert tell(client, request_id=predict(client))["assigned"] == "challenger"


@pytest.mark.parametrize("by_user", [False, True], ids=["by request", "by user"])
def test_outcomes_that_guardrails_name_are_counted_by_bucket(start: Start, by_user: bool) -> None:
    client = start(flag(rollout(0)))
    request_id = predict(client, user="u")
    named = {"user_id": "u"} if by_user else {"request_id": request_id}
    tell(client, **named)
    tell(client, **named, outcome="returned")  # no guardrail asks for it
    found = series(client, Metric.BUCKET_OUTCOMES)
    calls = series(client, Metric.BUCKET_CALLS)
    assert [each["bucket"] for each in found] == [each["bucket"] for each in calls]
    assert [(each["model"], each["outcome"]) for each in found] == [("champion", "bought")]


def test_an_id_of_the_service_is_known_to_another_worker_and_after_a_restart(start: Start) -> None:
    first = start(flag(rollout(100)), challenger=None)
    request_id = predict(first)
    close(first.application)
    second = start(flag(rollout(0)), challenger=None)
    assert tell(second, request_id=request_id)["assigned"] == "challenger"


def test_an_id_of_the_client_is_remembered(start: Start) -> None:
    client = start(flag(rollout(100)), challenger=None)
    request_id = predict(client, **{"X-Request-Id": "order-17"})
    assert request_id == "order-17"
    assert tell(client, request_id="order-17")["assigned"] == "challenger"


def test_what_is_not_known_is_taken_and_marked(start: Start) -> None:
    client = start()
    for body in ({"request_id": "never-seen"}, {"user_id": "never seen"}):
        assert tell(client, **body)["known"] is False
    assert sample(client, Metric.OUTCOMES, model="unknown", outcome="bought") == 2


def test_the_same_outcome_of_a_request_counts_once(start: Start) -> None:
    client = start(flag(rollout(0)))
    request_id = predict(client)
    assert [tell(client, request_id=request_id)["duplicate"] for _ in range(3)] == [False, True, True]
    assert tell(client, request_id=request_id, value=2)["duplicate"] is True
    assert tell(client, request_id=request_id, outcome="returned")["duplicate"] is False
    assert sample(client, Metric.OUTCOMES, model="champion", outcome="bought") == 1
    assert sample(client, Metric.OUTCOMES, model="champion", outcome="returned") == 1


def test_a_user_counts_for_the_model_assigned_last_and_each_time(start: Start) -> None:
    client = start(flag(rollout(100)), challenger=None)
    predict(client, "ada")
    assert [tell(client, user_id="ada")["assigned"] for _ in range(2)] == ["challenger"] * 2
    assert sample(client, Metric.OUTCOMES, model="challenger", outcome="bought") == 2


def test_only_allowed_outcomes_are_counted_by_name(start: Start) -> None:
    client = start(feedback_outcomes="bought, returned")
    assert tell(client, request_id="a")["counted_as"] == "bought"
    assert tell(client, request_id="b", outcome="stolen")["counted_as"] == "other"
    assert sample(client, Metric.OUTCOMES, model="unknown", outcome="other") == 1


def test_without_a_list_the_number_of_names_is_bounded() -> None:
    outcomes = Outcomes({"bought"})
    labels = [outcomes.label(f"o{number}", is_known=True) for number in range(MOST_OUTCOMES + 5)]
    assert labels[-6:] == [("other", "full")] * 6
    assert len(set(labels)) == MOST_OUTCOMES
    assert outcomes.label("o0", is_known=False) == ("o0", None)
    assert outcomes.label("bought", is_known=True) == ("bought", None)


def test_junk_takes_no_place_of_an_outcome_that_a_guardrail_judges(start: Start) -> None:
    client = start(flag(rollout(100)), challenger=None)
    asked = [predict(client) for _ in range(MOST_OUTCOMES + 6)]
    for number, request_id in enumerate(asked[1:]):
        tell(client, request_id=request_id, outcome=f"junk{number}")
    assert tell(client, request_id=asked[0], outcome="bought")["counted_as"] == "bought"
    assert sample(client, Metric.OUTCOMES, model="challenger", outcome="bought") == 1
    assert sample(client, Metric.OUTCOMES_UNNAMED, reason="full") == 6


def test_feedback_on_what_was_never_asked_takes_no_place_at_all(start: Start) -> None:
    client = start()
    for number in range(MOST_OUTCOMES + 5):
        assert tell(client, request_id=f"junk{number}", outcome=f"junk{number}")["counted_as"] == "other"
    assert tell(client, request_id=predict(client), outcome="returned")["counted_as"] == "returned"
    assert sample(client, Metric.OUTCOMES_UNNAMED, reason="unknown") == MOST_OUTCOMES + 5
    assert sample(client, Metric.OUTCOMES_UNNAMED, reason="full") == 0


def test_outcomes_are_found_in_the_queries_of_guardrails(tmp_path: Path) -> None:
    assert judged_outcomes(GUARDRAILS) == {"bought"}
    file = tmp_path / "guardrails.yaml"
    file.write_text(
        """
        bad: outcomes_total{model="x", outcome =~ "late|returned.twice"}
        value: sum(outcomes_total{outcome!='ordered'}) / sum(outcomes_total{my_outcome="no", outcome=~"a.*"})
        """,
        encoding="utf-8",
    )
    assert judged_outcomes(file) == {"late", "returned.twice", "ordered"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"feedback_outcomes": "bought returned"}, "'bought returned' is no name of an outcome"),
        ({"guardrails": "absent.yaml"}, "absent.yaml cannot be read"),
    ],
)
def test_settings_about_outcomes_are_checked(settings: Settings, changes: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate(dict(settings) | changes)


BAD = [
    (b"{", 400, None),
    (b"", 400, None),
    (b"[" * 10_000, 400, None),
    (b"[]", 422, "body"),
    (b"null", 422, "body"),
    ({}, 422, "outcome"),
    ({"outcome": "bought"}, 422, "body"),
    ({"outcome": "bought", "request_id": "a", "user_id": "b"}, 422, "body"),
    ({"outcome": "bought", "request_id": None}, 422, "request_id"),
    ({"outcome": "bought", "request_id": ""}, 422, "request_id"),
    ({"outcome": "bought", "request_id": "a b"}, 422, "request_id"),
    ({"outcome": "bought", "request_id": "a\n"}, 422, "request_id"),
    ({"outcome": "bought", "request_id": "x" * 137}, 422, "request_id"),
    ({"outcome": "bought", "request_id": 7}, 422, "request_id"),
    ({"outcome": "bought", "user_id": " "}, 422, "user_id"),
    ({"outcome": "bought", "user_id": "x" * 257}, 422, "user_id"),
    ({"outcome": "bought", "user_id": ["u"]}, 422, "user_id"),
    ({"request_id": "a"}, 422, "outcome"),
    ({"request_id": "a", "outcome": ""}, 422, "outcome"),
    ({"request_id": "a", "outcome": "x" * 65}, 422, "outcome"),
    ({"request_id": "a", "outcome": "a b"}, 422, "outcome"),
    ({"request_id": "a", "outcome": 'a"b'}, 422, "outcome"),
    ({"request_id": "a", "outcome": "a\n"}, 422, "outcome"),
    ({"request_id": "a", "outcome": "ä"}, 422, "outcome"),
    ({"request_id": "a", "outcome": None}, 422, "outcome"),
    ({"request_id": "a", "outcome": True}, 422, "outcome"),
    ({"request_id": "a", "outcome": "x", "value": "1"}, 422, "value"),
    ({"request_id": "a", "outcome": "x", "value": True}, 422, "value"),
    ({"request_id": "a", "outcome": "x", "value": float("nan")}, 422, "value"),
    ({"request_id": "a", "outcome": "x", "value": float("inf")}, 422, "value"),
    ({"request_id": "a", "outcome": "x", "value": 10**400}, 422, "value"),
    ({"request_id": "a", "outcome": "x", "value": [1]}, 422, "value"),
    ({"request_id": "a", "outcome": "x", "more": 1}, 422, "more"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD)
def test_what_does_not_fit_is_a_problem_that_names_the_field(
    client: FlaskClient, body: bytes | dict[str, Any], status: int, field: str | None
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post("/feedback", data=data, content_type="application/json")
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    if field:
        assert response.get_json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ({"method": "POST", "data": b"x" * 1_000_000, "content_type": "application/json"}, 413),
        ({"method": "POST", "data": b"a=1", "content_type": "text/plain"}, 415),
        ({"method": "GET"}, 405),
    ],
)
def test_http_errors_are_problems_too(client: FlaskClient, call: dict[str, Any], status: int) -> None:
    response = client.open(path="/feedback", **call)
    assert (response.status_code, response.content_type) == (status, "application/problem+json")


def test_request_ids_carry_the_assignment_and_nobody_else_can_make_them() -> None:
    ours, theirs = RequestIds(b"a" * 32), RequestIds(b"b" * 32)
    for told in (Assigned(model, bucket) for model in Model for bucket in (None, 1, 100)):
        signed = ours.sign("0123abcd", told)
        assert ours.assigned(signed) == told == Assigned.of(told.number)
        assert theirs.assigned(signed) is None
    other = ours.sign("0123abcd", Assigned(Model.CHAMPION, 7)).replace("-a", "-b")
    moved = signed.replace(".64-", ".07-")
    for wrong in (other, moved, signed[:-1], "x" + signed, "", "-", "a-b0123456789", "ä" * 40, signed + "0"):
        assert ours.assigned(wrong) is None


def test_a_table_forgets_the_overwritten_and_mistakes_nothing() -> None:
    table = Table(slots=64)
    for number in range(1000):
        table.put(f"k{number}", 1 + number % 3)
    known = {number: table.get(f"k{number}") for number in range(1000)}
    assert all(value in (None, 1 + number % 3) for number, value in known.items())
    assert known[999] == 1
    assert 0 < sum(value is not None for value in known.values()) <= 64
    assert all(table.get(f"never-{number}") is None for number in range(1000))
    with pytest.raises(ValueError, match="power of two"):
        Table(slots=100)


def test_a_table_is_shared_with_forked_processes_and_adds_once() -> None:
    table = Table(slots=2**16)
    keys = list(
        {table._place(f"k{number}")[1]: f"k{number}" for number in range(2000)}.values()
    )  # no two in one
    taken = {table._place(key)[1] for key in keys}
    before = next(key for key in map(str, range(9999)) if table._place(key)[1] not in taken)
    table.put(before, 2)
    reader, writer = os.pipe()
    children = []
    starter, trigger = os.pipe()
    for _ in range(3):
        if (child := os.fork()) == 0:
            os.close(trigger)
            os.read(starter, 1)  # nothing comes: its other end is closed, for all at the same moment
            with ThreadPoolExecutor(2) as pool:
                won = sum(pool.map(table.add, keys * 2))
            os.write(writer, f"{won} {table.get(before)}\n".encode())
            os._exit(0)
        children.append(child)
    os.close(trigger)
    os.close(starter)
    for child in children:
        os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = [line.split() for line in pipe]
    assert sum(int(won) for won, _ in told) == len(keys) > 1900
    assert {value for _, value in told} == {"2"}
    assert table.get(keys[0]) == 1

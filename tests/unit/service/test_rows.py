"""POST /predict with `rows`: one user, one model, and each row an answer with an id of its own."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from common.names import Metric
from service.models.onnx_model import Answer
from service.predict import ranking
from service.settings import Settings
from tests.unit.service.challenger_process import drill
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
OTHER = [0.1 * at for at in range(30)]
ANSWER = ("prediction", "class_name", "probability")


def ask(client: FlaskClient, rows: Any, **more: Any) -> dict[str, Any]:
    response = client.post("/predict", json={"user_id": "u", "rows": rows, **more})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.get_json()
    return told


@pytest.mark.parametrize(("share", "model"), [(0, "champion"), (100, "challenger")])
def test_rows_are_answered_as_one_by_one(start: Start, share: int, model: str) -> None:
    client = start(flag(rollout(share)))
    alone = [
        client.post("/predict", json={"user_id": "u", "features": row}).get_json() for row in (ROW, OTHER)
    ]
    told = ask(client, [ROW, OTHER, ROW])
    assert (told["model"], told["assigned"]) == (model, model)
    together = [tuple(each[field] for field in ANSWER) for each in told["predictions"]]
    assert together == [tuple(alone[at][field] for field in ANSWER) for at in (0, 1, 0)]


@pytest.mark.parametrize("share", [0, 100])
def test_rows_are_ranked_where_that_is_asked(start: Start, share: int) -> None:
    client = start(flag(rollout(share)))
    rows = [ROW, OTHER, [0.0] * 30, ROW]
    told = ask(client, rows, rank=True, top_k=2)
    second = [
        next(one["probability"] for one in each["top"] if one["prediction"] == 1)
        for each in told["predictions"]
    ]
    assert told["ranking"] == sorted(range(4), key=lambda at: -second[at])
    assert sorted(told["ranking"]) == [0, 1, 2, 3]
    assert told["ranking"].index(0) < told["ranking"].index(3), "equal ones keep their order"
    assert "ranking" not in ask(client, rows)


def test_values_have_an_order_one_row_and_many_classes_have_none(start: Start) -> None:
    response = start().post("/predict", json={"user_id": "u", "features": ROW, "rank": True})
    assert "ranking" not in response.get_json()
    assert ranking([Answer(2.5), Answer(-1.0), Answer(7.0)]) == [2, 0, 1]
    assert ranking([Answer(0, "a", 0.5, [0.5, 0.3, 0.2])]) == []


def test_rows_by_name_and_in_order_may_be_mixed(start: Start, settings: Settings) -> None:
    client = start()
    names = orjson.loads((settings.champion / "model.json").read_bytes())["features"]  # type: ignore[operator]
    named = dict(zip((each["name"] for each in names), OTHER, strict=True))
    first, second = ask(client, [OTHER, named])["predictions"]
    assert [first[field] for field in ANSWER] == [second[field] for field in ANSWER]


def test_a_request_is_one_call_and_each_row_an_answer_and_a_record(start: Start, settings: Settings) -> None:
    client = start(flag(rollout(100)), log_flush_seconds=0.01)
    told = ask(client, [ROW, OTHER, ROW])
    assert sample(client, Metric.CALLS, model="challenger") == 1
    assert sample(client, Metric.ASSIGNMENTS, model="challenger", reason="flag_on") == 1
    classes = {each["class_name"] for each in told["predictions"]}
    counted = sum(
        sample(client, Metric.PREDICTIONS, model="challenger", **{"class": each}) for each in classes
    )
    assert counted == 3
    folder = settings.state_dir / "log"
    until(lambda: len(lines(folder)) == 3, 5)
    ids = [each["request_id"] for each in told["predictions"]]
    assert [each["request_id"] for each in lines(folder)] == ids
    assert len(set(ids)) == 3


def lines(folder: Path) -> list[Any]:
    return [orjson.loads(line) for file in folder.glob("*.jsonl") for line in file.read_bytes().splitlines()]


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": "o" * 128}])
def test_feedback_names_a_row(start: Start, headers: dict[str, str]) -> None:
    client = start(flag(rollout(100)))
    body = {"user_id": "u", "rows": [ROW, OTHER]}
    told = client.post("/predict", json=body, headers=headers).get_json()
    for each in told["predictions"]:
        about = {"request_id": each["request_id"], "outcome": "bought"}
        answer = client.post("/feedback", json=about).get_json()
        assert (answer["assigned"], answer["duplicate"]) == ("challenger", False)


def test_the_champion_answers_all_rows_when_the_challenger_fails(start: Start, settings: Settings) -> None:
    client = start(flag(rollout(100)))
    drill(settings, kind="shape")
    told = ask(client, [ROW, OTHER])
    assert (told["model"], told["reason"]) == ("champion", "fallback_invalid")
    assert len(told["predictions"]) == 2
    drill(settings, kind="sleep", seconds=0.5)
    begun = time.monotonic()
    told = ask(client, [ROW, OTHER])
    assert told["reason"] == "fallback_timeout"
    assert time.monotonic() - begun < 0.45


def test_more_rows_than_a_packet_holds_are_answered_too(start: Start) -> None:
    client = start(flag(rollout(100)), max_rows=2000, max_body_bytes=2**20, guest_deadline_seconds=5)
    told = ask(client, [ROW] * 1000 + [OTHER] * 1000)
    assert told["model"] == "challenger"
    answers = [each["probability"] for each in told["predictions"]]
    assert len(answers) == 2000
    assert len(set(answers[:1000])) == len(set(answers[1000:])) == 1
    assert answers[0] != answers[-1]
    assert sample(client, Metric.CALLS, model="challenger") == 1


def test_each_row_is_shadowed(start: Start) -> None:
    client = start(flag(rollout(0)), flag(rollout(100), name="shadow"), shadow_linger_ms=1)
    ask(client, [ROW, OTHER, ROW])
    until(lambda: sample(client, Metric.SHADOW_SAMPLES) == 3, 5)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "features"),
        ({"rows": [ROW], "features": ROW}, "features"),
        ({"rows": []}, "rows"),
        ({"rows": [ROW] * 101}, "rows"),
        ({"rows": [ROW, ROW[1:]]}, "rows[1]"),
        ({"rows": [ROW, [*ROW[1:], "x"]]}, "rows[1][29]"),
        ({"rows": [ROW, {"mean radius": "x"}]}, "rows[1].mean radius"),
        ({"rows": [{"nonsense": 1.0}]}, "rows[0].mean radius"),
        ({"rows": None}, "rows"),
        ({"features": None}, "features"),
    ],
)
def test_rows_that_do_not_fit_are_named(client: FlaskClient, body: dict[str, Any], field: str) -> None:
    response = client.post("/predict", json={"user_id": "u"} | body)
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == field

"""POST /invocations: the forms of an MLflow scoring server, answered as /predict answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from common.names import Metric
from service.settings import Settings
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample

Start = Callable[..., FlaskClient]
OTHER = [0.1 * at for at in range(30)]
USER = {"params": {"user_id": "u"}}


@pytest.fixture
def names(settings: Settings) -> list[str]:
    assert settings.champion
    told = json.loads(Path(settings.champion, "model.json").read_bytes())
    return [each["name"] for each in told["features"]]


def forms(names: list[str]) -> list[dict[str, Any]]:
    records = [dict(zip(names, row, strict=True)) for row in (ROW, OTHER)]
    turned = [list(reversed(row)) for row in (ROW, OTHER)]
    return [
        {"dataframe_split": {"columns": names[::-1], "data": turned, "index": [0, 1]}},
        {"dataframe_split": {"data": [ROW, OTHER]}},
        {"dataframe_records": records},
        {"instances": records},
        {"instances": [ROW, OTHER]},
        {"inputs": [ROW, OTHER]},
        {"inputs": {name: [ROW[at], OTHER[at]] for at, name in enumerate(names)}},
    ]


@pytest.mark.parametrize(("share", "model"), [(0, "champion"), (100, "challenger")])
def test_every_form_is_answered_as_predict_answers(
    start: Start, names: list[str], share: int, model: str
) -> None:
    client = start(flag(rollout(share)))
    rows = client.post("/predict", json={"user_id": "u", "rows": [ROW, OTHER]}).get_json()["predictions"]
    for form in forms(names):
        response = client.post("/invocations", json=form | USER)
        assert response.status_code == 200, response.text
        told = response.get_json()
        assert told["predictions"] == [each["prediction"] for each in rows]
        assert told["probabilities"] == [each["probability"] for each in rows]
        assert told["model"] == model
    assert sample(client, Metric.CALLS, model=model) == 1 + len(forms(names))


def test_the_user_may_be_in_a_header_and_context_in_params(start: Start) -> None:
    norway = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
    client = start(flag(rollout(100, [norway])))
    for country, model in (("NO", "challenger"), ("SE", "champion")):
        body = {"inputs": [ROW], "params": {"context": {"country": country}}}
        told = client.post("/invocations", json=body, headers={"Canario-User": "u-é"}).get_json()
        assert told["model"] == model


def test_feedback_names_a_row(start: Start) -> None:
    client = start(flag(rollout(100)))
    told = client.post("/invocations", json={"inputs": [ROW, OTHER], **USER}).get_json()
    for each in told["request_ids"]:
        about = {"request_id": each, "outcome": "right"}
        assert client.post("/feedback", json=about).get_json()["assigned"] == "challenger"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"inputs": [ROW]}, "params.user_id"),
        ({**USER}, "body"),
        ({"inputs": [ROW], "instances": [ROW], **USER}, "body"),
        ({"inputs": [], **USER}, "rows"),
        ({"inputs": {}, **USER}, "inputs"),
        ({"inputs": {"a": [1], "b": []}, **USER}, "inputs"),
        ({"inputs": {"a": [1]}, **USER}, "rows[0].mean radius"),
        ({"inputs": [[*ROW[1:], None]], **USER}, "rows[0][29]"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}, **USER}, "dataframe_split.columns"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}, **USER}, "dataframe_split.data[0]"),
        ({"dataframe_records": [7], **USER}, "dataframe_records[0]"),
        ({"inputs": [ROW], "params": {"user_id": 7}}, "params.user_id"),
        ({"inputs": [ROW], "params": {"user_id": "u", "context": {"userId": "x"}}}, "context.userId"),
    ],
)
def test_requests_that_do_not_fit_are_refused(client: FlaskClient, body: dict[str, Any], field: str) -> None:
    response = client.post("/invocations", json=body)
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"] == field


def test_ping(start: Start) -> None:
    assert start().get("/ping").status_code == 200

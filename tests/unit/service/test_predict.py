"""POST /predict: who answers and why, and what a client reads when the request does not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmh3
import pytest
from flask.testing import FlaskClient
from sklearn.datasets import load_breast_cancer

from common.names import Metric, Model
from service.challenger.client import Failure
from service.models.artifact import load_artifact
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample, series

Start = Callable[..., FlaskClient]


def test_without_unleash_and_without_memory_the_champion_answers(start: Start) -> None:
    answer = start().post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    assert (answer["model"], answer["assigned"], answer["reason"]) == (
        "champion",
        "champion",
        "unleash_unknown",
    )


@pytest.mark.parametrize(
    ("known", "model", "reason"),
    [
        (flag(rollout(100)), "challenger", "flag_on"),
        (flag(rollout(0)), "champion", "flag_off"),
        (flag(rollout(100), enabled=False), "champion", "flag_off"),
        (flag(rollout(100), name="another"), "champion", "flag_missing"),
        (flag(), "champion", "flag_without_strategy"),
    ],
)
def test_the_last_known_flag_decides(start: Start, known: dict[str, Any], model: str, reason: str) -> None:
    answer = start(known).post("/predict", json={"user_id": "u", "features": ROW}).get_json()
    assert (answer["model"], answer["assigned"], answer["reason"]) == (model, model, reason)


@pytest.mark.parametrize(("country", "model"), [("NO", "challenger"), ("SE", "champion")])
def test_context_reaches_constraints(start: Start, country: str, model: str) -> None:
    norway = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
    client = start(flag(rollout(100, [norway])))
    answer = client.post("/predict", json={"user_id": "u", "features": ROW, "context": {"country": country}})
    assert answer.get_json()["model"] == model


def test_booleans_are_compared_as_unleash_writes_them(start: Start) -> None:
    beta = {"contextName": "beta", "operator": "IN", "values": ["true"], "inverted": False}
    client = start(flag(rollout(100, [beta])))
    answer = client.post("/predict", json={"user_id": "u", "features": ROW, "context": {"beta": True}})
    assert answer.get_json()["model"] == "challenger"


def test_without_a_challenger_the_flag_changes_nothing(start: Start) -> None:
    answer = start(flag(rollout(100)), challenger=None).post(
        "/predict", json={"user_id": "u", "features": ROW}
    )
    assert answer.get_json()["model"] == "champion"
    assert answer.get_json()["reason"] == "fallback_no_challenger"


def test_features_by_name_and_in_order_are_the_same_row(start: Start) -> None:
    data = load_breast_cancer()
    client, row = start(flag(rollout(0))), [float(value) for value in data.data[0]]
    named = dict(reversed(list(zip((str(name) for name in data.feature_names), row, strict=True))))
    in_order, by_name = (
        client.post("/predict", json={"user_id": "u", "features": features}).get_json()
        for features in (row, named)
    )
    for answer in (in_order, by_name):
        del answer["request_id"]
    assert in_order == by_name
    assert in_order["class_name"] == "malignant"
    assert in_order["probability"] > 0.99


def test_a_well_formed_request_id_is_kept_and_another_replaced(start: Start) -> None:
    client = start()
    for given, kept in (("abc-1.2_Z", True), ("a b", False), ("x" * 129, False)):
        response = client.post(
            "/predict", json={"user_id": "u", "features": ROW}, headers={"X-Request-Id": given}
        )
        assert (response.headers["X-Request-Id"] == given) is kept
        assert response.get_json()["request_id"] == response.headers["X-Request-Id"]


def test_counts_what_was_assigned_called_and_answered(start: Start) -> None:
    client = start(flag(rollout(100)))
    for _ in range(3):
        client.post("/predict", json={"user_id": "u", "features": ROW})
    assert sample(client, Metric.ASSIGNMENTS, model="challenger", reason="flag_on") == 3
    assert sample(client, Metric.CALLS, model="challenger") == 3
    assert sample(client, Metric.CALLS, model="champion") == 0
    assert sample(client, f"{Metric.LATENCY}_count", model="challenger") == 3
    assert (
        sum(
            sample(client, Metric.PREDICTIONS, model="challenger", **{"class": each})
            for each in ("benign", "malignant")
        )
        == 3
    )


def test_counts_calls_by_bucket_and_the_users_whom_a_model_failed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(flag(rollout(0)))
    bucket = str(mmh3.hash("canary:u", signed=False) % 100 + 1)
    assert sample(client, Metric.USER_WINDOWS_BAD, model="champion") == 0
    assert client.post("/predict", json={"user_id": "u", "features": ROW}).status_code == 200

    def fails(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr("service.models.onnx_model.OnnxModel.answer", fails)
    for user in ("u", "u", "v"):
        assert client.post("/predict", json={"user_id": user, "features": ROW}).status_code == 500
    of_bucket = {"model": "champion", "bucket": bucket}
    assert sample(client, Metric.BUCKET_CALLS, **of_bucket) == 3
    assert sample(client, Metric.BUCKET_USER_WINDOWS_BAD, **of_bucket) == 1
    assert sample(client, Metric.USER_WINDOWS_BAD, model="champion") == 2
    assert sample(client, Metric.USER_WINDOWS_DROPPED) == 0


def test_a_failure_of_the_challenger_is_its_own_and_the_hosts_is_nobodys(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start(flag(rollout(100)))
    for reason in ("timeout", "timeout", "starting"):
        failure = Failure(reason)
        monkeypatch.setattr("service.challenger.client.ChallengerClient._call", lambda *_, said=failure: said)
        answer = client.post("/predict", json={"user_id": "u", "features": ROW}).get_json()
        assert answer["reason"] == f"fallback_{reason}"
    assert sample(client, Metric.USER_WINDOWS_BAD, model="challenger") == 1
    assert sample(client, Metric.USER_WINDOWS_BAD, model="champion") == 0
    bucket = str(mmh3.hash("canary:u", signed=False) % 100 + 1)
    for model, calls in (("challenger", 2), ("champion", 3)):
        assert sample(client, Metric.BUCKET_CALLS, model=model, bucket=bucket) == calls
        assert sample(client, Metric.CALLS, model=model) == calls


@pytest.mark.parametrize("missing", ["canary", "shadow"])
def test_tells_which_flag_is_missing(start: Start, missing: str) -> None:
    both = ("canary", "shadow")
    client = start(*(flag(rollout(5), name=name) for name in both if name != missing))
    assert {name: sample(client, Metric.FLAG_KNOWN, flag=name) for name in both} == {
        name: name != missing for name in both
    }


def test_every_series_exists_before_the_first_request(start: Start) -> None:
    client = start(flag(rollout(5)))
    assert sample(client, Metric.ERRORS, model="challenger", reason="timeout") == 0
    assert sample(client, f"{Metric.LATENCY}_count", model="challenger") == 0
    assert sample(client, Metric.MODEL_INFO, model="champion") == 1
    assert sample(client, Metric.FLAG_FETCHED) == 0


BAD = [
    (b"{", 400, None),
    (b"", 400, None),
    (b"\xff\xfe", 400, None),
    (b"[" * 100_00, 400, None),
    (b"[]", 422, "body"),
    (b"{}", 422, "user_id"),
    ({"features": ROW}, 422, "user_id"),
    ({"user_id": "", "features": ROW}, 422, "user_id"),
    ({"user_id": "  ", "features": ROW}, 422, "user_id"),
    ({"user_id": "x" * 257, "features": ROW}, 422, "user_id"),
    ({"user_id": 7, "features": ROW}, 422, "user_id"),
    ({"user_id": None, "features": ROW}, 422, "user_id"),
    ({"user_id": "u"}, 422, "features"),
    ({"user_id": "u", "features": None}, 422, "features"),
    ({"user_id": "u", "features": "1,2"}, 422, "features"),
    ({"user_id": "u", "features": []}, 422, "features"),
    ({"user_id": "u", "features": ROW[1:]}, 422, "features"),
    ({"user_id": "u", "features": [*ROW, 1.0]}, 422, "features"),
    ({"user_id": "u", "features": [*ROW[1:], "1"]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], True]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], None]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], [1]]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], float("nan")]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], float("-inf")]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], 1e39]}, 422, "features[29]"),
    ({"user_id": "u", "features": [*ROW[1:], 10**400]}, 422, "features[29]"),
    ({"user_id": "u", "features": {"mean radius": 1.0}}, 422, "features.mean texture"),
    ({"user_id": "u", "features": {"wings": 2.0}}, 422, "features.mean radius"),
    ({"user_id": "u", "features": ROW, "more": 1}, 422, "more"),
    ({"user_id": "u", "features": ROW, "context": []}, 422, "context"),
    ({"user_id": "u", "features": ROW, "context": {"a": {}}}, 422, "context.a"),
    ({"user_id": "u", "features": ROW, "context": {"a": "x" * 257}}, 422, "context.a"),
    ({"user_id": "u", "features": ROW, "context": {"userId": "v"}}, 422, "context.userId"),
    ({"user_id": "u", "features": ROW, "context": {"properties": "v"}}, 422, "context.properties"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD)
def test_what_does_not_fit_is_a_problem_that_names_the_field(
    client: FlaskClient, body: bytes | dict[str, Any], status: int, field: str | None
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post("/predict", data=data, content_type="application/json")
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    problem = response.get_json()
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-Id"]
    if field:
        assert problem["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (
            {
                "path": "/predict",
                "method": "POST",
                "data": b"x" * 1_000_000,
                "content_type": "application/json",
            },
            413,
        ),
        ({"path": "/predict", "method": "POST", "data": b"a=1", "content_type": "text/plain"}, 415),
        ({"path": "/predict", "method": "POST", "data": b"{}"}, 415),
        ({"path": "/predict", "method": "GET"}, 405),
        ({"path": "/nowhere", "method": "GET"}, 404),
    ],
)
def test_http_errors_are_problems_too(client: FlaskClient, call: dict[str, Any], status: int) -> None:
    response = client.open(**call)
    assert response.status_code == status
    assert response.content_type == "application/problem+json"


def test_a_bug_says_nothing_of_itself(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start()
    parts = client.application.extensions["canario"]
    monkeypatch.setattr(parts.memory, "remember", lambda *_: 1 / 0)
    response = client.post("/predict", json={"user_id": "u", "features": ROW})
    assert response.status_code == 500
    assert response.content_type == "application/problem+json"
    assert "division" not in response.text


def test_answers_to_users_are_counted_by_part_of_the_usual_scores(
    start: Start, models: dict[Model, Path]
) -> None:
    champion = load_artifact(models[Model.CHAMPION]).metadata
    client = start(flag(rollout(100)))
    body = {"user_id": "u", "features": ROW, "top_k": 2}
    for _ in range(3):
        answer = client.post("/predict", json=body).get_json()
    assert answer["model"] == "challenger"
    second = next(one for one in answer["top"] if one["class_name"] == champion.classes[1].name)
    part = str(sum(edge <= second["probability"] for edge in champion.scores))
    assert sample(client, "answer_scores_total", model="challenger", part=part) == 3
    parts = [one for one in series(client, "answer_scores_total") if one["model"] == "champion"]
    assert len(parts) == len(champion.scores) + 1  # there from the start, at 0

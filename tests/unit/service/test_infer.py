"""The Open Inference Protocol: tensors in, the answers of /predict out."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from common.names import Metric
from service.export import export
from tests.unit.service import own_models
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.series import sample

Start = Callable[..., FlaskClient]
OTHER = [0.1 * at for at in range(30)]
INFER = "/v2/models/canario/infer"
FEATURES = {"name": "features", "shape": [2, 30], "datatype": "FP64", "data": [*ROW, *OTHER]}
USER = {"user_id": "u"}


def infer(client: FlaskClient, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The outputs by name, beside the other fields of the answer."""
    response = client.post(INFER, json={"inputs": inputs, "parameters": USER} | more)
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.get_json()
    for each in told.pop("outputs"):
        assert math.prod(each["shape"]) == len(each["data"])
        told[each["name"]] = each["data"]
    return told


def predict(client: FlaskClient, *rows: Any, user: str = "u") -> list[dict[str, Any]]:
    told = client.post("/predict", json={"user_id": user, "rows": rows}).get_json()
    found: list[dict[str, Any]] = told["predictions"]
    return found


@pytest.mark.parametrize("share", [0, 100])
def test_tensors_are_answered_as_rows_are(start: Start, share: int) -> None:
    client = start(flag(rollout(share)))
    told, rows = infer(client, FEATURES), predict(client, ROW, OTHER)
    for field in ("prediction", "class_name", "probability"):
        assert told[field] == [each[field] for each in rows]
    by_class = [told["probabilities"][at : at + 2] for at in (0, 2)]
    assert [max(each) for each in by_class] == told["probability"]
    model, name = ("challenger", "random-forest") if share else ("champion", "logistic-regression")
    assert told["model"] == [model, model]
    assert told["model_version"] == f"breast-cancer-{name}:1"
    assert told["parameters"] == {
        "model": model,
        "assigned": model,
        "reason": "flag_on" if share else "flag_off",
    }


@pytest.mark.parametrize("nested", [[ROW, OTHER], [*ROW, *OTHER]])
def test_values_may_be_nested(start: Start, nested: list[Any]) -> None:
    client = start()
    assert infer(client, FEATURES | {"data": nested})["prediction"] == infer(client, FEATURES)["prediction"]


def test_a_tensor_for_each_feature(start: Start, tmp_path: Path) -> None:
    fitted, rows = own_models.churn()
    folder = export(fitted, tmp_path / "churn", name="churn", version="7", rows=rows).folder
    client = start(champion=folder)
    told = client.get("/v2/models/canario").get_json()
    kinds = {"number": "FP64", "string": "BYTES"}
    features = json.loads((folder / "model.json").read_bytes())["features"]
    assert [(each["name"], each["datatype"]) for each in told["inputs"]] == [
        (each["name"], kinds[each["type"]]) for each in features
    ]
    inputs = [
        {"name": each["name"], "shape": [1, 1], "datatype": kinds[each["type"]], "data": [each["example"]]}
        for each in reversed(features)
    ]
    (alone,) = predict(client, {each["name"]: each["example"] for each in features})
    assert infer(client, *inputs)["probability"] == [alone["probability"]]


def test_each_row_may_have_a_user_of_its_own(start: Start) -> None:
    """Each is asked for once, and gets what the flag wants for them."""
    client = start(flag(rollout(50)))
    users = [f"user-{number % 8}" for number in range(16)]
    rows = [[0.01 * number] * 30 for number in range(16)]
    told = infer(
        client,
        {"name": "features", "shape": [16, 30], "datatype": "FP32", "data": rows},
        {"name": "user_id", "shape": [16], "datatype": "BYTES", "data": users},
        parameters={},
    )
    assert set(told["model"]) == {"champion", "challenger"}
    assert told["parameters"] == {}
    called = sum(sample(client, Metric.CALLS, model=model) for model in ("champion", "challenger"))
    assert called == 8
    for at, (user, row) in enumerate(zip(users, rows, strict=True)):
        alone = client.post("/predict", json={"user_id": user, "features": row}).get_json()
        assert (alone["model"], alone["probability"]) == (told["model"][at], told["probability"][at])
        about = {"request_id": told["request_id"][at], "outcome": "right"}
        assert client.post("/feedback", json=about).get_json()["assigned"] == told["model"][at]


def test_context_and_header(start: Start) -> None:
    norway = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
    client = start(flag(rollout(100, [norway])))
    for country, model in (("NO", "challenger"), ("SE", "champion")):
        told = infer(client, FEATURES, parameters=USER | {"context.country": country, "priority": 1})
        assert told["parameters"]["model"] == model
    body = {"inputs": [FEATURES]}
    assert client.post(INFER, json=body, headers={"Canario-User": "u"}).status_code == 200


def test_outputs_that_are_wanted(start: Start) -> None:
    client = start()
    told = client.post(
        INFER,
        json={
            "id": "mine",
            "inputs": [FEATURES],
            "parameters": USER,
            "outputs": [{"name": "probability"}, {"name": "prediction"}],
        },
    ).get_json()
    assert [each["name"] for each in told["outputs"]] == ["probability", "prediction"]
    assert told["id"] == "mine"


def test_binary_values_follow_the_json(start: Start) -> None:
    client = start()
    values = np.array([ROW, OTHER], dtype="<f4").tobytes()
    user = b"\x01\x00\x00\x00u" * 2
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "features",
                    "shape": [2, 30],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(values)},
                },
                {
                    "name": "user_id",
                    "shape": [2, 1],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": len(user)},
                },
            ]
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    for data, more in (
        (head + values + user, {}),
        (gzip.compress(head + values + user), {"Content-Encoding": "gzip"}),
    ):
        response = client.post(INFER, data=data, headers=headers | more)
        assert response.status_code == 200, response.text
    for bad in (
        head + values,
        head + values + user + b"x",
        head + values + b"\xff\x00\x00\x00u" * 2,
        head[:-1],
    ):
        response = client.post(INFER, data=bad, headers=headers)
        assert response.status_code in (400, 422)
        assert response.get_json()["error"] == response.get_json()["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"shape": [3, 30]}, "inputs[0].data"),
        ({"shape": [2, 29]}, "inputs[0].data"),
        ({"shape": [0, 30], "data": []}, "inputs"),
        ({"shape": [101, 30], "data": ROW * 101}, "inputs"),
        ({"shape": []}, "inputs[0].shape"),
        ({"shape": [4, 15]}, "inputs[0].name"),
        ({"datatype": "FP7"}, "inputs[0].datatype"),
        ({"data": [[*ROW], 1.0]}, "inputs[0].data"),
        ({"data": [*ROW, *OTHER[:-1], "x"]}, "rows[1][29]"),
        ({"data": [*ROW, *OTHER[:-1], 1e31]}, "rows[1][29]"),
        ({"data": [*ROW, *OTHER[:-1], [[1.0]]]}, "rows[1][29]"),
        ({"parameters": {"binary_data_size": 8}}, "inputs[0].parameters.binary_data_size"),
        ({"parameters": {"binary_data_size": -1}}, "inputs[0].parameters.binary_data_size"),
        ({"name": None}, "inputs[0].name"),
    ],
)
def test_inputs_that_do_not_fit_are_named(client: FlaskClient, changes: dict[str, Any], field: str) -> None:
    response = client.post(INFER, json={"inputs": [FEATURES | changes], "parameters": USER})
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"parameters": {}}, "parameters.user_id"),
        ({"parameters": {"user_id": 7}}, "user_id"),
        ({"parameters": USER | {"context.userId": "x"}}, "context.userId"),
        ({"parameters": USER | {"context.a": []}}, "context.a"),
        ({"inputs": []}, "inputs"),
        (
            {"inputs": [FEATURES, {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u"]}]},
            "inputs.user_id",
        ),
        (
            {"inputs": [FEATURES, {"name": "user_id", "shape": [2], "datatype": "INT32", "data": [1, 2]}]},
            "inputs[1].datatype",
        ),
        ({"outputs": [{"name": "nonsense"}]}, "outputs[0].name"),
    ],
)
def test_requests_that_do_not_fit_are_refused(client: FlaskClient, body: dict[str, Any], field: str) -> None:
    response = client.post(INFER, json={"inputs": [FEATURES], "parameters": USER} | body)
    assert response.status_code == 422, response.text
    assert response.get_json()["errors"][0]["field"] == field


def test_health_and_metadata(start: Start) -> None:
    client = start(model_name="fraud")
    assert client.get("/v2/health/live").get_json() == {"live": True}
    assert client.get("/v2/health/ready").get_json() == {"ready": True}
    assert client.get("/v2/models/fraud/ready").get_json() == {"name": "fraud", "ready": True}
    told = client.get("/v2/models/fraud").get_json()
    assert told["inputs"] == [{"name": "features", "datatype": "FP64", "shape": [-1, 30]}]
    assert told["versions"] == ["breast-cancer-logistic-regression:1"]
    missing = client.get("/v2/models/another")
    assert missing.status_code == 404
    assert "fraud" in missing.get_json()["error"]

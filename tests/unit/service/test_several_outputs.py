"""A model of several outputs at every door: requests, shadow, log, metrics, and models elsewhere."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from common.names import Metric, Model
from service.models.artifact import ArtifactError, load_artifact, require_same_interface
from service.prediction_log.schema import PredictionRecord, ShadowRecord
from tests.unit.service.conftest import flag, rollout
from tests.unit.service.remote.endpoint import FakeEndpoint, fake_endpoint
from tests.unit.service.series import sample
from tests.unit.service.several import X, mixed, sizes
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
ROW = X[0].tolist()
FIELDS = ("prediction", "class_name", "probability")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("several")
    return {
        "sizes": sizes(folder / "sizes"),
        "again": sizes(folder / "again", "again", random_state=7, max_depth=2),
        "mixed": mixed(folder / "mixed"),
        "dearer": mixed(folder / "dearer", slope=2.5),
    }


def post(client: FlaskClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def test_the_answer_has_all_outputs_by_name(start: Start, folders: dict[str, Path]) -> None:
    client = start(champion=folders["sizes"])
    told = post(client, "/predict", {"user_id": "u", "features": ROW, "top_k": 2})
    outputs = told["outputs"]
    assert list(outputs) == ["size", "buys"]
    assert {name: told[name] for name in FIELDS} == {name: outputs["size"][name] for name in FIELDS}
    assert outputs["buys"]["prediction"] in {"yes", "no"}
    assert [each["prediction"] for each in told["top"]] == [
        each["prediction"] for each in outputs["size"]["top"]
    ]
    assert sum(each["probability"] for each in outputs["buys"]["top"]) == pytest.approx(1)
    rows = post(client, "/predict", {"user_id": "u", "rows": [ROW, X[1].tolist()]})["predictions"]
    assert rows[0]["outputs"]["buys"]["prediction"] == outputs["buys"]["prediction"]
    assert sample(client, Metric.PREDICTIONS, model="champion", **{"class": told["class_name"]}) >= 1


def test_tensors_of_each_output_have_its_name(start: Start, folders: dict[str, Path]) -> None:
    client = start(champion=folders["mixed"])
    tensor = {"name": "features", "shape": [2, 4], "datatype": "FP32", "data": X[:2].ravel().tolist()}
    body = {"parameters": {"user_id": "u"}, "inputs": [tensor]}
    told = {each["name"]: each for each in post(client, "/v2/models/canario/infer", body)["outputs"]}
    assert (told["price"]["shape"], told["price"]["datatype"]) == ([2], "FP64")
    assert told["leaves.probabilities"]["shape"] == [2, 2]
    assert told["leaves"]["data"] == told["prediction"]["data"]
    metadata = client.get("/v2/models/canario").get_json()["outputs"]
    assert {each["name"]: each["shape"] for each in metadata} == {
        name: [-1, *each["shape"][1:]] for name, each in told.items()
    }
    wanted = post(client, "/v2/models/canario/infer", body | {"outputs": [{"name": "days"}]})
    assert [each["name"] for each in wanted["outputs"]] == ["days"]


def test_invocations_answer_with_lists_as_a_scoring_server(start: Start, folders: dict[str, Path]) -> None:
    client = start(champion=folders["mixed"])
    told = post(client, "/invocations", {"inputs": X[:2].tolist(), "params": {"user_id": "u"}})
    assert told["outputs"] == ["leaves", "price", "days"]
    (leaves, price, days), _ = told["predictions"]
    one = post(client, "/predict", {"user_id": "u", "features": ROW})["outputs"]
    assert [leaves, price, days] == [one[name]["prediction"] for name in told["outputs"]]
    assert told["probabilities"][0] == [one["leaves"]["probability"], None, None]


def test_a_model_of_one_output_answers_as_ever(start: Start) -> None:
    client = start()
    row = [0.5] * 30
    assert "outputs" not in post(client, "/predict", {"user_id": "u", "features": row})
    told = post(client, "/invocations", {"inputs": [row], "params": {"user_id": "u"}})
    assert "outputs" not in told
    assert isinstance(told["predictions"][0], int)


def test_the_challenger_in_its_process_answers_with_all(start: Start, folders: dict[str, Path]) -> None:
    client = start(flag(rollout(100)), champion=folders["mixed"], challenger=folders["dearer"])
    told = post(client, "/predict", {"user_id": "u", "features": ROW})
    assert told["model"] == Model.CHALLENGER
    first = post(start(champion=folders["mixed"]), "/predict", {"user_id": "u", "features": ROW})
    assert told["outputs"]["days"] == first["outputs"]["days"]
    assert told["outputs"]["price"] != first["outputs"]["price"]


def test_shadow_compares_each_output_and_all(start: Start, folders: dict[str, Path], tmp_path: Path) -> None:
    client = start(
        flag(rollout(0)),
        flag(rollout(100), name="shadow"),
        champion=folders["mixed"],
        challenger=folders["dearer"],
        shadow_linger_ms=1,
        log_flush_seconds=0.01,
    )
    post(client, "/predict", {"user_id": "u", "rows": X.tolist()[:50]})
    until(lambda: sample(client, Metric.SHADOW_SAMPLES) == 50, 10)
    of_each = {
        name: sample(client, Metric.SHADOW_OUTPUT_AGREEMENTS, output=name)
        for name in ("leaves", "price", "days")
    }
    assert of_each["leaves"] == of_each["days"] == 50
    assert of_each["price"] < 50
    assert sample(client, Metric.SHADOW_AGREEMENTS) == of_each["price"]

    def records() -> list[Any]:
        lines = b"".join(file.read_bytes() for file in (tmp_path / "state").rglob("*.jsonl")).splitlines()
        return [json.loads(line) for line in lines]

    until(lambda: len(records()) == 100, 10)
    for record in records():
        if record["kind"] == "prediction":
            assert PredictionRecord.model_validate_json(json.dumps(record)).outputs
        else:
            shadow = ShadowRecord.model_validate_json(json.dumps(record))
            assert shadow.challenger.outputs
            assert shadow.outputs_agree
            assert shadow.agree is all(shadow.outputs_agree.values())


def test_other_outputs_are_refused(folders: dict[str, Path]) -> None:
    ours, theirs = load_artifact(folders["sizes"]), load_artifact(folders["mixed"])
    with pytest.raises(ArtifactError, match="answers the outputs leaves, price, days, the champion in"):
        require_same_interface(ours, theirs)


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with fake_endpoint() as fake:
        yield fake


@pytest.mark.parametrize("role", Model)
def test_a_model_elsewhere_is_read_output_by_output(
    start: Start, folders: dict[str, Path], endpoint: FakeEndpoint, tmp_path: Path, role: Model
) -> None:
    """Classes by the names of outputs, values by name or as columns of one tensor, as MLServer has them."""

    def answer(rows: int) -> dict[str, Any]:
        sure = {"name": "leaves.probabilities", "shape": [rows, 2], "datatype": "FP32"}
        values = {"name": "predict", "shape": [rows, 3], "datatype": "FP32"}
        outputs = [sure | {"data": [0.25, 0.75] * rows}, values | {"data": [0, 12.5, 3] * rows}]
        return {"model_name": "fraud", "model_version": "3", "outputs": outputs}

    endpoint.answer = answer  # type: ignore[method-assign]
    remote = tmp_path / "remote"
    remote.mkdir()
    told = {
        "url": endpoint.url,
        "model": "fraud",
        "version": "3",
        "input": "x",
        "probabilities": "leaves.probabilities",
        "more": [{"value": "predict", "column": 1}, {"value": "predict", "column": 2}],
    }
    write_remote(remote, folders["mixed"], told)
    arms = {"champion": folders["mixed"], "challenger": folders["dearer"], role.value: remote}
    client = start(flag(rollout(100 if role is Model.CHALLENGER else 0)), **arms)
    for body in ({"features": ROW}, {"rows": [ROW] * 3}):
        found = post(client, "/predict", {"user_id": "u", **body})
        assert found["model"] == role
        outputs = found.get("outputs") or found["predictions"][2]["outputs"]
        assert [outputs[name]["prediction"] for name in ("leaves", "price", "days")] == ["yes", 12.5, 3]
    assert [each["name"] for each in endpoint.asked[-1]["outputs"]] == ["leaves.probabilities", "predict"]


def write_remote(folder: Path, like: Path, told: dict[str, Any]) -> None:
    """The model folder of a remote model that answers as the one in `like`."""
    content = json.dumps(told)
    (folder / "remote.json").write_text(content)
    metadata = json.loads((like / "model.json").read_bytes())
    metadata["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(metadata))

"""A row at which the challenger raises costs one sample, not the batch that it came in; and little time."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from flask.testing import FlaskClient
from onnx import TensorProto, helper

from common.names import Metric, Model
from service.challenger.protocol import Outcome, Reply
from service.challenger.shadow import Sample
from service.models.artifact import Metadata, load_artifact
from service.models.onnx_model import Answer, Row
from tests.unit.service.conftest import flag, rollout
from tests.unit.service.series import sample as series
from tests.unit.service.shadow_bench import Bench
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
BAD = 7.0


def looking_up(folder: Path, known: int) -> Path:
    """An artifact that finds its answer by the first feature, and raises where that is not below `known`."""
    table = np.tile(np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32), (known, 1))[:known]
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["row", "first"], ["key"], axis=1),
            helper.make_node("Cast", ["key"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "index"], ["probabilities"], axis=0),
        ],
        "looking_up",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor("first", TensorProto.INT64, [], [0]),
            helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.ravel().tolist()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    features = [{"name": name, "type": "number", "example": 0} for name in ("key", "other")]
    classes = [{"label": at, "name": name} for at, name in enumerate(("no", "yes"))]
    metadata = {
        "format": 2,
        "name": "looking-up",
        "version": str(known),
        "task": "classification",
        "features": features,
        "classes": classes,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    folder.mkdir()
    (folder / "model.onnx").write_bytes(data)
    (folder / "model.json").write_text(json.dumps(metadata), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("looking-up")
    return {
        "champion": looking_up(folder / "champion", 9),
        "challenger": looking_up(folder / "challenger", 2),
    }


@pytest.fixture(scope="module")
def metadata(artifacts: dict[str, Path]) -> dict[Model, Metadata]:
    return {role: load_artifact(artifacts[role]).metadata for role in Model}


def batch(*bad: int, size: int = 64) -> list[Sample]:
    """Samples of which those numbered in `bad` make the model raise."""
    return [
        Sample(
            f"r{at}",
            1_700_000_000.0,
            "u",
            {},
            np.array([[BAD if at in bad else 0.0, 0.0]], dtype=np.float32),
            Answer(0, "no", 0.9),
            0.001,
        )
        for at in range(size)
    ]


class Raising:
    """A model that raises at bad rows, after `seconds`; it notes how many rows it was asked about."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.asked: list[int] = []
        self._seconds = seconds

    def __call__(self, rows: Row, _deadline: float) -> Reply:
        self.asked.append(len(rows))
        if (rows[:, 0] == BAD).any():
            time.sleep(self._seconds)  # time that the shadow itself measures
            return Reply(Outcome.RAISED, self._seconds, b"IndexError: 7")
        numbers = np.tile(np.array([0, 0.9, 0.1], dtype=np.float32), len(rows))
        return Reply(Outcome.ANSWERED, 0.0001 * len(rows), numbers.tobytes())


def worked_off(model: Raising, metadata: dict[Model, Metadata], *batches: list[Sample]) -> Bench:
    """What became of `batches`, each asked about as one."""
    bench = Bench(model, metadata)
    for each in batches:
        bench.shadow._rows = len(each)
        bench.offer(each)
        bench.shadow._work_off()
    return bench


def test_one_bad_row_costs_one_sample(metadata: dict[Model, Metadata]) -> None:
    model = Raising()
    bench = worked_off(model, metadata, batch(37))
    assert bench.count(Metric.SHADOW_SAMPLES) == bench.count(Metric.SHADOW_AGREEMENTS) == 63
    assert bench.count(Metric.SHADOW_ERRORS, reason="exception") == 1
    assert [each["request_id"] for each in bench.records] == [f"r{at}" for at in range(64)]
    assert [each["request_id"] for each in bench.records if each["error"]] == ["r37"]
    assert len(model.asked) == 1 + 2 * 6  # 64 is 2 to the power of 6


@pytest.mark.parametrize("size", [1, 2, 3, 63, 64])
def test_bad_rows_anywhere_cost_no_other(metadata: dict[Model, Metadata], size: int) -> None:
    bad = {0, size // 3, size - 1}
    bench = worked_off(Raising(), metadata, batch(*bad, size=size))
    assert bench.count(Metric.SHADOW_ERRORS, reason="exception") == len(bad)
    assert bench.count(Metric.SHADOW_SAMPLES) == size - len(bad)
    assert {each["request_id"] for each in bench.records if each["error"]} == {f"r{at}" for at in bad}


def test_a_model_that_takes_long_to_raise_is_not_asked_for_long(metadata: dict[Model, Metadata]) -> None:
    model = Raising(seconds=0.06)
    begun = time.monotonic()
    bench = worked_off(model, metadata, batch(*range(64)))
    # 0.25 s, and the parts that are left then; to ask for each row would take 7.
    assert time.monotonic() - begun < 3
    assert bench.count(Metric.SHADOW_ERRORS, reason="exception") == 64
    assert len(bench.records) == 64
    assert len(model.asked) < 14


def test_a_model_that_raises_at_everything_is_asked_about_each_row_once(
    metadata: dict[Model, Metadata],
) -> None:
    model = Raising()
    bench = Bench(model, metadata)
    bench.offer(batch(*range(20), size=20))
    bench.shadow._work_off()
    assert model.asked == [1] * 20


def test_after_a_bad_row_batches_become_large_again(metadata: dict[Model, Metadata]) -> None:
    model = Raising()
    bench = Bench(model, metadata)
    bench.offer(batch(63) + batch(size=65))
    bench.shadow._rows = 64
    bench.shadow._work_off()
    assert model.asked[-2:] == [1, 64]
    assert bench.count(Metric.SHADOW_SAMPLES) == 128


def test_a_real_model_that_raises_at_one_row_answers_the_others(
    start: Start, artifacts: dict[str, Path]
) -> None:
    client = start(
        flag(rollout(0)), flag(rollout(100), name="shadow"), **artifacts, shadow_linger_ms=500, threads=2
    )
    for at in range(30):
        body: dict[str, Any] = {"user_id": "u", "features": [BAD if at == 11 else at % 2, 0]}
        assert client.post("/predict", json=body).status_code == 200
    until(lambda: series(client, Metric.SHADOW_SAMPLES) == 29)
    assert series(client, Metric.SHADOW_ERRORS, reason="exception") == 1
    assert series(client, Metric.SHADOW_AGREEMENTS) == 29
    assert series(client, Metric.GUEST_STARTS) == 1

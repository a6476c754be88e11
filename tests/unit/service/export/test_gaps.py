"""A missing value is null in a request, NaN to the model, and null in the log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.problems import RequestError
from service.api.request import to_values
from service.export import export
from service.export.probes import probes
from service.export.rows import read_table
from service.models.artifact import Feature, Metadata, load_artifact
from service.prediction_log.schema import PredictionRecord
from tests.unit.service import own_models
from tests.unit.service.conftest import flag, rollout
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
FEATURES: list[dict[str, Any]] = [
    {"name": "a", "type": "number", "example": 1.0, "gaps": True},
    {"name": "b", "type": "number", "example": 1.0},
    {"name": "c", "type": "number", "example": 1.0, "gaps": True},
    {"name": "d", "type": "string", "example": "x"},
]
METADATA = Metadata.model_validate(
    {
        "format": 2,
        "name": "m",
        "version": "1",
        "task": "regression",
        "tolerance": {},
        "features": FEATURES,
        "sha256": "0" * 64,
    }
)


@pytest.fixture(scope="module", params=["churn_with_gaps", "diabetes_with_gaps"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    pipeline, rows = getattr(own_models, request.param)()
    folder = tmp_path_factory.mktemp("gaps")
    return request.param, export(pipeline, folder, name="gaps", version="1", rows=rows).folder


@pytest.mark.parametrize("role", ["champion", "challenger"])
@pytest.mark.parametrize("form", ["in order", "by name", "left out"])
def test_a_gap_is_answered_as_the_pipeline_answers_it(
    start: Start, exported: tuple[str, Path], role: str, form: str
) -> None:
    name, folder = exported
    flags = [flag(rollout(100))] if role == "challenger" else []
    client = start(*flags, champion=folder, **({"challenger": folder} if flags else {}))
    pipeline, rows = getattr(own_models, name)()
    metadata = load_artifact(folder).metadata
    values = read_table(rows).values
    some = [at for at, row in enumerate(values) if None in row][:5]
    assert some
    for at in some:
        features: Any = values[at]
        if form != "in order":
            features = dict(zip(metadata.names, values[at], strict=True))
        if form == "left out":
            features = {name: value for name, value in features.items() if value is not None}
        answer = client.post("/predict", json={"user_id": "u", "features": features}).get_json()
        assert answer["model"] == role, answer
        one = rows.iloc[at : at + 1]
        if metadata.classes:
            assert answer["prediction"] == pipeline.predict(one)[0]
            assert answer["probability"] == pytest.approx(pipeline.predict_proba(one).max(), abs=1e-5)
        else:
            assert answer["prediction"] == pytest.approx(pipeline.predict(one)[0], rel=1e-4)


def test_the_log_keeps_null_as_null(start: Start, exported: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = exported
    _, rows = getattr(own_models, name)()
    client = start(champion=folder, log_features=True, log_dir=tmp_path / "log", log_flush_seconds=0.05)
    row = next(row for row in read_table(rows).values if None in row)
    assert client.post("/predict", json={"user_id": "u", "features": row}).status_code == 200
    places = [at for at, value in enumerate(row) if value is None]

    def logged() -> list[dict[str, Any]]:
        files = (tmp_path / "log").glob("*.jsonl")
        return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]

    until(lambda: bool(logged()), 5)
    (record,) = logged()
    PredictionRecord.model_validate_json(orjson.dumps(record))
    assert [at for at, value in enumerate(record["features"]) if value is None] == places


def test_the_document_says_where_null_may_be(start: Start, exported: tuple[str, Path]) -> None:
    _, folder = exported
    document = start(champion=folder).get("/openapi.json", follow_redirects=True).get_json()
    by_name = document["components"]["schemas"]["PredictRequest"]["properties"]["features"]["anyOf"][1]
    metadata = load_artifact(folder).metadata
    assert metadata.gaps
    may = {
        each for each, schema in by_name["properties"].items() if {"type": "null"} in schema.get("anyOf", [])
    }
    assert may == metadata.gaps == set(metadata.names) - set(by_name["required"])


def test_rows_with_gaps_are_compared_in_each_feature_that_takes_them() -> None:
    _, rows = own_models.diabetes_with_gaps()
    table = read_table(rows, gaps=["age"])
    gaps = next(each for each in probes(table, b"", {}) if each.what == "a gap (null)").rows
    alone = {tuple(at for at, value in enumerate(row) if value is None) for row in gaps}
    ages, bmi, bp = (list(rows.columns).index(name) for name in ("age", "bmi", "bp"))
    assert {(ages,), (bmi,), (bp,)} <= {places for places in alone if len(places) == 1}
    assert (ages, bmi, bp) in alone
    typed = table.like_original(gaps)
    assert typed.dtypes.eq(np.float64).all()


@given(st.lists(st.sampled_from(["value", "null", "absent", "text"]), min_size=4, max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_null_is_taken_where_the_model_takes_gaps_and_named_elsewhere(
    states: list[str], by_name: bool
) -> None:
    told: dict[str, Any] = {"value": 2.0, "null": None, "text": "t"}
    if by_name:
        features: Any = {
            each["name"]: told[state]
            for each, state in zip(FEATURES, states, strict=True)
            if state != "absent"
        }
    else:
        states = ["null" if state == "absent" else state for state in states]
        features = [told[state] for state in states]
    bad = []
    for at, (feature, state) in enumerate(zip(METADATA.features, states, strict=True)):
        right = "text" if feature.type == "string" else "value"
        if state != right and not (feature.gaps and state in ("null", "absent")):
            bad.append(f"features.{feature.name}" if by_name else f"features[{at}]")
    try:
        row = to_values(features, METADATA)
    except RequestError as error:
        named = {fault.field for fault in error.faults}
        assert named
        assert named <= set(bad)
        return
    assert not bad
    for value, state in zip(row, states, strict=True):
        assert (value is None) == (state in ("null", "absent"))


def test_a_string_cannot_have_gaps() -> None:
    with pytest.raises(ValueError, match="only numbers can have gaps"):
        Feature(name="a", type="string", example="x", gaps=True)

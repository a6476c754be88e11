"""A challenger may take other features: requests bring those of both, and each model takes its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from common.model_store import ModelStore
from common.names import Metric
from common.release import Note, challenged, promoted, taken_back
from service.app import close, create_app
from service.export import export
from service.models import reload
from service.models.artifact import ArtifactError, Metadata, load_artifact, require_same_interface
from service.models.interface import Interface
from service.models.onnx_model import array_of
from service.settings import Settings
from tests.unit.service.conftest import flag, keep_on_disk, rollout
from tests.unit.service.series import sample
from tests.unit.waiting import until

Start = Callable[..., FlaskClient]
Models = dict[str, tuple[Any, Path]]
NOTE = Note("a test")
CHAMPION, CHALLENGER = ["age", "income"], ["plan", "income", "visits"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """`champion` takes age and income; `challenger` plan, income and visits; `lenient` as well, with gaps."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "age": random.normal(40, 10, 300),
            "income": random.normal(0, 1, 300),
            "visits": random.normal(5, 2, 300),
            "plan": random.choice(["free", "plus"], 300),
        }
    )
    bought = np.where(rows["income"] + (rows["plan"] == "plus") + 0.2 * rows["visits"] > 1.5, "yes", "no")
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), ["income", "visits"]),
            ("strings", OneHotEncoder(handle_unknown="ignore"), ["plan"]),
        ]
    )
    folder = tmp_path_factory.mktemp("features")
    found = {}
    for name, pipeline, names, gaps in (
        ("champion", LogisticRegression(), CHAMPION, []),
        ("challenger", make_pipeline(columns, LogisticRegression()), CHALLENGER, []),
        ("lenient", make_pipeline(columns, LogisticRegression()), CHALLENGER, ["visits", "income"]),
    ):
        fitted = pipeline.fit(rows[names], bought)
        export(fitted, folder / name, name=name, version="1", rows=rows[names], gaps=gaps)
        found[name] = fitted, folder / name
    return found


ROW = {"age": 33.0, "income": 0.25, "visits": 7.0, "plan": "plus"}


def said(pipeline: Any, row: dict[str, Any], names: list[str]) -> Any:
    frame = pd.DataFrame([{name: row.get(name, np.nan) for name in names}])
    return pytest.approx(pipeline.predict_proba(frame).max(), abs=1e-5)


def ask(client: FlaskClient, features: Any) -> dict[str, Any]:
    answer = client.post("/predict", json={"user_id": "u", "features": features})
    assert answer.status_code == 200, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def up(client: FlaskClient) -> FlaskClient:
    """When the challenger's process is up, which may take long on a busy machine."""
    lineup = client.application.extensions["canario"].reloader.lineup
    until(lambda: lineup.challenger.worker.is_up, 60)
    return client


def test_each_model_takes_its_own(start: Start, own: Models) -> None:
    folders = {"champion": own["champion"][1], "challenger": own["challenger"][1]}
    for share, role, names in ((0, "champion", CHAMPION), (100, "challenger", CHALLENGER)):
        client = up(start(flag(rollout(share)), **folders))
        answer = ask(client, ROW)
        assert (answer["model"], answer["reason"]) == (role, "flag_on" if share else "flag_off")
        assert answer["probability"] == said(own[role][0], ROW, names)
        several = client.post(
            "/predict", json={"user_id": "u", "rows": [ROW, ROW | {"income": -2.0}]}
        ).get_json()
        assert several["model"] == role
        assert several["predictions"][1]["probability"] == said(own[role][0], ROW | {"income": -2.0}, names)


@pytest.mark.parametrize(
    "features",
    [
        {"age": 33.0, "income": 0.25, "plan": "plus"},
        {"age": 33.0, "income": 0.25, "plan": None, "visits": 7.0},
        {"age": 33.0, "income": 0.25},
        [33.0, 0.25],
    ],
)
def test_what_the_challenger_lacks_is_its_error_and_the_champion_answers(
    start: Start, own: Models, features: Any
) -> None:
    client = up(start(flag(rollout(100)), champion=own["champion"][1], challenger=own["challenger"][1]))
    answer = ask(client, features)
    assert (answer["assigned"], answer["model"]) == ("challenger", "champion")
    assert answer["reason"] == "fallback_features"
    assert answer["probability"] == said(own["champion"][0], ROW, CHAMPION)
    assert sample(client, Metric.ERRORS, model="challenger", reason="features") == 1


def test_a_gap_is_a_gap_to_who_takes_gaps(start: Start, own: Models) -> None:
    client = up(start(flag(rollout(100)), champion=own["champion"][1], challenger=own["lenient"][1]))
    row = {"age": 33.0, "income": 0.25, "plan": "plus"}
    answer = ask(client, row)
    assert answer["model"] == "challenger"
    assert answer["probability"] == said(own["lenient"][0], row, CHALLENGER)


@pytest.mark.parametrize(
    ("features", "field"),
    [
        ({"income": 1.0, "visits": 7.0, "plan": "plus"}, "features.age"),
        (ROW | {"income": None}, "features.income"),
        (ROW | {"wings": 2}, "features.wings"),
        (ROW | {"visits": "many"}, "features.visits"),
        ([1.0], "features"),
    ],
)
def test_what_the_champion_lacks_is_the_clients(start: Start, own: Models, features: Any, field: str) -> None:
    client = up(start(flag(rollout(100)), champion=own["champion"][1], challenger=own["lenient"][1]))
    answer = client.post("/predict", json={"user_id": "u", "features": features})
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.get_json()["errors"]] == [field]


def test_the_document_says_who_takes_what(start: Start, own: Models) -> None:
    client = up(start(flag(rollout(100)), champion=own["champion"][1], challenger=own["challenger"][1]))
    document = client.get("/openapi.json", follow_redirects=True).get_json()
    by_name = document["components"]["schemas"]["PredictRequest"]["properties"]["features"]["anyOf"][1]
    assert by_name["required"] == CHAMPION
    told = {name: each.get("description") for name, each in by_name["properties"].items()}
    assert told == {
        "age": "Taken by the champion only.",
        "income": None,
        "plan": "Taken by the challenger only.",
        "visits": "Taken by the challenger only.",
    }
    inputs = client.get("/v2/models/canario").get_json()["inputs"]
    assert {each["name"] for each in inputs} == {"age", "income", "plan", "visits"}


@pytest.mark.parametrize(("names", "by"), [(ROW, "challenger"), (CHAMPION, "champion")])
def test_tensors_bring_the_features_of_both_too(start: Start, own: Models, names: Any, by: str) -> None:
    client = up(start(flag(rollout(100)), champion=own["champion"][1], challenger=own["challenger"][1]))
    inputs = [
        {
            "name": name,
            "shape": [1, 1],
            "datatype": "BYTES" if name == "plan" else "FP64",
            "data": [ROW[name]],
        }
        for name in names
    ]
    body = {"parameters": {"user_id": "u"}, "inputs": inputs}
    answer = client.post("/v2/models/canario/infer", json=body)
    assert answer.status_code == 200, answer.get_json()
    said = answer.get_json()["parameters"]
    assert (said["model"], said["reason"]) == (by, "flag_on" if by == "challenger" else "fallback_features")


def test_shadow_sees_its_own_features_too(start: Start, own: Models) -> None:
    shadow = flag(rollout(100), name="shadow")
    client = up(start(flag(rollout(0)), shadow, champion=own["champion"][1], challenger=own["challenger"][1]))
    for _ in range(3):
        ask(client, ROW)
    ask(client, {"age": 33.0, "income": 0.25})
    until(lambda: sample(client, Metric.SHADOW_SAMPLES) == 3)
    assert sample(client, Metric.SHADOW_ERRORS, reason="features") == 1


@pytest.fixture
def following(
    own: Models, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Flask]:
    """A service that follows a models folder with the champion alone."""
    for name, seconds in (("LOOK", 0.02), ("GRACE", 0.1), ("FLAGS", 0.3), ("FLAGS_SETTLE", 0.0)):
        monkeypatch.setattr(reload, f"{name}_SECONDS", seconds)
    store = ModelStore(tmp_path / "models")
    store.install(own["champion"][1], None, NOTE)
    changed = {"champion": None, "challenger": None, "models": store.folder}
    of_folder = Settings.model_validate(dict(settings) | changed)
    keep_on_disk(of_folder, flag(rollout(100)))
    app = create_app(of_folder)
    app.extensions["canario"].assigner.fetched_at = float("inf")  # as if Unleash had answered
    yield app
    close(app)


def test_the_champion_becomes_one_of_other_features_while_it_serves(
    following: Flask, own: Models, tmp_path: Path
) -> None:
    """Requests with the features of both are answered all the way, old ones until the promotion."""
    store, client = ModelStore(tmp_path / "models"), following.test_client()
    old = {"age": 33.0, "income": 0.25}
    reloader = following.extensions["canario"].reloader

    def follow(change: Any) -> None:
        revision = store.change(change).revision
        until(lambda: reloader.lineup.revision == revision)

    assert ask(client, old)["model_name"] == "champion"
    entry = store.add(own["challenger"][1])
    follow(lambda now: challenged(now, entry, NOTE))
    assert ask(client, old)["reason"] == "fallback_features"
    assert ask(up(client), ROW)["model_name"] == "challenger"
    follow(lambda now: promoted(now, NOTE))
    assert ask(client, ROW)["model_name"] == "challenger"  # age comes, and goes to nobody
    assert client.post("/predict", json={"user_id": "u", "features": old}).status_code == 422
    document = client.get("/openapi.json", follow_redirects=True).get_json()
    properties = document["components"]["schemas"]["PredictRequest"]["properties"]["features"]["anyOf"][1]
    assert properties["required"] == CHALLENGER
    assert properties["properties"]["age"] == {"description": "Taken by no model any more."}
    follow(lambda now: taken_back(now, NOTE))
    assert ask(client, ROW)["model_name"] == "champion"


def test_a_feature_of_both_has_one_type(own: Models) -> None:
    champion, challenger = load_artifact(own["champion"][1]), load_artifact(own["challenger"][1])
    features = [each.model_copy(update={"type": "string"}) for each in challenger.metadata.features]
    changed = challenger.metadata.model_copy(update={"features": features})
    with pytest.raises(
        ArtifactError, match="'income' is a string to the challenger and a number to the champion"
    ):
        require_same_interface(champion, type(challenger)(challenger.folder, changed, b""))


NAMES = list("abcdefgh")
FEATURES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.booleans()), min_size=1, unique_by=lambda each: each[0]
)
STRINGS = frozenset("bdf")


def metadata(features: list[tuple[str, bool]]) -> Metadata:
    told = [
        {
            "name": name,
            "type": "string" if name in STRINGS else "number",
            "example": "x" if name in STRINGS else 1.0,
            "gaps": may and name not in STRINGS,
        }
        for name, may in features
    ]
    return Metadata.model_validate(
        {"format": 2, "name": "m", "version": "1", "task": "regression", "tolerance": {}, "sha256": "0" * 64}
        | {"features": told}
    )


@given(FEATURES, FEATURES, st.sets(st.sampled_from(NAMES)))
@settings(max_examples=300, deadline=None)
def test_every_model_gets_just_its_features(
    ours: list[tuple[str, bool]], theirs: list[tuple[str, bool]], absent: set[str]
) -> None:
    champion, challenger = metadata(ours), metadata(theirs)
    form = Interface(champion, challenger)
    given_values: dict[str, Any] = {
        name: None if name in absent else f"s{name}" if name in STRINGS else float(NAMES.index(name))
        for name in form.metadata.names
    }
    rows = array_of([list(given_values.values())] * 2, form.metadata)
    own_rows = array_of([[given_values[name] for name in champion.names]] * 2, champion)
    assert _same(form.of_champion(rows), own_rows)
    lacks = any(given_values[each.name] is None and not each.gaps for each in challenger.features)
    their_rows = form.of_challenger(rows)
    # What the champion itself needs never comes as a gap: such a request is refused before.
    if all(given_values[each.name] is not None or each.gaps for each in champion.features):
        assert (their_rows is None) is lacks
    if their_rows is not None:
        wanted = array_of([[given_values[name] for name in challenger.names]] * 2, challenger)
        assert _same(their_rows, wanted)


def _same(found: Any, wanted: Any) -> bool:
    if found.dtype != wanted.dtype or found.shape != wanted.shape or not found.flags["C_CONTIGUOUS"]:
        return False
    if found.dtype == np.float32:
        return bool(np.array_equal(found, wanted, equal_nan=True))
    return bool(found.tolist() == wanted.tolist())

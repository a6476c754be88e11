"""Other models than the example: exported by the command, served by app and guest as scikit-learn answers."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from common.names import Metric
from service.challenger.agreement import compare
from service.export import export
from service.export.__main__ import main
from service.export.rows import read_table
from service.models.artifact import (
    LARGEST_ROW_BYTES,
    LONGEST_STRING,
    STRING_BYTES,
    ArtifactError,
    load_artifact,
    require_same_interface,
)
from service.models.onnx_model import Answer
from tests.unit.service import own_models
from tests.unit.service.conftest import flag, rollout
from tests.unit.service.series import sample

Start = Callable[..., FlaskClient]
FILE = Path(own_models.__file__)
IRIS = "--features=sepal length,sepal width,petal length,petal width"
OPTIONS = {
    "iris": [IRIS, "--classes=setosa,versicolor,virginica"],
    "diabetes": ["--unit=points"],
    "diabetes_forest": ["--unit=points"],
    "words": ["--features=plan,channel"],
}
PAIRS = [
    ("iris", "iris"),
    ("wine", "wine"),
    ("diabetes", "diabetes_forest"),
    ("churn", "churn_by_number"),
    ("words", "words"),
    ("fraud", "fraud"),
]


def run(name: str, out: Path, *options: str) -> Result:
    arguments = [f"{FILE}:{name}", f"--name={name}", "--version=1", f"--out={out}", *options]
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("own")

    @cache
    def _export(name: str) -> Path:
        result = run(name, folder / name, *OPTIONS.get(name, []))
        assert result.exit_code == 0, result.output
        return folder / name

    return _export


@pytest.mark.parametrize(("champion", "challenger"), PAIRS)
def test_both_models_answer_as_scikit_learn_does(
    start: Start, exported: Callable[[str], Path], champion: str, challenger: str
) -> None:
    for role, name, client in (
        ("champion", champion, start(champion=exported(champion))),
        (
            "challenger",
            challenger,
            start(flag(rollout(100)), champion=exported(champion), challenger=exported(challenger)),
        ),
    ):
        pipeline, rows = getattr(own_models, name)()
        some = rows[::10]
        names = load_artifact(exported(name)).metadata.names
        for values, expected, probability in zip(
            read_table(some, names).values, pipeline.predict(some), probabilities(pipeline, some), strict=True
        ):
            for features in (values, dict(zip(names, values, strict=True))):
                answer = client.post("/predict", json={"user_id": "u", "features": features}).get_json()
                assert answer["model"] == role
                assert_same(answer, expected, probability)


def probabilities(pipeline: Any, rows: Any) -> list[float | None]:
    """That of the class that is predicted; None of a regressor."""
    if not hasattr(pipeline, "predict_proba"):
        return [None] * len(rows)
    places = [pipeline.classes_.tolist().index(each) for each in pipeline.predict(rows)]
    return list(pipeline.predict_proba(rows)[np.arange(len(rows)), places])


def assert_same(answer: dict[str, Any], expected: Any, probability: float | None) -> None:
    if probability is None:
        assert answer["class_name"] is None
        assert answer["prediction"] == pytest.approx(expected, rel=1e-4)
        assert answer["probability"] is None
    else:
        assert answer["prediction"] == expected
        assert answer["probability"] == pytest.approx(probability, abs=1e-5)


def test_all_classes_are_told_where_they_are_asked_for(start: Start, exported: Callable[[str], Path]) -> None:
    client = start(flag(rollout(100)), champion=exported("wine"), challenger=exported("wine"))
    pipeline, rows = own_models.wine()
    row = rows.iloc[70].tolist()
    truth = dict(zip(pipeline.classes_.tolist(), pipeline.predict_proba(rows.iloc[70:71])[0], strict=True))
    body = {"user_id": "u", "features": row}
    assert "top" not in client.post("/predict", json=body).get_json()
    for most in (1, 2, 3, 1000):
        answer = client.post("/predict", json=body | {"top_k": most}).get_json()
        told = answer["top"]
        assert [each["prediction"] for each in told] == sorted(truth, key=lambda name: -truth[name])[:most]
        assert [each["probability"] for each in told] == pytest.approx(
            sorted(truth.values(), reverse=True)[:most], abs=1e-5
        )
        assert told[0] == {name: answer[name] for name in ("prediction", "class_name", "probability")}
    several = client.post("/predict", json={"user_id": "u", "rows": [row, row], "top_k": 3}).get_json()
    assert [len(each["top"]) for each in several["predictions"]] == [3, 3]
    assert client.post("/predict", json=body | {"top_k": 0}).status_code == 422
    regressor = start(champion=exported("diabetes"))
    example = [each.example for each in load_artifact(exported("diabetes")).metadata.features]
    asked = {"user_id": "u", "features": example, "top_k": 3}
    assert regressor.post("/predict", json=asked).get_json()["top"] == []


def test_a_value_is_counted_as_such(start: Start, exported: Callable[[str], Path]) -> None:
    client = start(flag(rollout(100)), champion=exported("diabetes"), challenger=exported("diabetes_forest"))
    features = load_artifact(exported("diabetes")).metadata.features
    body = {"user_id": "u", "features": {each.name: each.example for each in features}}
    assert sample(client, Metric.PREDICTIONS, model="challenger", **{"class": "value"}) == 0
    client.post("/predict", json=body)
    assert sample(client, Metric.PREDICTIONS, model="challenger", **{"class": "value"}) == 1


@pytest.mark.parametrize(
    ("features", "field", "detail"),
    [
        ({"visits": "many"}, "features.visits", "Input should be a number"),
        ({"plan": 7}, "features.plan", "Input should be a string"),
        ({"plan": None}, "features.plan", "The model takes no null in the feature plan."),
        ({"visits": None}, "features.visits", "The model takes no null in the feature visits."),
        ({"plan": ["free"]}, "features.plan", "Input should be a valid number"),
        ({"plan": "x" * 257}, "features.plan", "String should have at most 256 characters"),
        ({"plan": "a\0b"}, "features.plan", "String should match pattern"),
        ({"visits": 1e39}, "features.visits", "Input should be less than or equal to"),
        ({"visits": True}, "features.visits", "Input should be a valid number"),
        ({"wings": 2}, "features.wings", "The model has no such feature."),
    ],
)
def test_values_that_do_not_fit_are_named(
    start: Start, exported: Callable[[str], Path], features: dict[str, Any], field: str, detail: str
) -> None:
    client = start(champion=exported("churn"))
    ordinary = {each.name: each.example for each in load_artifact(exported("churn")).metadata.features}
    answer = client.post("/predict", json={"user_id": "u", "features": ordinary | features})
    assert answer.status_code == 422
    (fault,) = answer.get_json()["errors"]
    assert fault["field"] == field
    assert fault["detail"].startswith(detail)


@pytest.mark.parametrize("plan", ["", "new in town", "\u2028", "\U0001d518" * 256, "\x01" * 256])
def test_strings_that_nobody_saw_are_answered_by_the_guest_too(
    start: Start, exported: Callable[[str], Path], plan: str
) -> None:
    client = start(flag(rollout(100)), champion=exported("churn"), challenger=exported("churn_by_number"))
    ordinary = {each.name: each.example for each in load_artifact(exported("churn")).metadata.features}
    answer = client.post("/predict", json={"user_id": "u", "features": ordinary | {"plan": plan}}).get_json()
    pipeline, rows = own_models.churn_by_number()
    one = rows.head(1).assign(**ordinary | {"plan": plan})
    assert answer["model"] == "challenger"
    assert answer["probability"] == pytest.approx(pipeline.predict_proba(one).max(), abs=1e-5)


def test_the_largest_row_of_strings_reaches_the_guest(start: Start, tmp_path: Path) -> None:
    most = LARGEST_ROW_BYTES // STRING_BYTES
    wide = own_models.wide(most)
    folder = export(wide[0], tmp_path / "wide", name="wide", version="1", rows=wide[1]).folder
    client = start(flag(rollout(100)), champion=folder, challenger=folder, max_body_bytes=2**20)
    answer = client.post("/predict", json={"user_id": "u", "features": ["\x01" * LONGEST_STRING] * most})
    assert answer.get_json()["model"] == "challenger"
    pipeline, rows = own_models.wide(most + 1)
    with pytest.raises(ArtifactError, match="too many together: a model with strings may have up to 129"):
        export(pipeline, tmp_path / "wider", name="wider", version="1", rows=rows)


def test_the_document_shows_the_model_that_is_served(start: Start, exported: Callable[[str], Path]) -> None:
    client = start(champion=exported("churn"))
    document = client.get("/openapi.json", follow_redirects=True).get_json()
    assert "radius" not in json.dumps(document)
    schema = document["components"]["schemas"]["PredictRequest"]
    (example,) = schema["examples"]
    assert set(example["features"]) == {"months as customer", "plan", "label", "vip", "visits"}
    assert client.post("/predict", json=example).status_code == 200


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("strict_encoder", [], "the pipeline fails at a string that the training data did not have"),
        ("unfitted", ["--features=a"], "Pipeline is not fitted"),
        ("no_probabilities", [], "LinearSVC gives no probabilities"),
        ("no_converter", [], "_Mine has no converter to ONNX: take another step"),
        ("gaps", [], "the pipeline fails at the rows that were brought: Input X contains NaN. Bring"),
        ("churn", ["--gaps=visits"], "the pipeline fails at a gap (null): Input X contains NaN. Let the"),
        ("churn", ["--gaps=wings"], "--gaps names 'wings', and there is no such feature"),
        ("churn", ["--gaps=plan"], "the feature 'plan' lacks a value in 0 of 200 rows, and strings cannot"),
        ("nameless", [], "the feature 'plan' lacks a value in 1 of 200 rows, and strings cannot"),
        ("empty", [], "the feature 'visits' has no value in any row"),
        ("endless", [], "the feature 'visits' is infinite in 200 of 200 rows"),
        ("dates", [], "the feature 'visits' must be all numbers or all strings, but it has "),
        ("no_rows", [], "there is not one row"),
        (
            "two_values",
            ["--features=a,b,c,d,e,f,g,h,i,j"],
            "answers 2 questions at once: name them by --outputs",
        ),
        ("two_questions", [IRIS], "answers 2 questions at once: name them by --outputs"),
        ("only_a_model", [], "must return (fitted pipeline, rows), not a Pipeline"),
        ("no_model", ["--features=a"], "a fitted scikit-learn pipeline or estimator is needed, not a str"),
        ("iris", [], "the features have no names"),
        ("iris", ["--features=a,b"], "2 features are named, but the rows have 4"),
        ("iris", ["--features=a,b,c,c"], "features: named twice: c"),
        ("iris", ["--features=a,b,c,"], "a feature's name is a text of 1 to 128 characters, not ''"),
        ("iris", [IRIS, "--classes=a,b"], "2 classes are named, but the model has 3: [0, 1, 2]"),
        ("iris", [IRIS, "--unit=EUR"], "unit and tolerance are for regressors"),
        ("diabetes", ["--classes=a,b"], "Pipeline is a regressor: it has no classes to name"),
        ("churn", ["--name=a b"], "name: String should match pattern"),
        ("churn", ["--parity-tolerance=1e-12"], "the model is not exported"),
        ("nothing", [], "has no function nothing"),
    ],
)
def test_what_cannot_be_served_is_refused_with_one_sentence(
    tmp_path: Path, name: str, options: list[str], sentence: str
) -> None:
    result = run(name, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 800
    assert not (tmp_path / "out" / "model.json").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("train", "train: write module:function or path/to/file.py:function"),
        ("nowhere.py:model", "nowhere.py: there is no such file"),
        ("no.such.module:model", "no.such.module: there is no such module; is its folder on PYTHONPATH?"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, source: str, sentence: str) -> None:
    result = CliRunner().invoke(main, [source, "--name=a", "--version=1", f"--out={tmp_path / 'out'}"])
    assert (result.exit_code, result.stderr) == (2, f"error: {sentence}\n")


def test_what_the_engineers_function_raises_keeps_its_traceback(tmp_path: Path) -> None:
    result = run("raises", tmp_path / "out")
    assert isinstance(result.exception, RuntimeError)


def test_a_module_can_be_named_too(tmp_path: Path) -> None:
    source = "tests.unit.service.own_models:wine"
    result = CliRunner().invoke(main, [source, "--name=wine", "--version=1", f"--out={tmp_path / 'out'}"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("wine 1: 13 features, 3 classes; differs from the model by ")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    result = run("wine", tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "cannot be written: Not a directory" in result.stderr


@pytest.mark.parametrize(
    ("champion", "challenger", "sentence"),
    [
        ("iris", "wine", "the challenger's classes are barbera=barbera"),
        ("iris", "diabetes", "the challenger is a regression in points, the champion in .* a classification"),
    ],
)
def test_two_models_that_do_not_go_together_are_refused(
    exported: Callable[[str], Path], champion: str, challenger: str, sentence: str
) -> None:
    with pytest.raises(ArtifactError, match=sentence):
        require_same_interface(load_artifact(exported(champion)), load_artifact(exported(challenger)))


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [(100.0, 104.9, True), (100.0, 105.1, False), (-100.0, -95.1, True), (0.0, 0.1, False)],
)
def test_values_agree_within_the_tolerance(
    exported: Callable[[str], Path], ours: float, theirs: float, same: bool
) -> None:
    metadata = load_artifact(exported("diabetes")).metadata
    found = compare(np.array([theirs], dtype=np.float32), [Answer(ours)], metadata)
    assert found.agree.tolist() == [same]


def test_classes_agree_when_they_are_the_same(exported: Callable[[str], Path]) -> None:
    metadata = load_artifact(exported("churn")).metadata
    assert [each.name for each in metadata.classes] == ["leaves", "stays"]
    stays = Answer("stays", "stays", 0.9)
    found = compare(np.array([1, 0.4, 0.6, 0, 0.9, 0.1], dtype=np.float32), [stays, stays], metadata)
    assert found.agree.tolist() == [True, False]


def test_a_row_without_a_finite_answer_is_the_clients_trouble(
    start: Start, exported: Callable[[str], Path]
) -> None:
    client = start(champion=exported("squares"))
    for row, status in (([0.1] * 10, 200), ([1e30] * 10, 422)):
        response = client.post("/predict", json={"user_id": "u", "features": row})
        assert response.status_code == status
    assert "no finite answer" in response.get_json()["detail"]
    assert sample(client, Metric.ERRORS, model="champion", reason="invalid") == 1

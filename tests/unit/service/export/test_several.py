"""Models of several outputs: each is the original's, or nothing is exported."""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier

from service.export import export, export_ready
from service.models.artifact import ArtifactError, load_artifact
from service.models.onnx_model import OnnxModel
from tests.unit.service.several import (
    CLASSIFIERS,
    NUMBERS,
    REGRESSORS,
    ROWS,
    VALUES,
    WORDS,
    X,
    mixed,
    write_mixed,
)

NAMED: dict[str, Any] = {"name": "m", "version": "1", "rows": ROWS, "outputs": ["one", "two"]}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classes_of_each_output_are_the_originals(tmp_path: Path, name: str) -> None:
    model, labels = CLASSIFIERS[name]
    fitted = model.fit(ROWS, labels)
    made = export(fitted, tmp_path, **NAMED, primary="two")
    assert made.metadata.output_names == ["two", "one"]
    assert [len(each.classes) for each in made.metadata.questions] == [3, 2]
    tables = fitted.predict_proba(ROWS)
    chosen = fitted.predict(ROWS)
    for at, answer in enumerate(OnnxModel(made).answers(X)):
        two, (one,) = answer, answer.more
        assert (str(one.label), str(two.label)) == tuple(map(str, chosen[at]))
        assert one.probabilities == pytest.approx(tables[0][at].tolist(), abs=1e-5)
        assert two.probabilities == pytest.approx(tables[1][at].tolist(), abs=1e-5)


@pytest.mark.parametrize("name", REGRESSORS)
def test_values_of_each_output_are_the_originals(tmp_path: Path, name: str) -> None:
    model, values = REGRESSORS[name]
    fitted = model.fit(ROWS, values)
    made = export(fitted, tmp_path, **NAMED, unit="EUR,")
    said = OnnxModel(made).answers(X)
    found = np.array([[each.label, each.more[0].label] for each in said], dtype=np.float64)
    assert found == pytest.approx(fitted.predict(ROWS), rel=1e-4, abs=1e-4)
    assert [each.unit for each in made.metadata.questions] == ["EUR", None]


def test_a_ready_file_with_several_outputs_in_other_forms(tmp_path: Path) -> None:
    artifact = load_artifact(mixed(tmp_path / "mixed"))
    expected = write_mixed(tmp_path / "again.onnx")
    assert artifact.metadata.output_names == ["leaves", "price", "days"]
    for at, answer in enumerate(OnnxModel(artifact).answers(X)):
        price, days = answer.more
        assert (price.label, days.label) == pytest.approx(
            (expected["price"][at], expected["days"][at]), abs=1e-4
        )
        assert answer.probabilities == pytest.approx(
            [expected["leaves.no"][at], expected["leaves.yes"][at]], abs=1e-5
        )


def test_the_gate_looks_at_every_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, labels = CLASSIFIERS["forest"]
    fitted = model.fit(ROWS, labels)
    right = fitted.predict_proba

    def wrong(rows: Any) -> list[Any]:
        one, two = right(rows)
        return [one, two[:, ::-1]]

    monkeypatch.setattr(fitted, "predict_proba", wrong)
    with pytest.raises(ArtifactError, match=r"row \d+: the model itself says \d with .* of two, ONNX says"):
        export(fitted, tmp_path, **NAMED)
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize(
    ("model", "target", "changes", "told"),
    [
        (CLASSIFIERS["forest"][0], NUMBERS, {"outputs": None}, "2 questions at once: name them by --outputs"),
        (LinearRegression(), VALUES, {"outputs": None}, "2 questions at once: name them by --outputs"),
        (LinearRegression(), VALUES, {"outputs": ["a"]}, "names 1, and the model has 2 outputs"),
        (LinearRegression(), VALUES[:, 0], {}, "are of a model of several outputs, and this has one"),
        (LinearRegression(), VALUES, {"primary": "x"}, "--primary x is none of the outputs one, two"),
        (LinearRegression(), VALUES, {"unit": "EUR"}, "names 1 units for 2 outputs"),
        (LinearRegression(), VALUES, {"outputs": ["a", "model"]}, "cannot be called model"),
        (LinearRegression(), VALUES, {"outputs": ["a", "a"]}, "two outputs have the same name"),
        (CLASSIFIERS["forest"][0], NUMBERS, {"threshold": 0.5}, "of a model of one output"),
        (KNeighborsClassifier(), NUMBERS, {}, "wrap what it does for one in MultiOutputClassifier"),
        (
            TransformedTargetRegressor(LinearRegression(), func=np.negative, inverse_func=np.negative),
            VALUES,
            {},
            "is around all outputs at once",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    tmp_path: Path, model: Any, target: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ArtifactError, match=told):
        export(model.fit(ROWS, target), tmp_path, **NAMED | changes)


def test_expected_answers_of_a_ready_file_must_have_each_output(tmp_path: Path) -> None:
    expected = write_mixed(tmp_path / "m.onnx")
    common: dict[str, Any] = {"name": "m", "version": "1", "rows": ROWS}
    with pytest.raises(ArtifactError, match=r"the output costs either a column costs"):
        export_ready(
            tmp_path / "m.onnx", tmp_path / "out", **common, expected=expected, outputs=["leaves", "costs"]
        )
    expected["price"] = 100 + np.arange(len(expected))
    with pytest.raises(ArtifactError, match=r"m\.onnx: the output price: no output is what was expected"):
        export_ready(
            tmp_path / "m.onnx", tmp_path / "out", **common, expected=expected, outputs=["leaves", "price"]
        )


def test_labels_of_numbers_and_words_stay_what_they_are(tmp_path: Path) -> None:
    labels = np.empty(WORDS.shape, dtype=object)
    labels[:, 0], labels[:, 1] = NUMBERS[:, 0], WORDS[:, 1]
    fitted = MultiOutputClassifier(LogisticRegression())
    fitted.estimators_ = [
        LogisticRegression().fit(ROWS, NUMBERS[:, 0]),
        LogisticRegression().fit(ROWS, WORDS[:, 1]),
    ]
    fitted.classes_ = [each.classes_ for each in fitted.estimators_]
    answer = OnnxModel(export(fitted, tmp_path, **NAMED)).answer(X[:1])
    assert isinstance(answer.label, int)
    assert answer.more[0].label in {"s", "m", "l"}

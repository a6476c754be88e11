"""A model's own choice of a class is what is served, also where that class is not the most probable one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from service.challenger.faults import FaultyModel
from service.export import export
from service.export.parity import ask_estimator, check_parity
from service.export.rows import read_table
from service.models.artifact import ArtifactError
from service.models.onnx_model import OnnxModel, array_of
from tests.thorough import THOROUGH

ROWS, RARE = make_classification(
    800, 4, n_informative=2, n_redundant=0, weights=[0.9], class_sep=0.6, random_state=1
)
THREE, OF_THREE = make_classification(
    400, 4, n_informative=4, n_redundant=0, n_classes=3, class_sep=0.6, random_state=1
)
SPOKEN = np.where(RARE, "fraud", "fine")
NAMES = ["a", "b", "c", "d"]
LOGISTIC, FOREST = LogisticRegression(), RandomForestClassifier(20, max_depth=3, random_state=0)
AT_RANDOM = np.random.default_rng(0).choice(["web", "shop"], len(ROWS))


def tuned(classifier: Any) -> TunedThresholdClassifierCV:
    return TunedThresholdClassifierCV(classifier, scoring="balanced_accuracy", cv=3)


def fixed(classifier: Any, **more: Any) -> FixedThresholdClassifier:
    return FixedThresholdClassifier(classifier, **more)


def by_name() -> Any:
    columns = ColumnTransformer(
        [("n", StandardScaler(), NAMES), ("s", OneHotEncoder(handle_unknown="ignore"), ["e"])]
    )
    return make_pipeline(columns, LOGISTIC)


MIXED = pd.DataFrame(ROWS.astype(np.float32), columns=NAMES).assign(e=AT_RANDOM)
CASES: dict[str, tuple[Any, Any, Any]] = {
    "tuned": (tuned(LOGISTIC), ROWS, RARE),
    "tuned, classes that are strings": (tuned(LOGISTIC), ROWS, SPOKEN),
    "tuned, true and false": (tuned(LOGISTIC), ROWS, RARE == 1),
    "tuned, last step of a pipeline": (make_pipeline(StandardScaler(), tuned(LOGISTIC)), ROWS, RARE),
    "tuned, around a pipeline": (tuned(make_pipeline(StandardScaler(), LOGISTIC)), ROWS, SPOKEN),
    "tuned, best of a search": (GridSearchCV(tuned(LOGISTIC), {"estimator__C": [0.1, 1]}, cv=2), ROWS, RARE),
    "tuned, around a search": (tuned(GridSearchCV(LOGISTIC, {"C": [0.1, 1]}, cv=2)), ROWS, RARE),
    "tuned, trees": (tuned(FOREST), ROWS, RARE),
    "fixed": (fixed(LOGISTIC, threshold=0.1), ROWS, SPOKEN),
    "fixed, the other class": (fixed(LOGISTIC, threshold=0.95, pos_label="fine"), ROWS, SPOKEN),
    "fixed, around a fixed one": (fixed(fixed(LOGISTIC, threshold=0.9), threshold=0.1), ROWS, RARE),
    "fixed, around one that is fitted": (
        fixed(FrozenEstimator(LogisticRegression().fit(ROWS, RARE)), threshold=0.1),
        ROWS,
        RARE,
    ),
    "calibrated, tuned": (tuned(CalibratedClassifierCV(LOGISTIC, cv=2)), ROWS, RARE),
    "support vectors": (SVC(probability=True, random_state=0), THREE, OF_THREE),
}
SAME: dict[str, tuple[Any, Any, Any]] = {  # as the most probable class
    "calibrated": (CalibratedClassifierCV(LOGISTIC, cv=2), THREE, OF_THREE),
    "fixed at a half": (fixed(LOGISTIC), ROWS, RARE),
    "ties": (RandomForestClassifier(2, max_depth=4, random_state=0), THREE, OF_THREE),
}


def brought(case: str) -> tuple[Any, Any]:
    """The fitted classifier and its rows."""
    classifier, rows, labels = (CASES | SAME)[case]
    rows = rows.astype(np.float32)
    return classifier.fit(rows, labels), rows


def exported(classifier: Any, rows: Any, folder: Path) -> OnnxModel:
    names = None if isinstance(rows, pd.DataFrame) else NAMES
    return OnnxModel(export(classifier, folder, name="m", version="1", rows=rows, features=names))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # SVC is to lose its probabilities
@pytest.mark.parametrize("case", [*CASES, *SAME])
def test_the_class_that_predict_says_is_served(case: str, tmp_path: Path) -> None:
    classifier, rows = brought(case)
    model = exported(classifier, rows, tmp_path)
    said = classifier.predict(rows)
    probable = classifier.classes_[classifier.predict_proba(rows).argmax(axis=1)]
    assert (said != probable).any() == (case in CASES)
    answers = [model.answer(array_of([row.tolist()], model.metadata)) for row in rows]
    assert [each.label for each in answers] == said.tolist()
    index = [classifier.classes_.tolist().index(each) for each in said]
    of_that_class = classifier.predict_proba(rows)[np.arange(len(rows)), index]
    assert [each.probability for each in answers] == pytest.approx(of_that_class, abs=1e-5)


def test_strings_among_the_features_do_not_matter(tmp_path: Path) -> None:
    classifier = tuned(by_name()).fit(MIXED, SPOKEN)
    model = exported(classifier, MIXED, tmp_path)
    values = read_table(MIXED).values
    answers = [model.answer(array_of([row], model.metadata)).label for row in values]
    assert answers == classifier.predict(MIXED).tolist()


def test_probabilities_that_are_just_the_threshold_reach_it(tmp_path: Path) -> None:
    """Three of 20 trees are 0.15, and in 32 bits they may be a little less."""
    rows = ROWS.astype(np.float32)
    pure = RandomForestClassifier(20, random_state=0, min_samples_leaf=1).fit(rows, RARE)
    for trees in range(1, 20) if THOROUGH else (3, 7, 13, 19):
        classifier = fixed(FrozenEstimator(pure), threshold=trees / 20).fit(rows, RARE)
        model = exported(classifier, rows, tmp_path / str(trees))
        found = model.numbers(rows)[:, 0].tolist()
        assert found == classifier.predict(rows).tolist()


@pytest.mark.parametrize(
    ("classifier", "labels"),
    [(LOGISTIC, SPOKEN), (FOREST, RARE), (make_pipeline(StandardScaler(), LOGISTIC), RARE)],
)
def test_any_classifier_of_two_classes_may_be_given_one(tmp_path: Path, classifier: Any, labels: Any) -> None:
    rows = ROWS.astype(np.float32)
    fitted = classifier.fit(rows, labels)
    made = export(fitted, tmp_path, name="m", version="1", rows=rows, features=NAMES, threshold=0.2)
    model = OnnxModel(made)
    chosen = fitted.classes_[(fitted.predict_proba(rows)[:, 1] >= 0.2).astype(int)]
    assert (chosen != fitted.predict(rows)).any(), "it matters on these rows"
    said = [model.answer(array_of([row.tolist()], model.metadata)).label for row in rows]
    assert said == chosen.tolist()


@pytest.mark.parametrize(
    ("classifier", "rows", "labels", "told"),
    [
        (fixed(LOGISTIC, threshold=0.3), ROWS, RARE, "FixedThresholdClassifier has a threshold of its own"),
        (LOGISTIC, THREE, OF_THREE, "of a classifier of two classes"),
        (Ridge(), ROWS, RARE, "of a classifier of two classes"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused(
    tmp_path: Path, classifier: Any, rows: Any, labels: Any, told: str
) -> None:
    fitted = classifier.fit(rows, labels)
    with pytest.raises(ArtifactError, match=told):
        export(fitted, tmp_path, name="m", version="1", rows=rows, features=NAMES, threshold=0.2)


def test_a_threshold_on_something_else_than_a_probability_is_refused(tmp_path: Path) -> None:
    classifier = fixed(LOGISTIC, threshold=-1.0, response_method="decision_function").fit(ROWS, RARE)
    with pytest.raises(ArtifactError, match="fit it with response_method='predict_proba'"):
        exported(classifier, ROWS, tmp_path)


def test_the_gate_compares_the_class_and_not_only_probabilities(tmp_path: Path) -> None:
    rows = ROWS.astype(np.float32)
    classifier = fixed(LOGISTIC, threshold=0.1).fit(rows, SPOKEN)
    without = exported(classifier.estimator_, rows, tmp_path)
    with pytest.raises(
        ArtifactError, match=r"the model itself says fraud with 0\.\d+, ONNX says fine with 0\.\d+"
    ):
        check_parity(ask_estimator(classifier, without.metadata), without, read_table(rows, NAMES))


def test_the_gate_compares_the_probability_of_every_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, rows = brought("ties")
    model = exported(classifier, rows, tmp_path)
    numbers: Callable[[Any], Any] = model.numbers

    def wrong(row: Any) -> Any:
        said = numbers(row)
        least = 1 + said[0, 1:].argmin()
        said[0, least] += 0.001
        return said

    monkeypatch.setattr(model, "numbers", wrong)
    with pytest.raises(ArtifactError, match="the model is not exported"):
        check_parity(ask_estimator(classifier, model.metadata), model, read_table(rows, NAMES))


def test_the_fault_of_another_class_is_another_class_whatever_is_probable(tmp_path: Path) -> None:
    faulty = FaultyModel(lambda rows: rows.astype(np.float32), tmp_path / "no-drill", {"kind": "class"})
    said = np.array([[1, 0.9, 0.1], [0, 0.9, 0.1]], dtype=np.float32)
    assert faulty(said)[:, 0].tolist() == [0, 1]
    said = np.array([[2, 0.5, 0.3, 0.2], [0, 0.5, 0.3, 0.2]], dtype=np.float32)
    turned = faulty(said)
    assert turned[:, 0].tolist() == [1, 2]
    assert turned[:, 1:].sum(axis=1).tolist() == pytest.approx([1, 1])

"""Models of the usual kinds: exported right, or refused with the first cause in a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler

from service.export import convert, export, pipeline
from service.export.rows import read_table
from service.models.artifact import ArtifactError

TABLE, LABELS = make_classification(300, 5, n_informative=3, random_state=0)
FRAME = pd.DataFrame(TABLE, columns=list("abcde"))
GAPS = FRAME.mask(np.random.default_rng(0).random(FRAME.shape) < 0.1)
VALUES = np.abs(TABLE @ np.arange(5)) + 1
TEXTS = pd.DataFrame({"text": ["Gut, sehr gut", "schlecht und teuer", "GRÖSSE passt", "nie wieder bad"] * 30})
LOGISTIC, FOREST = LogisticRegression(), RandomForestClassifier(10, random_state=0)
PRICE: dict[str, Any] = {"func": np.log1p, "inverse_func": np.expm1}

GOOD: dict[str, Callable[[], tuple[Any, Any]]] = {
    "boosting": lambda: (HistGradientBoostingClassifier(max_iter=20).fit(FRAME, LABELS), FRAME),
    "boosting with gaps": lambda: (HistGradientBoostingRegressor(max_iter=20).fit(GAPS, VALUES), GAPS),
    "a target's logarithm": lambda: (TransformedTargetRegressor(Ridge(), **PRICE).fit(FRAME, VALUES), FRAME),
    "a target's scale, in a pipeline": lambda: (
        make_pipeline(
            StandardScaler(), TransformedTargetRegressor(Ridge(), transformer=StandardScaler())
        ).fit(FRAME, VALUES),
        FRAME,
    ),
    "calibrated": lambda: (CalibratedClassifierCV(FOREST, cv=2).fit(FRAME, LABELS), FRAME),
    "voting": lambda: (
        VotingClassifier([("a", LOGISTIC), ("b", FOREST)], voting="soft").fit(FRAME, LABELS),
        FRAME,
    ),
    "stacking": lambda: (
        StackingClassifier([("a", LOGISTIC), ("b", FOREST)], cv=2).fit(FRAME, LABELS),
        FRAME,
    ),
    "text": lambda: (
        make_pipeline(ColumnTransformer([("t", TfidfVectorizer(), "text")]), LOGISTIC).fit(
            TEXTS, [1, 0, 1, 0] * 30
        ),
        TEXTS,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_it_is_exported(tmp_path: Path, name: str) -> None:
    model, rows = GOOD[name]()
    artifact = export(model, tmp_path, name="m", version="1", rows=rows)
    assert artifact.metadata.parity["rows"] > len(rows)
    assert {each.name for each in artifact.metadata.features if each.gaps} == (
        set(GAPS.columns) if "gaps" in name else set()
    )


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "isotonic": (lambda: CalibratedClassifierCV(FOREST, method="isotonic", cv=2), "Take method='sigmoid'"),
    "categories": (
        lambda: HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]),
        "HistGradientBoostingClassifier with categorical_features has no right conversion to ONNX: encode",
    ),
    "no inverse": (
        lambda: TransformedTargetRegressor(Ridge(), transformer=PowerTransformer()),
        "TransformedTargetRegressor undoes its transformation by something that has no form in ONNX",
    ),
    "gaps": (lambda: HistGradientBoostingRegressor(max_iter=5), "--gaps names 'z'"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_first_cause_is_told(tmp_path: Path, name: str) -> None:
    make, sentence = BAD[name]
    rows = FRAME.assign(a=(FRAME["a"] * 2).round().clip(0, 5))
    model = make().fit(rows, VALUES if "Regressor" in type(make()).__name__ else LABELS)
    with pytest.raises(ArtifactError, match=r".+") as raised:
        export(model, tmp_path, name="m", version="1", rows=rows, gaps=["z"] if name == "gaps" else ())
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [HistGradientBoostingClassifier, RandomForestClassifier])
def test_a_conversion_that_is_wrong_on_splits_alone_is_caught(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make: Any
) -> None:
    """Less in place of less or equal: right on rows that lie on no split."""
    model = make(random_state=0).fit(FRAME, LABELS)
    rows = FRAME + 1e-4  # on no split
    right = export(model, tmp_path / "right", name="m", version="1", rows=rows)
    assert right.metadata.parity["rows"] > 1000

    def wrong(*args: Any) -> bytes:
        made = onnx.load_model_from_string(convert.convert(*args))
        for node in made.graph.node:
            for each in node.attribute:
                if each.name == "nodes_modes":
                    each.strings[:] = [
                        b"BRANCH_LT" if mode == b"BRANCH_LEQ" else mode for mode in each.strings
                    ]
        return bytes(made.SerializeToString())

    monkeypatch.setattr(pipeline, "convert", wrong)
    with pytest.raises(ArtifactError, match=r"with a value on a split of a tree .*the model is not exported"):
        export(model, tmp_path / "wrong", name="m", version="1", rows=rows)


def test_the_operators_version_can_be_chosen() -> None:
    table = read_table(FRAME)
    model = LOGISTIC.fit(FRAME, LABELS)
    for wanted, expected in ((None, convert.TARGET_OPSET), (13, 13)):
        made = onnx.load_model_from_string(convert.convert(model, table, [0, 1], wanted))
        assert {each.version for each in made.opset_import if each.domain == ""} <= {expected, 1}
        assert max(each.version for each in made.opset_import if each.domain == "") <= expected

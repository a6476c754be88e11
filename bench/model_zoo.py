"""The models of `python -m bench.models`: what teams have, each with rows that it was not trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris, make_classification, make_regression
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROWS = 3000
NAMES = [f"x{at}" for at in range(8)]


class Brought(NamedTuple):
    """A fitted model with rows for the gate and others to ask about.

    Attributes:
        is_ready: whether it comes as an ONNX file that was made elsewhere.
    """

    model: Any
    held_out: pd.DataFrame
    unseen: pd.DataFrame
    is_ready: bool = False

    def answers(self, rows: pd.DataFrame) -> list[tuple[Any, float]]:
        """The label and its probability, or None and the value, as the model in Python says."""
        said = np.asarray(self.model.predict(rows)).ravel()
        if not hasattr(self.model, "classes_"):
            return [(None, float(value)) for value in said]
        places = {label: at for at, label in enumerate(np.asarray(self.model.classes_).tolist())}
        table = self.model.predict_proba(rows)
        return [(label, float(table[at, places[label]])) for at, label in enumerate(said.tolist())]


def _split(model: Any, rows: pd.DataFrame, target: Any, *, is_ready: bool = False) -> Brought:
    third = len(rows) // 3
    fitted = model.fit(rows[:third], target[:third])
    return Brought(fitted, rows[third : 2 * third], rows[2 * third :], is_ready)


def _fraud(gaps: bool = False, rare: float = 0.016) -> tuple[pd.DataFrame, Any]:
    rows, labels = make_classification(
        ROWS, len(NAMES), n_informative=5, weights=[1 - rare], random_state=1, flip_y=0.01
    )
    frame = pd.DataFrame(rows, columns=NAMES)
    if gaps:
        random = np.random.default_rng(0)
        for name in NAMES[::2]:
            frame.loc[random.random(ROWS) < 0.1, name] = np.nan
    return frame, labels


def _prices(gaps: bool = False) -> tuple[pd.DataFrame, Any]:
    rows, values = make_regression(ROWS, len(NAMES), n_informative=5, noise=5, random_state=2)
    frame = pd.DataFrame(rows, columns=NAMES)
    if gaps:
        frame.loc[::7, "x1"] = np.nan
    return frame, np.exp(values / 200) * 100


def _customers() -> tuple[pd.DataFrame, Any]:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "months": random.integers(0, 60, ROWS).astype(float),
            "income": random.lognormal(10, 1, ROWS),
            "plan": random.choice(["free", "plus", "größer"], ROWS),
        }
    )
    leaves = (frame["plan"] == "free") & (frame["months"] + random.normal(0, 9, ROWS) < 20)
    frame.loc[random.random(ROWS) < 0.1, "income"] = np.nan
    return frame, np.where(leaves, "leaves", "stays")


def _imputed() -> Brought:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    strings = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("n", numbers, ["months", "income"]), ("s", strings, ["plan"])])
    return _split(make_pipeline(columns, LogisticRegression()), *_customers())


def _text() -> Brought:
    random = np.random.default_rng(4)
    good, bad = (
        ["great", "love it", "Sehr schön", "would buy again"],
        ["awful", "Größe falsch", "never again"],
    )
    is_good = random.random(ROWS) < 0.5
    said = [
        f"{random.choice(good if each else bad)} {random.choice(['price', 'box'])} {random.integers(99)}"
        for each in is_good
    ]
    columns = ColumnTransformer([("text", TfidfVectorizer(), "review")])
    return _split(
        make_pipeline(columns, LogisticRegression()),
        pd.DataFrame({"review": said}),
        np.where(is_good, "good", "bad"),
    )


def _flowers(model: Any) -> Brought:
    data = load_iris(as_frame=True)
    order = np.random.default_rng(5).permutation(len(data.data))
    words = np.array(["setosa", "versicolor", "virginica"])[data.target][order]
    return _split(model, data.data.iloc[order].reset_index(drop=True), words)


def _xgboost() -> Brought:
    from xgboost import XGBClassifier  # noqa: PLC0415 - only `make bench-models` has it

    return _split(XGBClassifier(n_estimators=100, max_depth=4), *_fraud(gaps=True, rare=0.1))


def _xgboost_regressor() -> Brought:
    from xgboost import XGBRegressor  # noqa: PLC0415

    return _split(XGBRegressor(n_estimators=100, max_depth=4), *_prices())


def _lightgbm() -> Brought:
    from lightgbm import LGBMClassifier  # noqa: PLC0415

    return _flowers(LGBMClassifier(n_estimators=50, min_child_samples=5, verbose=-1))


def _catboost() -> Brought:
    from catboost import CatBoostClassifier  # noqa: PLC0415

    model = CatBoostClassifier(iterations=100, depth=4, verbose=False, allow_writing_files=False)
    return _split(model, *_fraud(gaps=True, rare=0.1))


def _network() -> Brought:
    return _split(MLPClassifier((16,), max_iter=300, random_state=0), *_fraud(rare=0.3), is_ready=True)


FOREST = RandomForestClassifier(50, max_depth=6, random_state=0)
ZOO: dict[str, Callable[[], Brought]] = {
    "HistGradientBoosting, gaps, 1.6% fraud": lambda: _split(
        HistGradientBoostingClassifier(), *_fraud(gaps=True)
    ),
    "HistGradientBoosting regressor, gaps": lambda: _split(
        HistGradientBoostingRegressor(), *_prices(gaps=True)
    ),
    "TransformedTargetRegressor, log1p": lambda: _split(
        TransformedTargetRegressor(
            make_pipeline(StandardScaler(), Ridge()), func=np.log1p, inverse_func=np.expm1
        ),
        *_prices(),
    ),
    "CalibratedClassifierCV, forest": lambda: _split(CalibratedClassifierCV(FOREST), *_fraud(rare=0.1)),
    "VotingClassifier, soft": lambda: _split(
        VotingClassifier([("a", LogisticRegression()), ("b", FOREST)], voting="soft"), *_fraud(rare=0.1)
    ),
    "StackingClassifier": lambda: _split(
        StackingClassifier([("a", LogisticRegression()), ("b", FOREST)]), *_fraud(rare=0.1)
    ),
    "TunedThresholdClassifierCV, 1.6% fraud": lambda: _split(
        TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy"), *_fraud()
    ),
    "TfidfVectorizer, defaults": _text,
    "SimpleImputer and OneHotEncoder, gaps": _imputed,
    "XGBoost, gaps": _xgboost,
    "XGBoost regressor": _xgboost_regressor,
    "LightGBM, three classes of strings": _lightgbm,
    "CatBoost's own ONNX, gaps": _catboost,
    "ONNX file of a network, logit, 64 bits": _network,
}


def as_onnx(brought: Brought, folder: Path) -> tuple[Path, pd.DataFrame]:
    """A network as other frameworks write it, with one logit in 64 bits; and what it must answer."""
    model = brought.model
    nodes, tensors, at = [], [], "input"
    for layer, (weights, offsets) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        tensors += [
            numpy_helper.from_array(weights, f"w{layer}"),
            numpy_helper.from_array(offsets, f"b{layer}"),
        ]
        nodes.append(helper.make_node("Gemm", [at, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
        at = f"h{layer}"
        if layer < len(model.coefs_) - 1:
            nodes.append(helper.make_node("Max", [at, "zero"], [f"r{layer}"]))
            at = f"r{layer}"
    tensors.append(numpy_helper.from_array(np.zeros(1), "zero"))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("input", TensorProto.DOUBLE, ["n", len(NAMES)])],
        [helper.make_tensor_value_info(at, TensorProto.DOUBLE, ["n", 1])],
        tensors,
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "network.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file, pd.DataFrame(model.predict_proba(brought.held_out), columns=["0", "1"])

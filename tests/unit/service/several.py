"""Models of several outputs."""

# mypy: disable-error-code="no-untyped-call"

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from service.export import export, export_ready

_random = np.random.default_rng(0)
ROWS = pd.DataFrame(_random.normal(size=(120, 4)).astype(np.float32), columns=list("abcd"))
X = ROWS.to_numpy()
NUMBERS = np.stack([(X[:, 0] > 0).astype(int), np.digitize(X[:, 1], [-0.5, 0.5])], axis=1)
WORDS = np.stack([np.array(["no", "yes"])[NUMBERS[:, 0]], np.array(list("sml"))[NUMBERS[:, 1]]], axis=1)
VALUES = np.stack([X @ [1, 2, 3, 4], 10 + X @ [4, 0, 1, -2]], axis=1)

CLASSIFIERS: dict[str, tuple[Any, Any]] = {
    "each": (make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())), NUMBERS),
    "each in words": (MultiOutputClassifier(RandomForestClassifier(5, random_state=0)), WORDS),
    "forest": (RandomForestClassifier(10, random_state=0), NUMBERS),
    "forest in words": (RandomForestClassifier(10, random_state=0), WORDS),
    "tree": (DecisionTreeClassifier(random_state=0), NUMBERS),
}
REGRESSORS: dict[str, tuple[Any, Any]] = {
    "each": (MultiOutputRegressor(LinearRegression()), VALUES),
    "forest": (RandomForestRegressor(10, random_state=0), VALUES),
    "linear": (make_pipeline(StandardScaler(), LinearRegression()), VALUES),
    "network": (MLPRegressor(hidden_layer_sizes=(5,), max_iter=2000, tol=0.1, random_state=0), VALUES),
}
LEAVES = ("no", "yes")


def sizes(folder: Path, name: str = "sizes", **options: Any) -> Path:
    """A classifier of `buys` (no, yes) and `size` (s, m, l); the folder of its artifact."""
    fitted = RandomForestClassifier(**{"n_estimators": 10, "random_state": 0} | options).fit(ROWS, WORDS)
    return export(
        fitted, folder, name=name, version="1", rows=ROWS, outputs=["buys", "size"], primary="size"
    ).folder


def write_mixed(file: Path, slope: float = 2.0) -> pd.DataFrame:
    """An ONNX file with `leaves` as logits, and `price` and `days` in one tensor; what it answers to ROWS."""
    weights = np.array([[1, -1], [0.5, 0], [0, 0.5], [0, 0]], dtype=np.float32)
    prices = np.array([[slope, 1], [0, 3], [0, 0], [1, 0]], dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("MatMul", ["x", "v"], ["values"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in ("values", "logits")],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(prices, "v")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save_model(model, str(file))
    powers = np.exp(X @ weights)
    sure = powers / powers.sum(axis=1, keepdims=True)
    price, days = (X @ prices).T
    return pd.DataFrame({"leaves.no": sure[:, 0], "leaves.yes": sure[:, 1], "price": price, "days": days})


def mixed(folder: Path, slope: float = 2.0) -> Path:
    """The artifact of `write_mixed`: the class `leaves`, then two values."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.parent / "mixed.onnx"
    expected = write_mixed(file, slope)
    outputs = ["leaves", "price", "days"]
    return export_ready(
        file,
        folder,
        name="mixed",
        version=str(slope),
        rows=ROWS,
        expected=expected,
        outputs=outputs,
        unit=",EUR,d",
        parity_tolerance=1e-4,
    ).folder

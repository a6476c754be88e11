"""A ready ONNX file, whatever its inputs and outputs are, is served as it was expected to answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import skl2onnx
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from onnx import TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.linear_model import LogisticRegression, Ridge

from service.export.__main__ import main
from service.export.rows import read_table
from service.models.artifact import load_artifact
from tests.unit.service import own_models

to_onnx: Any = skl2onnx.to_onnx  # whose types are narrower than what it takes
Ready = tuple[Any, pd.DataFrame, pd.DataFrame]  # the model, rows, what is expected of them

IRIS = load_iris(as_frame=True)
WORDS = np.array(["setosa", "versicolor", "virginica"])[IRIS.target]
FLOWERS = IRIS.data.astype(np.float32).astype(np.float64)
TWO, OF_TWO = make_classification(300, 4, random_state=0)
TWO = pd.DataFrame(TWO.astype(np.float32).astype(np.float64), columns=["a", "b", "c", "d"])


def linear(weights: Any, offsets: Any, *more: str, kind: int = TensorProto.FLOAT, rows: Any = "n") -> Any:
    """A graph of one layer, as PyTorch and others write it."""
    number = helper.tensor_dtype_to_np_dtype(kind)
    weights, offsets = np.asarray(weights, dtype=number), np.asarray(offsets, dtype=number)
    nodes = [helper.make_node("Gemm", ["input", "w", "b"], ["t0"])]
    nodes += [helper.make_node(op, [f"t{at}"], [f"t{at + 1}"]) for at, op in enumerate(more)]
    last = f"t{len(more)}"
    columns = [rows, weights.shape[1]] if "Squeeze" not in more else [rows]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", kind, [rows, weights.shape[0]])],
        [helper.make_tensor_value_info(last, kind, columns)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(offsets, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def probabilities(fitted: Any, rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(fitted.predict_proba(rows), columns=[str(label) for label in fitted.classes_])


def packed_with_labels() -> Ready:
    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, WORDS)
    return (
        to_onnx(fitted, initial_types=[("X", FloatTensorType([None, 4]))]),
        FLOWERS,
        probabilities(fitted, FLOWERS),
    )


def of_64_bits() -> Ready:
    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, IRIS.target)
    model = to_onnx(
        fitted, initial_types=[("X", DoubleTensorType([None, 4]))], options={id(fitted): {"zipmap": False}}
    )
    return model, FLOWERS, probabilities(fitted, FLOWERS)


def logits() -> Ready:
    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, WORDS)
    return linear(fitted.coef_.T, fitted.intercept_), FLOWERS, probabilities(fitted, FLOWERS)


def softmax() -> Ready:
    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, WORDS)
    return linear(fitted.coef_.T, fitted.intercept_, "Softmax"), FLOWERS, probabilities(fitted, FLOWERS)


def sigmoid_of_one_column() -> Ready:
    fitted = LogisticRegression().fit(TWO, OF_TWO)
    model = linear(fitted.coef_.T, fitted.intercept_, "Sigmoid", kind=TensorProto.DOUBLE)
    return model, TWO, probabilities(fitted, TWO)


def one_logit() -> Ready:
    fitted = LogisticRegression().fit(TWO, OF_TWO)
    second = pd.DataFrame({"p": fitted.predict_proba(TWO)[:, 1]})
    return linear(fitted.coef_.T, fitted.intercept_, "Squeeze"), TWO, second


def numbers_alone() -> Ready:
    data = load_diabetes(as_frame=True)
    rows = data.data.astype(np.float32).astype(np.float64)
    fitted = Ridge().fit(rows, data.target)
    model = linear(fitted.coef_[:, None], [fitted.intercept_], "Squeeze", kind=TensorProto.DOUBLE)
    return model, rows, pd.DataFrame({"value": fitted.predict(rows)})


def columns_with_strings() -> Ready:
    fitted, rows = own_models.churn()
    types = [
        (name, StringTensorType([None, 1]) if rows[name].dtype.kind in "OUT" else FloatTensorType([None, 1]))
        for name in rows.columns
    ]
    return to_onnx(fitted, initial_types=types), rows, probabilities(fitted, rows)


def another_label() -> Ready:
    """Chosen from 30% on, which the file does not know."""
    fitted = LogisticRegression().fit(TWO, OF_TWO)
    expected = probabilities(fitted, TWO)
    model = linear(fitted.coef_.T, fitted.intercept_, "Sigmoid")
    return model, TWO, expected.assign(prediction=(expected["1"] >= 0.3).astype(int))


def one_at_a_time() -> Ready:
    """Its first dimension is 1, and nothing in it needs that."""
    _, rows, expected = logits()
    fitted = LogisticRegression(max_iter=500).fit(FLOWERS, WORDS)
    return linear(fitted.coef_.T, fitted.intercept_, rows=1), rows, expected


GOOD: dict[Callable[[], Ready], list[str]] = {
    packed_with_labels: [],
    of_64_bits: ["--classes=a,b,c"],
    logits: [],
    softmax: [],
    sigmoid_of_one_column: [],
    one_logit: ["--labels=no,yes"],
    numbers_alone: ["--unit=points"],
    columns_with_strings: [],
    another_label: ["--threshold=0.3"],
    one_at_a_time: [],
}


def run(ready: Ready, folder: Path, *options: str, end: str = "parquet") -> Result:
    model, rows, expected = ready
    (folder / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    for name, frame in (("rows", rows), ("expected", expected)):
        file = folder / f"{name}.{end}"
        frame.to_parquet(file, index=False) if end == "parquet" else frame.to_csv(file, index=False)
    files = [f"--{each}={folder / each}.{end}" for each in ("rows", "expected")]
    named = ["--name=ready", "--version=1", f"--out={folder / 'out'}"]
    return CliRunner().invoke(main, [f"--onnx={folder / 'model.onnx'}", *files, *named, *options])


@pytest.mark.parametrize("make", GOOD, ids=lambda each: each.__name__)
@pytest.mark.parametrize("end", ["parquet", "csv"])
def test_it_is_served_as_expected(
    start: Callable[..., FlaskClient], tmp_path: Path, make: Callable[[], Ready], end: str
) -> None:
    ready = make()
    result = run(ready, tmp_path, *GOOD[make], end=end)
    assert result.exit_code == 0, result.output
    _, rows, expected = ready
    metadata = load_artifact(tmp_path / "out").metadata
    client = start(champion=tmp_path / "out")
    values = read_table(rows).values
    for at in range(0, len(rows), 40):
        body = {"user_id": "u", "features": dict(zip(rows.columns, values[at], strict=True))}
        answer = client.post("/predict", json=body).get_json()
        if make is numbers_alone:
            assert answer["prediction"] == pytest.approx(expected["value"].iloc[at], rel=1e-4)
            continue
        numbers = expected.drop(columns="prediction", errors="ignore").iloc[at].to_numpy(dtype=float)
        if make is one_logit:
            numbers = np.array([1 - numbers[0], numbers[0]])
        place = int(expected["prediction"].iloc[at]) if "prediction" in expected else int(numbers.argmax())
        assert answer["prediction"] == metadata.classes[place].label
        assert answer["class_name"] == metadata.classes[place].name
        assert answer["probability"] == pytest.approx(numbers[place], abs=1e-5)


def wrong_answers() -> Ready:
    model, rows, expected = softmax()
    return model, rows, expected.iloc[::-1]


def slightly_wrong() -> Ready:
    model, rows, expected = softmax()
    change = np.zeros_like(expected.to_numpy())
    change[7] = [0.001, -0.001, 0]
    return model, rows, expected + change


def fewer_answers() -> Ready:
    model, rows, expected = softmax()
    return model, rows, expected.head(3)


def half_of_the_classes() -> Ready:
    model, rows, expected = softmax()
    return model, rows, expected[["setosa", "virginica"]]


def other_inputs() -> Ready:
    model, rows, expected = columns_with_strings()
    return model, rows.rename(columns={"plan": "tariff"}), expected


def no_model() -> Ready:
    return b"\x00not onnx", FLOWERS, softmax()[2]


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        (wrong_answers, [], "no output is what was expected, neither as it is, by softmax nor by sigmoid"),
        (slightly_wrong, [], "row 7: the model itself says"),
        (fewer_answers, [], "there are 150 rows and 3 expected answers"),
        (half_of_the_classes, [], "the expected probabilities of a row do not sum to 1"),
        (other_inputs, [], "the model has no input 'tariff'; its inputs are"),
        (no_model, [], "is no ONNX model"),
        (softmax, ["--output=nothing"], "no output that is meant is a tensor of floats; its outputs are t1"),
        (softmax, ["--labels=a,b"], "2 classes are named, and the expected answers have 3 columns"),
        (softmax, ["--threshold=0.3"], "a threshold is for two classes, and the model has 3"),
        (sigmoid_of_one_column, ["--threshold=0.9"], "the model is not exported"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(
    tmp_path: Path, make: Callable[[], Ready], options: list[str], sentence: str
) -> None:
    result = run(make(), tmp_path, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out" / "model.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a MODULE:FUNCTION, a ready file by --onnx"),
        (["--onnx=a.onnx"], "--onnx needs --rows and --expected, and no MODULE:FUNCTION"),
        (["a:b", "--onnx=a.onnx", "--rows=a.csv", "--expected=b.csv"], "and no MODULE:FUNCTION"),
        (["--onnx=a.onnx", "--rows=no.csv", "--expected=b.csv"], "no.csv: cannot be read"),
        (["--onnx=a.onnx", "--rows=rows.xls", "--expected=b.csv"], "rows.xls: rows come as .parquet or .csv"),
    ],
)
def test_half_a_command_is_refused(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, ["--name=a", "--version=1", f"--out={tmp_path}", *arguments])
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_data_in_other_files_is_refused(tmp_path: Path) -> None:
    model, rows, expected = softmax()
    run((model, rows, expected), tmp_path)
    onnx.save_model(
        model, tmp_path / "model.onnx", save_as_external_data=True, location="data", size_threshold=0
    )
    arguments = [f"--onnx={tmp_path / 'model.onnx'}", f"--rows={tmp_path / 'rows.parquet'}"]
    arguments += [
        f"--expected={tmp_path / 'expected.parquet'}",
        "--name=a",
        "--version=1",
        f"--out={tmp_path}",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "has data in other files" in result.stderr

"""Converts a fitted estimator to ONNX, with the inputs that service.models.onnx_model expects."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import onnx
from onnx import ModelProto, TensorProto
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import StandardScaler

from service.export import boosters
from service.export.graph import find_outputs, fit_inputs, rename, set_outputs
from service.export.inside import inside
from service.export.rows import Table
from service.export.several import Outputs, join, members, take_apart
from service.export.unwrap import Threshold, unwrap, wrap
from service.models.artifact import ArtifactError, FeatureType

LONGEST_REASON = 300
# Which all converters know, and every ONNX Runtime of the last years.
TARGET_OPSET = 18
ML_OPSET = 3
_TENSORS: dict[FeatureType, Any] = {"number": FloatTensorType, "string": StringTensorType}
# scikit-learn's, which skl2onnx replaces by one that cuts words at each letter beyond ASCII.
WORDS, WORDS_IN_RE2 = r"(?u)\b\w\w+\b", r"[\pL\pN_][\pL\pN_]+"
# By which capitals become small: every Linux has it, and few containers have en_US, the default.
LOCALE = "C.UTF-8"


def convert(
    estimator: Any,
    table: Table,
    labels: list[int | str],
    target_opset: int | None = None,
    threshold: float | None = None,
) -> bytes:
    """The ONNX model of `estimator`: one input of all features if it can be, or else one for each.

    Args:
        labels: of its classes; empty for a regressor.
        target_opset: of ONNX; None: TARGET_OPSET.
        threshold: the second of two classes is chosen from this probability on.

    Raises:
        ArtifactError: a step has no converter, or cannot be converted; or there are two thresholds.
    """
    return bytes(_convert(estimator, table, labels, target_opset, threshold).SerializeToString())


def convert_several(
    estimator: Any,
    table: Table,
    outputs: Outputs,
    labels: Sequence[list[int | str]],
    target_opset: int | None = None,
) -> bytes:
    """The same of a model of several outputs; `labels` of each of them.

    Raises:
        ArtifactError: see `convert`; or something around the model is of all outputs together.
    """
    parts = members(estimator)
    if parts is not None:
        of_each = [
            _convert(parts[column], table, of, target_opset)
            for column, of in zip(outputs.columns, labels, strict=True)
        ]
        return bytes(join(of_each, outputs.names, labels).SerializeToString())
    inner, rest = unwrap(estimator)
    if rest is not None:
        raise ArtifactError(
            f"{type(estimator).__name__} is around all outputs at once: take MultiOutputRegressor or "
            "MultiOutputClassifier, and it in there"
        )
    if any(labels):
        raise ArtifactError(
            f"{type(estimator).__name__} has no right conversion to ONNX for several outputs: wrap what it "
            "does for one in MultiOutputClassifier"
        )
    model = _by_skl2onnx(inner, table, [], target_opset or TARGET_OPSET)
    take_apart(model, outputs)
    return bytes(model.SerializeToString())


def _convert(
    estimator: Any,
    table: Table,
    labels: list[int | str],
    target_opset: int | None = None,
    threshold: float | None = None,
) -> ModelProto:
    """As `convert`."""
    inner, rest = unwrap(estimator)
    if threshold is not None:
        if rest is not None:
            raise ArtifactError(
                f"{type(estimator).__name__} has a threshold of its own: leave --threshold out, or bring the "
                "classifier in it"
            )
        rest = Threshold(threshold, positive=1)
    if boosters.is_catboost(inner):
        model = _by_itself(inner, table, labels)
    else:
        boosters.register()
        model = _by_skl2onnx(inner, table, labels, target_opset or TARGET_OPSET)
    wrap(model, rest, labels)
    return model


def _by_itself(estimator: Any, table: Table, labels: list[int | str]) -> ModelProto:
    model = boosters.catboost(estimator)
    fit_inputs(model, table.features)
    kinds = {each.name: each.type.tensor_type.elem_type for each in model.graph.output}
    found = find_outputs(model)
    label = found.labels[0] if labels and found.labels else None
    kind = kinds.get(label or "", TensorProto.INT64)
    set_outputs(model, found.numbers[0], label, kind, max(1, len(labels)))
    return model


def _by_skl2onnx(estimator: Any, table: Table, labels: list[int | str], opset: int) -> ModelProto:
    # Without this the probabilities would be a list of dictionaries.
    options: dict[int, dict[str, Any]] = {id(estimator): {"zipmap": False}} if labels else {}
    for each in inside(estimator):
        if isinstance(each, CountVectorizer):
            of_words = each.analyzer == "word" and each.token_pattern == WORDS
            text = {"locale": LOCALE} | ({"tokenexp": WORDS_IN_RE2} if of_words else {})
            options.setdefault(id(each), {}).update(text)
        elif isinstance(each, StandardScaler):
            options.setdefault(id(each), {})["div"] = (
                "div_cast"  # in 64 bits, as scikit-learn, for trees behind
            )
        elif isinstance(each, CalibratedClassifierCV) and each.method == "isotonic":
            raise ArtifactError(
                "isotonic calibration has no right conversion to ONNX: the converter takes the nearest step "
                "instead of what lies between two. Take method='sigmoid'"
            )
        elif hasattr(each, "_predictors") and getattr(each, "is_categorical_", None) is not None:
            raise ArtifactError(
                f"{type(each).__name__} with categorical_features has no right conversion to ONNX: encode "
                "them before, as by OrdinalEncoder, and leave categorical_features out"
            )
    types = {each.type for each in table.features}
    columns = [(each.name, _TENSORS[each.type]([None, 1])) for each in table.features]
    attempts = [columns]
    if len(types) == 1 and not _selects_by_name(estimator):
        attempts.insert(0, [("row", _TENSORS[types.pop()]([None, len(table.features)]))])
    failures = []
    for inputs in attempts:
        try:
            with _integers(), _convertible(estimator):
                model: Any = to_onnx(
                    estimator,
                    initial_types=inputs,
                    options=options,
                    target_opset={"": opset, "ai.onnx.ml": ML_OPSET},
                )
        except Exception as error:  # skl2onnx raises whatever its converters do
            failures.append(error)
            continue
        if inputs is columns:
            _rename_inputs(model.graph, [each.name for each in table.features])
        return cast(ModelProto, model)
    raise ArtifactError(_told(failures[0])) from failures[0]


def _selects_by_name(estimator: Any) -> bool:
    """Whether a step takes columns by their names, which a tensor of all has not."""
    return any(
        isinstance(columns, str)
        or (isinstance(columns, list) and any(isinstance(one, str) for one in columns))
        for each in inside(estimator)
        if isinstance(each, ColumnTransformer)
        for _, _, columns in each.transformers_
    )


@contextmanager
def _convertible(estimator: Any) -> Iterator[None]:
    """Without what no answer depends on and converters refuse."""
    changed: list[tuple[Any, str, Any]] = []
    for each in inside(estimator):
        if getattr(each, "flatten_transform", False):  # of voting; for transform only
            changed.append((each, "flatten_transform", False))
        if type(each).__module__ == "xgboost.core" and getattr(each, "feature_names", None):
            changed.append((each, "feature_names", None))  # columns are told by their places
    before = [(each, name, getattr(each, name)) for each, name, _ in changed]
    for each, name, value in changed:
        setattr(each, name, value)
    try:
        yield
    finally:
        for each, name, value in before:
            setattr(each, name, value)


@contextmanager
def _integers() -> Iterator[None]:
    """Attributes that are booleans become integers: protobuf takes none since 7, converters give some."""
    original = onnx.helper.make_attribute

    def make_attribute(key: str, value: Any, *args: Any, **named: Any) -> Any:
        if isinstance(value, list | tuple) and any(isinstance(each, bool | np.bool_) for each in value):
            value = [int(each) for each in value]
        elif isinstance(value, bool | np.bool_):
            value = int(value)
        elif isinstance(value, np.ndarray) and value.dtype == np.bool_:
            value = value.astype(np.int64)
        return original(key, value, *args, **named)

    onnx.helper.make_attribute = make_attribute
    try:
        yield
    finally:
        onnx.helper.make_attribute = original


def _told(error: BaseException) -> str:
    """One sentence for what began it: what a converter raises while it handles another error tells less."""
    text = str(error)
    if missing := re.search(r"(?:shape calculator|converter)[^']*'(?:<class ')?([\w.]+)", text):
        kind = missing.group(1).rpartition(".")[2]
        return (
            f"{kind} has no converter to ONNX: take another step, or convert the model yourself and bring "
            "the file by --onnx"
        )
    first = error
    while (before := first.__cause__ or first.__context__) is not None:
        first = before
    what = str(first).strip().partition("\n")[0][:LONGEST_REASON].rstrip(".")
    return f"the model cannot be converted to ONNX: {type(first).__name__}: {what}"


def _rename_inputs(graph: Any, names: list[str]) -> None:
    """Name the inputs exactly as the features: skl2onnx turns "mean radius" into "mean_radius"."""
    found = [each.name for each in graph.input]
    if len(found) != len(names):
        raise ArtifactError(f"skl2onnx made {len(found)} inputs of {len(names)} features")
    rename(graph, dict(zip(found, names, strict=True)))

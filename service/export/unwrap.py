"""What is around an estimator and is no part of what skl2onnx converts, or is converted wrongly.

Some classifiers have a threshold of their own. skl2onnx converts scikit-learn's TunedThresholdClassifierCV
as if it had none, and FixedThresholdClassifier not at all. A TransformedTargetRegressor has no converter. So
what is converted is the estimator inside, and the graph then gets what is missing:

    label = the positive class where its probability >= the threshold, the other class elsewhere
    value = the inverse of the target's transformation
"""

from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from service.export.graph import add, replace_output
from service.models.artifact import ArtifactError

# A probability that is just the threshold, as 2 of 20 trees are 0.1, may be a little less in 32 bits.
SLACK = 1e-6


class Threshold(NamedTuple):
    """At which probability of which class that class is chosen; `positive` is an index, 0 or 1."""

    value: float
    positive: int


class Inverse(NamedTuple):
    """What makes the target of what the regressor inside says: `steps` of ONNX, and numbers for them."""

    steps: tuple[tuple[str, float | None], ...]


Rest = Threshold | Inverse | None


def unwrap(estimator: Any) -> tuple[Any, Rest]:  # noqa: PLR0911 - one return a kind
    """A fitted estimator that skl2onnx can convert rightly, and what is to be added to its graph.

    It is looked for where it decides: outermost, in the last step of a pipeline, in the best of a search.

    Raises:
        ArtifactError: the threshold is on something else than a probability, or the target's transformation
            is none that ONNX can undo.
    """
    if isinstance(estimator, Pipeline):
        last, rest = unwrap(estimator.steps[-1][1])
        if rest is None:
            return estimator, None
        steps = [*estimator.steps[:-1], (estimator.steps[-1][0], last)]
        return Pipeline(steps), rest
    if isinstance(estimator, FrozenEstimator):
        return unwrap(estimator.estimator)
    if hasattr(estimator, "best_estimator_"):
        inner, rest = unwrap(estimator.best_estimator_)
        return (estimator, None) if rest is None else (inner, rest)
    if isinstance(estimator, TransformedTargetRegressor):
        return estimator.regressor_, _inverse(estimator)
    if not isinstance(estimator, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return estimator, None
    if estimator.response_method == "decision_function":
        raise ArtifactError(
            f"{type(estimator).__name__} compares its threshold with decision_function, and only "
            "probabilities are served: fit it with response_method='predict_proba'"
        )
    # One that was fitted before is not fitted again. Only probabilities are asked of it.
    inner, _ = unwrap(getattr(estimator, "estimator_", estimator.estimator))
    return inner, _threshold(estimator)


def wrap(model: ModelProto, rest: Rest, classes: list[int | str]) -> None:
    """Add to the graph what `unwrap` took off."""
    if isinstance(rest, Threshold):
        put_threshold(model, rest, classes)
    elif rest is not None:
        name = model.graph.output[0].name
        for op, number in rest.steps:
            name = add(model, op, [name] if number is None else [name, number])
        replace_output(model, 0, name)


def _threshold(classifier: Any) -> Threshold:
    if isinstance(classifier, TunedThresholdClassifierCV):
        # No public attribute says it. Should this one change its meaning, the gate refuses the model.
        value, positive = classifier.best_threshold_, classifier._curve_scorer._get_pos_label()
    else:
        value, positive = classifier.threshold, classifier.pos_label
        value = 0.5 if value == "auto" else value
    index = 1 if positive is None else int(np.flatnonzero(classifier.classes_ == positive)[0])
    return Threshold(float(value), index)


_FUNCTIONS: dict[Any, tuple[tuple[str, float | None], ...]] = {
    np.exp: (("Exp", None),),
    np.expm1: (("Exp", None), ("Sub", 1.0)),
    np.exp2: (("Mul", float(np.log(2))), ("Exp", None)),
    np.log: (("Log", None),),
    np.log1p: (("Add", 1.0), ("Log", None)),
    np.sqrt: (("Sqrt", None),),
    np.square: (("Pow", 2.0),),
    np.cbrt: (("Pow", 1 / 3),),
    np.negative: (("Neg", None),),
    np.reciprocal: (("Reciprocal", None),),
}


def _inverse(regressor: TransformedTargetRegressor) -> Inverse:
    function = regressor.inverse_func
    if function in _FUNCTIONS:
        return Inverse(_FUNCTIONS[function])
    undo = regressor.transformer_.inverse_transform
    asked = np.array([[0.0], [1.0], [-3.0], [1e4]])
    said = np.asarray(undo(asked), dtype=np.float64).ravel()
    start, slope = float(said[0]), float(said[1] - said[0])
    if not np.allclose(said, start + slope * asked.ravel(), rtol=1e-9, atol=0):
        known = ", ".join(f"np.{each.__name__}" for each in _FUNCTIONS)
        raise ArtifactError(
            "TransformedTargetRegressor undoes its transformation by something that has no form in ONNX: "
            f"take inverse_func of {known}, or a transformer that scales and shifts, as StandardScaler"
        )
    return Inverse((("Mul", slope), ("Add", start)))


def put_threshold(model: ModelProto, threshold: Threshold, classes: list[int | str]) -> None:
    """Let `model` choose one of two `classes` by `threshold`; its outputs are label and probabilities."""
    graph = model.graph
    label, probabilities = graph.output
    kind = label.type.tensor_type.elem_type
    chosen, other = (
        name.encode() if isinstance(name, str) else name
        for name in (classes[threshold.positive], classes[1 - threshold.positive])
    )
    constants: tuple[tuple[str, int, Any], ...] = (
        ("column", TensorProto.INT64, threshold.positive),
        ("value", TensorProto.FLOAT, threshold.value - SLACK),
        ("chosen", kind, chosen),
        ("other", kind, other),
    )
    for name, its_kind, value in constants:
        graph.initializer.append(helper.make_tensor(f"threshold.{name}", its_kind, [], [value]))
    graph.node.extend(
        [
            helper.make_node("Gather", [probabilities.name, "threshold.column"], ["threshold.given"], axis=1),
            helper.make_node("GreaterOrEqual", ["threshold.given", "threshold.value"], ["threshold.reached"]),
            helper.make_node(
                "Where", ["threshold.reached", "threshold.chosen", "threshold.other"], ["threshold.label"]
            ),
        ]
    )
    label.name = "threshold.label"

"""Classifiers with a threshold of their own: the converters leave it out, so it is put into the graph here.

skl2onnx converts scikit-learn's TunedThresholdClassifierCV as if it had none, and FixedThresholdClassifier
not at all. So what is converted is the classifier inside, and the graph then gets another label:

    label = the positive class where its probability >= the threshold, the other class elsewhere
"""

from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from service.artifact import ArtifactError

# A probability that is just the threshold, as 2 of 20 trees are 0.1, may be a little less in 32 bits.
SLACK = 1e-6


class Threshold(NamedTuple):
    """At which probability of which class that class is chosen; `positive` is an index, 0 or 1."""

    value: float
    positive: int


def without_threshold(classifier: Any) -> tuple[Any, Threshold | None]:
    """A fitted classifier of the same probabilities that has no threshold of its own, and the threshold.

    It is looked for where it decides: outermost, in the last step of a pipeline, in the best of a search.

    Raises:
        ArtifactError: the threshold is on something else than a probability.
    """
    if isinstance(classifier, Pipeline):
        last, threshold = without_threshold(classifier.steps[-1][1])
        if threshold is None:
            return classifier, None
        steps = [*classifier.steps[:-1], (classifier.steps[-1][0], last)]
        return Pipeline(steps), threshold
    if isinstance(classifier, FrozenEstimator):
        return without_threshold(classifier.estimator)
    if hasattr(classifier, "best_estimator_"):
        inner, threshold = without_threshold(classifier.best_estimator_)
        return (classifier, None) if threshold is None else (inner, threshold)
    if not isinstance(classifier, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return classifier, None
    if classifier.response_method == "decision_function":
        raise ArtifactError(
            f"{type(classifier).__name__} compares its threshold with decision_function, and only "
            "probabilities are served: fit it with response_method='predict_proba'"
        )
    # One that was fitted before is not fitted again. Only probabilities are asked of it.
    inner, _ = without_threshold(getattr(classifier, "estimator_", classifier.estimator))
    return inner, _threshold(classifier)


def _threshold(classifier: Any) -> Threshold:
    if isinstance(classifier, TunedThresholdClassifierCV):
        # No public attribute says it. Should this one change its meaning, the gate refuses the model.
        value, positive = classifier.best_threshold_, classifier._curve_scorer._get_pos_label()
    else:
        value, positive = classifier.threshold, classifier.pos_label
        value = 0.5 if value == "auto" else value
    index = 1 if positive is None else int(np.flatnonzero(classifier.classes_ == positive)[0])
    return Threshold(float(value), index)


def put_in(model: ModelProto, threshold: Threshold, classes: list[int | str]) -> None:
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

"""Converts a fitted scikit-learn pipeline to ONNX, with the inputs that service.model expects."""

from typing import Any

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

from service.artifact import ArtifactError, FeatureType
from service.table import Table
from service.threshold import put_in, without_threshold

LONGEST_REASON = 300
_TENSORS: dict[FeatureType, Any] = {"number": FloatTensorType, "string": StringTensorType}


def convert(pipeline: Any, table: Table, labels: list[int | str]) -> bytes:
    """The ONNX model of `pipeline`: one input of all features if it can be, or else one for each.

    Args:
        labels: of its classes; empty for a regressor.

    Raises:
        ArtifactError: a step of the pipeline has no converter, or cannot be converted.
    """
    pipeline, threshold = without_threshold(pipeline)
    # Without this the probabilities would be a list of dictionaries.
    options = {id(pipeline): {"zipmap": False}} if labels else None
    types = {each.type for each in table.features}
    whole = []
    if len(types) == 1:
        whole.append([("row", _TENSORS[types.pop()]([None, len(table.features)]))])
    columns = [(each.name, _TENSORS[each.type]([None, 1])) for each in table.features]
    failures = []
    for inputs in (*whole, columns):
        try:
            model: Any = to_onnx(pipeline, initial_types=inputs, options=options)
        except Exception as error:  # skl2onnx raises whatever its converters do
            failures.append(error)
            continue
        if threshold:
            put_in(model, threshold, labels)
        if inputs is columns:
            _rename_inputs(model.graph, [each.name for each in table.features])
        return bytes(model.SerializeToString())
    # A pipeline that selects columns by name cannot take them as one: the last failure tells more.
    what = str(failures[-1]).partition("\n")[0][:LONGEST_REASON]
    raise ArtifactError(f"skl2onnx cannot convert the pipeline: {type(failures[-1]).__name__}: {what}")


def _rename_inputs(graph: Any, names: list[str]) -> None:
    """Name the inputs exactly as the features: skl2onnx turns "mean radius" into "mean_radius".

    All other tensors get a prefix, so that a feature may be called `label` or `probabilities`.
    """
    found = [each.name for each in graph.input]
    if len(found) != len(names):
        raise ArtifactError(f"skl2onnx made {len(found)} inputs of {len(names)} features")
    _rename(graph, dict(zip(found, names, strict=True)))


def _rename(graph: Any, new: dict[str, str]) -> None:
    def called(name: str) -> str:
        return (
            new.get(name, f"tensor:{name}") if name else ""
        )  # an optional input that is left out has no name

    for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        each.name = called(each.name)
    for node in graph.node:
        node.input[:] = [called(name) for name in node.input]
        node.output[:] = [called(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, new)

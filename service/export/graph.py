"""Changes an ONNX graph to the form that the service takes: inputs of floats and strings, by the features'
names or all in one; outputs label (if it has one) and numbers.

All names inside get a prefix, so that a feature may be called `label` or `probabilities`.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from service.models.artifact import ArtifactError, Feature
from service.models.onnx_model import label_tensor, numbers_tensor

INSIDE = "tensor:"
LABEL, NUMBERS = "label", "numbers"
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
CASTABLE = (*FLOATS, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
LABELS = (TensorProto.INT64, TensorProto.STRING, TensorProto.INT32)


class Outputs(NamedTuple):
    """Names of tensors inside that may be the answer."""

    labels: list[str]
    numbers: list[str]


class Named(NamedTuple):
    """One answer of a graph.

    Attributes:
        name: of the output; empty where there is one.
        numbers: the tensor of probabilities or values.
        label: the tensor of labels, if there is one, of the type `kind`.
        columns: of the numbers.
    """

    name: str
    numbers: str
    label: str | None
    kind: int
    columns: int


def rename(graph: Any, new: dict[str, str], prefix: str = INSIDE) -> None:
    """Give tensors new names; those that are not in `new` get the prefix."""

    def called(name: str) -> str:
        # An optional input that is left out has no name.
        return new.get(name, f"{prefix}{name}") if name else ""

    for each in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        each.name = called(each.name)
    for node in graph.node:
        node.input[:] = [called(name) for name in node.input]
        node.output[:] = [called(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                rename(attribute.g, new, prefix)


def fit_inputs(model: ModelProto, features: Sequence[Feature]) -> None:
    """Let the model take rows as the service has them: one tensor of all features, or one for each.

    Raises:
        ArtifactError: its inputs are not those features.
    """
    graph = model.graph
    initial = {each.name for each in graph.initializer}  # old models name these among the inputs
    olds = [each for each in graph.input if each.name not in initial]
    rename(graph, {})
    chains = []
    if len(olds) == 1 and (len(features) > 1 or len(olds[0].type.tensor_type.shape.dim) == 2):
        kind = "string" if olds[0].type.tensor_type.elem_type == TensorProto.STRING else "number"
        if odd := [each.name for each in features if each.type != kind]:
            raise ArtifactError(
                f"the model takes one tensor of {kind}s, and the feature {odd[0]!r} is no {kind}"
            )
        chains.append((olds[0], "row", len(features)))
    else:
        by_name = {_plain_name(each.name): each for each in olds} | {each.name: each for each in olds}
        for each in features:
            found = by_name.get(each.name) or by_name.get(_plain_name(each.name))
            if found is None:
                told = ", ".join(old.name.removeprefix(INSIDE) for old in olds)
                raise ArtifactError(f"the model has no input {each.name!r}; its inputs are {told}")
            chains.append((found, each.name, 1))
        if len(olds) > len(chains):
            raise ArtifactError(f"the model has {len(olds)} inputs, and the rows {len(features)} features")
    added = [_chain(old, new, width) for old, new, width in chains]
    del graph.input[:]
    graph.input.extend(value for value, _, _ in added)
    graph.initializer.extend(tensor for *_, tensor in added if tensor is not None)
    nodes = [node for _, made, _ in added for node in made] + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def _chain(old: Any, new: str, width: int) -> tuple[Any, list[Any], Any]:
    """A new input, and the nodes that make the old one of it."""
    kind, told = old.type.tensor_type.elem_type, old.name.removeprefix(INSIDE)
    rank = len(old.type.tensor_type.shape.dim)
    shape = [each.dim_value for each in old.type.tensor_type.shape.dim]
    if rank not in (1, 2) or (rank == 1 and width > 1):
        raise ArtifactError(f"the model's input {told!r} has the shape {shape}: only rows are served")
    if rank == 2 and shape[1] not in (0, width):
        raise ArtifactError(f"the model takes {shape[1]} features, and the rows have {width}")
    mine = TensorProto.STRING if kind == TensorProto.STRING else TensorProto.FLOAT
    if kind != TensorProto.STRING and kind not in CASTABLE:
        raise ArtifactError(
            f"the model's input {told!r} is of type {TensorProto.DataType.Name(kind)}, which no feature is"
        )
    nodes, at = [], new
    if kind != mine:
        nodes.append(helper.make_node("Cast", [at], [f"{new}:cast"], to=kind))
        at = f"{new}:cast"
    tensor = None
    if rank == 1:
        tensor = numpy_helper.from_array(np.array([-1], dtype=np.int64), f"{new}:shape")
        nodes.append(helper.make_node("Reshape", [at, tensor.name], [f"{new}:flat"]))
        at = f"{new}:flat"
    nodes.append(helper.make_node("Identity", [at], [old.name]))
    return helper.make_tensor_value_info(new, mine, [None, width]), nodes, tensor


def find_outputs(model: ModelProto) -> Outputs:
    """What may be the label and what the numbers; a ZipMap is taken out for what it packs."""
    graph = model.graph
    labels, numbers = [], []
    packed = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    for each in graph.output:
        kind = each.type.tensor_type.elem_type
        if each.name in packed:
            numbers.append(packed[each.name].input[0])
        elif kind in LABELS:
            labels.append(each.name)
        elif kind in FLOATS:
            numbers.append(each.name)
    for node in packed.values():
        graph.node.remove(node)
    return Outputs(labels, numbers)


def set_outputs(model: ModelProto, numbers: str, label: str | None, label_kind: int, columns: int) -> None:
    """Let the model answer with these tensors: numbers as 32-bit floats, shape (n, columns)."""
    put_outputs(model, [Named("", numbers, label, label_kind, columns)])


def put_outputs(model: ModelProto, answers: Sequence[Named]) -> None:
    """The same of each of several outputs; their tensors have names of theirs."""
    del model.graph.output[:]
    for each in answers:
        if each.label is not None:
            kind = TensorProto.STRING if each.kind == TensorProto.STRING else TensorProto.INT64
            told = label_tensor(each.name) if each.name else f"{LABEL}:out"
            _put(model, each.label, told, kind, None)
        told = numbers_tensor(each.name) if each.name else f"{NUMBERS}:out"
        _put(model, each.numbers, told, TensorProto.FLOAT, each.columns)


def _put(model: ModelProto, source: str, name: str, kind: int, columns: int | None) -> None:
    """Make the tensor an output of this name and type, shape (n, columns) or (n,)."""
    graph = model.graph
    if kind != TensorProto.STRING:
        graph.node.append(helper.make_node("Cast", [source], [f"{name}:cast"], to=kind))
        source = f"{name}:cast"
    shape = [-1] if columns is None else [-1, columns]
    graph.initializer.append(numpy_helper.from_array(np.array(shape), f"{name}:shape"))
    graph.node.append(helper.make_node("Reshape", [source, f"{name}:shape"], [name]))
    told = [None, *shape[1:]]
    graph.output.append(helper.make_tensor_value_info(name, kind, told))


def add(model: ModelProto, op: str, inputs: Sequence[str | float], **attributes: Any) -> str:
    """Append a node; numbers among its inputs become constants of 32 bits. The name of its output."""
    graph = model.graph
    name = f"canario:{len(graph.node)}"
    names = []
    for at, each in enumerate(inputs):
        if isinstance(each, str):
            names.append(each)
        else:
            graph.initializer.append(numpy_helper.from_array(np.array(each, np.float32), f"{name}.{at}"))
            names.append(f"{name}.{at}")
    graph.node.append(helper.make_node(op, names, [name], **attributes))
    return name


def replace_output(model: ModelProto, at: int, name: str) -> None:
    """Let output number `at` be another tensor of the same type."""
    model.graph.output[at].name = name


def _plain_name(name: str) -> str:
    return re.sub(r"\W", "_", name.removeprefix(INSIDE))

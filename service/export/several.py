"""Models of several outputs: what they are, and one graph with named tensors for each output.

MultiOutputClassifier and MultiOutputRegressor hold a model for each output, which is converted as if it were
alone; the graphs then share their inputs. A tree or forest that chooses several classes is converted so, too:
the same trees with the classes of one output, because skl2onnx is wrong about all at once. A regressor that
says several values is converted once, and its tensor taken apart.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, numpy_helper
from sklearn.ensemble._forest import ForestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline
from sklearn.tree._classes import BaseDecisionTree
from sklearn.tree._tree import Tree

from service.export.graph import INSIDE, Named, add, put_outputs, rename
from service.export.rows import Table
from service.models.artifact import ArtifactError

Labels = list[int | str]


class Outputs(NamedTuple):
    """Of a model of several outputs.

    Attributes:
        names: the primary one's first.
        columns: of each, its place in what the model itself answers.
    """

    names: list[str]
    columns: list[int]


def name_outputs(count: int, names: Sequence[str] | None, primary: str | None) -> Outputs | None:
    """The outputs of a model of so many; None of one.

    Raises:
        ArtifactError: they are not named, or too many names are given.
    """
    if count == 1:
        if names or primary:
            raise ArtifactError("--outputs and --primary are of a model of several outputs, and this has one")
        return None
    if not names:
        raise ArtifactError(
            f"the model answers {count} questions at once: name them by --outputs, in its order, with commas "
            "between; --primary says by which one a rollout is judged (the first without it)"
        )
    if len(names) != count:
        raise ArtifactError(f"--outputs names {len(names)}, and the model has {count} outputs")
    if primary is not None and primary not in names:
        raise ArtifactError(f"--primary {primary} is none of the outputs {', '.join(names)}")
    columns = sorted(range(count), key=lambda at: names[at] != (primary or names[0]))
    return Outputs([names[at] for at in columns], columns)


def values_of(pipeline: Any, table: Table) -> int:
    """How many values a regressor says about a row."""
    try:
        said = np.asarray(pipeline.predict(table.original[:2]))
    except Exception as error:  # the gate tells it, with the row
        del error
        return 1
    return said.shape[1] if said.ndim == 2 else 1


def members(estimator: Any) -> list[Any] | None:
    """Of a model that holds one for each output, these, each with the steps before it; else None."""
    if isinstance(estimator, Pipeline):
        *before, (name, last) = estimator.steps
        found = members(last)
        return None if found is None else [Pipeline([*before, (name, each)]) for each in found]
    if isinstance(estimator, MultiOutputClassifier | MultiOutputRegressor):
        return list(estimator.estimators_)
    if isinstance(getattr(estimator, "classes_", None), list):
        if isinstance(estimator, BaseDecisionTree):
            return [_tree(estimator, at) for at in range(len(estimator.classes_))]
        if isinstance(estimator, ForestClassifier):
            return [_forest(estimator, at) for at in range(len(estimator.classes_))]
    return members(estimator.best_estimator_) if hasattr(estimator, "best_estimator_") else None


def _forest(forest: Any, at: int) -> Any:
    """A forest of the same trees that chooses classes of one output."""
    made = copy.copy(forest)
    made.estimators_ = [_tree(each, at) for each in forest.estimators_]
    made.n_outputs_, made.classes_, made.n_classes_ = 1, forest.classes_[at], forest.n_classes_[at]
    return made


def _tree(whole: Any, at: int) -> Any:
    """The same tree with the classes of one output."""
    made, classes = copy.copy(whole), int(whole.n_classes_[at])
    state = whole.tree_.__getstate__()
    state["values"] = np.ascontiguousarray(state["values"][:, [at], :classes])
    made.tree_ = Tree(whole.n_features_in_, np.array([classes], dtype=np.intp), 1)
    made.tree_.__setstate__(state)
    made.n_outputs_, made.classes_, made.n_classes_ = 1, whole.classes_[at], classes
    return made


def join(models: Sequence[ModelProto], names: Sequence[str], labels: Sequence[Labels]) -> ModelProto:
    """One model of the outputs of several, which take the same rows.

    Raises:
        ArtifactError: they do not take them in the same form.
    """
    inputs = [{each.name: each.type.SerializeToString() for each in model.graph.input} for model in models]
    if any(each != inputs[0] for each in inputs):
        raise ArtifactError("the models of the outputs take rows in different forms: export a model for each")
    whole = ModelProto()
    whole.CopyFrom(models[0])
    graph = whole.graph
    for field in ("node", "output", "initializer", "value_info"):
        graph.ClearField(field)
    opsets: dict[str, int] = {}
    found: list[Named] = []
    for at, model in enumerate(models):
        rename(model.graph, {name: name for name in inputs[0]}, prefix=f"{INSIDE}{at}:")
        for node in model.graph.node:
            node.name = f"{at}:{node.name}"
        graph.node.extend(model.graph.node)
        graph.initializer.extend(model.graph.initializer)
        for each in model.opset_import:
            opsets[each.domain] = max(each.version, opsets.get(each.domain, 1))
        whole.ir_version = max(whole.ir_version, model.ir_version)
        *label, numbers = model.graph.output  # set_outputs and skl2onnx have the label first
        kind = label[0].type.tensor_type.elem_type if label else 0
        width = max(1, len(labels[at]))
        found.append(Named(names[at], numbers.name, label[0].name if label else None, kind, width))
    del whole.opset_import[:]
    for domain, version in opsets.items():
        whole.opset_import.add(domain=domain, version=version)
    put_outputs(whole, found)
    return whole


def take_apart(model: ModelProto, outputs: Outputs) -> None:
    """Let `model`, which answers with all values of a row, shape (n, outputs), have a tensor of each."""
    shape = numpy_helper.from_array(np.array([-1, len(outputs.names)]), "several:shape")
    model.graph.initializer.append(shape)
    # Of a network they come in one column.
    source = add(model, "Reshape", [model.graph.output[0].name, shape.name])
    found = []
    for name, column in zip(outputs.names, outputs.columns, strict=True):
        place = f"several:{name}"
        model.graph.initializer.append(numpy_helper.from_array(np.array([column], dtype=np.int64), place))
        found.append(Named(name, add(model, "Gather", [source, place], axis=1), None, 0, 1))
    put_outputs(model, found)

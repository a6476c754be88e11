"""Rows that no held-out data has and that users send: on these a wrong conversion shows.

A converter that is wrong is right on most rows. Known ones were wrong where a value lies on a split of a
tree, where a category was never seen, where a value is missing, and beyond the range of the training data.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx

from service.export.rows import Table, Value, Values
from service.export.splits import Splits

UNSEEN = "?never-seen"  # a string that no training data had
BASES = 20  # held-out rows that are changed, spread over all
MOST = 2000  # rows of a kind
MOST_SPLITS, MOST_AT_SPLITS = 40, 6000  # of one feature, and rows on splits of all
# What is closer to 0 is 0 to LightGBM (its kZeroThreshold), and to anybody who sends it.
NO_NUMBER = float(np.float32(1e-35))
TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble")
PASSES_ON = ("Cast", "Identity", "Reshape")  # what changes no number


class Probe(NamedTuple):
    """Rows of one kind.

    Attributes:
        what: the kind, for a sentence.
        advice: what to do where the pipeline itself fails at them.
    """

    what: str
    rows: list[Values]
    advice: str


def probes(table: Table, model: bytes, exact: Splits) -> list[Probe]:
    """All kinds of which the table and the ONNX model have any.

    Args:
        exact: splits of trees in 64 bits, see there.
    """
    found = [
        Probe(
            "a string that the training data did not have, and that a user will send",
            _unseen(table),
            "Let the encoder expect it: OneHotEncoder(handle_unknown='ignore'), or "
            "OrdinalEncoder(handle_unknown='use_encoded_value', unknown_value=-1)",
        ),
        Probe(
            "a gap (null)",
            _gaps(table),
            "Let the pipeline fill gaps, as SimpleImputer does, or leave rows with gaps out",
        ),
        Probe("a value on a split of a tree", _splits(table, model, exact), ""),
        Probe("a value beyond those of the rows", _extremes(table), ""),
    ]
    return [each for each in found if each.rows]


def _unseen(table: Table) -> list[Values]:
    ordinary: Values = [each.example for each in table.features]
    return [_with(ordinary, at, UNSEEN) for at, each in enumerate(table.features) if each.type == "string"]


def _gaps(table: Table) -> list[Values]:
    """A gap in each feature that takes gaps, alone and all at once."""
    places = [at for at, each in enumerate(table.features) if each.gaps]
    if not places:
        return []
    bases = _bases(table)
    alone = [_with(row, at, None) for at in places for row in bases[: max(1, MOST // len(places))]]
    return alone + [[None if at in places else value for at, value in enumerate(row)] for row in bases]


def _extremes(table: Table) -> list[Values]:
    """Each number as far below the least and above the greatest as these are apart; and 0."""
    bases = _bases(table)
    found: list[Values] = []
    for at, each in enumerate(table.features):
        if each.type == "number" and len(found) < MOST:
            column = np.array([row[at] for row in table.values if row[at] is not None], dtype=np.float64)
            low, high = float(column.min()), float(column.max())
            values = (low - (high - low), high + (high - low), 0.0)
            found += [_with(bases[at % len(bases)], at, float(np.float32(value))) for value in values]
    return found


def _splits(table: Table, model: bytes, exact: Splits) -> list[Values]:
    """Values on the splits of trees that read the features themselves, and the next 32-bit floats beside."""
    bases = _bases(table)
    found: list[Values] = []
    splits = _thresholds(model, len(table.features))
    most = max(1, min(MOST_SPLITS, MOST_AT_SPLITS // 3 // max(1, len(splits))))
    asked = sum(min(most, len(values)) for values in splits.values())
    # Most rows do not come by a split that lies deep in a tree: so several are tried.
    times = max(1, min(len(bases), MOST_AT_SPLITS // 3 // max(1, asked)))
    for at, values in splits.items():
        if table.features[at].type != "number":
            continue
        ordered = sorted(values)
        for split in ordered[:: max(1, len(ordered) // most)][:most]:
            middle = np.float32(split)
            itself = exact.get((at, float(middle)), float(middle))
            for value in (np.nextafter(middle, -np.inf), itself, np.nextafter(middle, np.inf)):
                if 0 < abs(value) <= NO_NUMBER:
                    continue
                first = len(found)
                found += [
                    _with(bases[(first + more) % len(bases)], at, float(value)) for more in range(times)
                ]
    return found


def _thresholds(model: bytes, features: int) -> dict[int, set[float]]:
    """By the place of a feature, the splits of trees that read the row as it comes."""
    graph = onnx.load_model_from_string(model).graph
    read = _unchanged(graph, features)
    found: dict[int, set[float]] = {}
    for node in graph.node:
        if node.op_type in TREES and node.input[0] in read:
            for place, split in _nodes(node):
                if place < features and np.isfinite(split):
                    found.setdefault(place, set()).add(split)
    return found


def _unchanged(graph: Any, features: int) -> set[str]:
    """Names of tensors that are all features in their order."""
    inputs = [each.name for each in graph.input]
    found = set(inputs) if len(inputs) == 1 else set()
    for node in graph.node:  # ordered: who makes a tensor comes before who reads it
        passes = node.op_type in PASSES_ON and node.input[0] in found
        joins = node.op_type == "Concat" and len(inputs) == features and list(node.input) == inputs
        if passes or joins:
            found.update(node.output)
    return found


def _nodes(node: Any) -> Iterator[tuple[int, float]]:
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "TreeEnsemble":
        yield from zip(
            attributes["nodes_featureids"],
            onnx.numpy_helper.to_array(attributes["nodes_splits"]).tolist(),
            strict=True,
        )
        return
    values = attributes.get("nodes_values")
    if values is None:
        values = onnx.numpy_helper.to_array(attributes["nodes_values_as_tensor"]).tolist()
    for place, mode, split in zip(
        attributes["nodes_featureids"], attributes["nodes_modes"], values, strict=True
    ):
        if mode != b"LEAF":
            yield place, split


def _bases(table: Table) -> list[Values]:
    return table.values[:: max(1, len(table.values) // BASES)][:BASES]


def _with(row: Values, at: int, value: Value) -> Values:
    """The row with another value in one place."""
    return [*row[:at], value, *row[at + 1 :]]

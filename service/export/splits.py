"""The splits of trees as the estimator has them, where these are in 64 bits.

LightGBM and HistGradientBoosting compare in 64 bits, and ONNX in 32. A request's value and a split that are
the same number are the same in 32 bits too; the 32-bit float next to a split may be on its other side in 64
bits, and is no value that anybody sends. So what is asked about is the split itself, not what ONNX made of
it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from service.export.inside import inside

Splits = dict[tuple[int, float], float]


def splits_of(estimator: Any) -> Splits:
    """By the place of the feature and the split in 32 bits, the split; of several the least."""
    found: Splits = {}
    for place, split in _splits(estimator):
        key = (place, float(np.float32(split)))
        found[key] = min(split, found.get(key, split))
    return found


def _splits(estimator: Any) -> Iterator[tuple[int, float]]:
    """Place of the feature and split, of every tree inside."""
    for found in inside(estimator):
        if type(found).__name__ == "TreePredictor":  # of HistGradientBoosting
            nodes = found.nodes[found.nodes["is_leaf"] == 0]
            yield from zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)
        elif type(found).__module__.startswith("lightgbm") and hasattr(found, "dump_model"):
            for tree in found.dump_model()["tree_info"]:
                yield from _of_lightgbm(tree["tree_structure"])


def _of_lightgbm(node: dict[str, Any]) -> Iterator[tuple[int, float]]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                yield node["split_feature"], float(node["threshold"])
            waiting += [node["left_child"], node["right_child"]]

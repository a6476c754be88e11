"""The rows that an engineer brings to the export: names, types and values of the features."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import numpy as np

from service.artifact import LONGEST_STRING, ArtifactError, Feature

STRANGER = "?never-seen"  # a string that no training data had


@dataclass(frozen=True)
class Table:
    """Rows, as the pipeline takes them and as requests bring them.

    Attributes:
        original: DataFrame or array of shape (n, features).
        values: the same as floats and strings.
    """

    features: list[Feature]
    original: Any
    values: list[list[float | str]]

    @property
    def is_frame(self) -> bool:
        """Whether the columns of `original` have names."""
        return hasattr(self.original, "columns")

    def strangers(self) -> list[list[float | str]]:
        """For each string feature a row with a value that nobody saw: users will send one."""
        ordinary = [each.example for each in self.features]
        return [
            [*ordinary[:at], STRANGER, *ordinary[at + 1 :]]
            for at, each in enumerate(self.features)
            if each.type == "string"
        ]

    def like_original(self, values: list[list[float | str]]) -> Any:
        """Other `values` in the form of `original`."""
        array = np.array(values, dtype=np.object_)
        return type(self.original)(array, columns=self.original.columns) if self.is_frame else array


def read_table(rows: Any, names: Sequence[str] | None = None) -> Table:
    """Rows of a pandas DataFrame, or of an array or list of lists together with `names`.

    Raises:
        ArtifactError: it has no rows or no names, or a column has something else than numbers or strings.
    """
    if not hasattr(rows, "columns"):
        rows = np.asarray(rows)
        if rows.ndim != 2:
            raise ArtifactError(f"the rows are an array of shape {rows.shape} instead of (rows, features)")
    if not len(rows):
        raise ArtifactError("there is not one row to compare scikit-learn and ONNX on")
    if hasattr(rows, "columns"):
        names = list(rows.columns) if names is None else names
    if names is None:
        raise ArtifactError("the features have no names: bring the rows as a DataFrame, or name the features")
    if len(names) != rows.shape[1]:
        raise ArtifactError(f"{len(names)} features are named, but the rows have {rows.shape[1]}")
    if odd := [name for name in names if not isinstance(name, str) or not 1 <= len(name) <= 128]:
        raise ArtifactError(f"a feature's name is a text of 1 to 128 characters, not {odd[0]!r}")
    columns = [_column(rows, at) for at in range(len(names))]
    features = [_feature(name, column) for name, column in zip(names, columns, strict=True)]
    return Table(features, rows, [list(row) for row in zip(*columns, strict=True)])


def _column(rows: Any, at: int) -> list[Any]:
    column = rows.iloc[:, at].to_numpy() if hasattr(rows, "iloc") else rows[:, at]
    # JSON knows true and false, but a model's feature is then a number to ONNX: 0 or 1.
    return [int(value) if isinstance(value, bool) else value for value in column.tolist()]


def _feature(name: str, column: list[Any]) -> Feature:
    if missing := sum(map(_is_missing, column)):
        raise ArtifactError(
            f"the feature {name!r} lacks a value in {missing} of {len(column)} rows; requests cannot have "
            "gaps: fill them before the pipeline, or leave these rows out"
        )
    if all(isinstance(value, str) for value in column):
        if longest := next((value for value in column if len(value) > LONGEST_STRING), None):
            raise ArtifactError(
                f"the feature {name!r} has a string of {len(longest)} characters; requests may bring "
                f"{LONGEST_STRING}"
            )
        return Feature(name=name, type="string", example=Counter(column).most_common(1)[0][0])
    if all(isinstance(value, int | float) for value in column):
        # median_low is a value that occurs: integers stay integers
        return Feature(name=name, type="number", example=median_low(column))
    kinds = ", ".join(sorted({type(value).__name__ for value in column}))
    raise ArtifactError(f"the feature {name!r} must be all numbers or all strings, but it has {kinds}")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value)) or repr(value) == "<NA>"

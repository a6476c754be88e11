"""What an engineer brings to the export: a function, and of its rows the names, types and values."""

import importlib
import importlib.util
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from types import ModuleType
from typing import Any

import numpy as np

from service.models.artifact import LONGEST_STRING, ArtifactError, Feature

ALL = "all"  # in the place of names of features: every number

Value = float | str | None
Values = list[Value]


def load_source(source: str) -> Callable[[], Any]:
    """The function that `source` names, as `module:function` or `path/to/file.py:function`.

    Raises:
        ArtifactError: there is none. What the module itself raises is not caught.
    """
    place, _, name = source.rpartition(":")
    if not place or not name:
        raise ArtifactError(f"{source}: write module:function or path/to/file.py:function")
    module = _from_file(Path(place)) if place.endswith(".py") else _from_path(place)
    found = getattr(module, name, None)
    if not callable(found):
        raise ArtifactError(f"{source}: {place} has no function {name}")
    return found  # type: ignore[no-any-return]


def _from_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise ArtifactError(f"{file}: there is no such file")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ArtifactError(f"{file}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.resolve().parent))  # so that it finds what lies beside it
    spec.loader.exec_module(module)
    return module


def _from_path(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and not name.startswith(error.name):
            raise  # something that the module itself imports
        raise ArtifactError(f"{name}: there is no such module; is its folder on PYTHONPATH?") from error


@dataclass(frozen=True)
class Table:
    """Rows, as the pipeline takes them and as requests bring them.

    Attributes:
        original: DataFrame or array of shape (n, features).
        values: the same as floats and strings; None is a gap.
    """

    features: list[Feature]
    original: Any
    values: list[Values]

    @property
    def is_frame(self) -> bool:
        """Whether the columns of `original` have names."""
        return hasattr(self.original, "columns")

    def like_original(self, values: list[Values]) -> Any:
        """Other `values` in the form of `original`: each column of its type, whole numbers with gaps too."""
        columns = [
            _typed(list(column), each)
            for column, each in zip(zip(*values, strict=True), self.features, strict=True)
        ]
        if not self.is_frame:
            kinds = {column.dtype for column in columns}
            return np.stack(columns, axis=1) if len(kinds) == 1 else np.array(values, dtype=np.object_)
        made = type(self.original)(
            {at: column for at, column in enumerate(columns)}, columns=range(len(columns))
        )
        made.columns = self.original.columns
        return made


def _typed(column: list[Value], feature: Feature) -> Any:
    if feature.type == "string":
        return np.array(column, dtype=np.object_)
    return np.array([np.nan if value is None else value for value in column], dtype=np.float64)


def read_table(rows: Any, names: Sequence[str] | None = None, gaps: Sequence[str] = ()) -> Table:
    """Rows of a pandas DataFrame, or of an array or list of lists together with `names`.

    Args:
        gaps: names of features that take gaps, beside those in which these rows have some; or `ALL`.

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
    rows = _in_64_bits(rows)
    columns = [_column(rows, at) for at in range(len(names))]
    if strange := sorted(set(gaps) - {ALL, *names}):
        raise ArtifactError(f"--gaps names {strange[0]!r}, and there is no such feature")
    features = [
        _feature(name, column, name in gaps, ALL in gaps) for name, column in zip(names, columns, strict=True)
    ]
    return Table(features, rows, [list(row) for row in zip(*columns, strict=True)])


def plain_values(frame: Any) -> list[Values]:
    """The rows of a DataFrame as requests bring them."""
    columns = [_column(frame, at) for at in range(frame.shape[1])]
    return [list(row) for row in zip(*columns, strict=True)]


def _in_64_bits(rows: Any) -> Any:
    """As the numbers of a request come to a model in Python: scikit-learn calculates by what it is given."""
    if hasattr(rows, "dtypes") and not isinstance(rows, np.ndarray):
        short = {
            name: np.float64 for name, kind in rows.dtypes.items() if str(kind) in ("float32", "float16")
        }
        return rows.astype(short) if short else rows
    return rows.astype(np.float64) if getattr(rows, "dtype", None) in (np.float32, np.float16) else rows


def _column(rows: Any, at: int) -> list[Any]:
    column = rows.iloc[:, at].to_numpy() if hasattr(rows, "iloc") else rows[:, at]
    return [_plain(value) for value in column.tolist()]


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)) or repr(value) in ("<NA>", "NaT"):
        return None
    # JSON knows true and false, but a model's feature is then a number to ONNX: 0 or 1.
    return int(value) if isinstance(value, bool) else value


def _feature(name: str, whole: list[Any], is_named: bool, may_all: bool) -> Feature:
    column = [value for value in whole if value is not None]
    missing = len(whole) - len(column)
    if not column:
        raise ArtifactError(f"the feature {name!r} has no value in any row: bring rows that have some")
    if all(isinstance(value, str) for value in column):
        if missing or is_named:
            raise ArtifactError(
                f"the feature {name!r} lacks a value in {missing} of {len(whole)} rows, and strings cannot "
                "have gaps: train with a word for them, as fillna('missing'), which requests then send"
            )
        if longest := next((value for value in column if len(value) > LONGEST_STRING), None):
            raise ArtifactError(
                f"the feature {name!r} has a string of {len(longest)} characters; requests may bring "
                f"{LONGEST_STRING}"
            )
        return Feature(name=name, type="string", example=Counter(column).most_common(1)[0][0])
    if all(isinstance(value, int | float) for value in column):
        if infinite := sum(not math.isfinite(value) for value in column):
            raise ArtifactError(
                f"the feature {name!r} is infinite in {infinite} of {len(whole)} rows, which no request can "
                "be: leave these rows out"
            )
        # median_low is a value that occurs: integers stay integers
        return Feature(
            name=name, type="number", example=median_low(column), gaps=bool(missing) or is_named or may_all
        )
    kinds = ", ".join(sorted({type(value).__name__ for value in column}))
    raise ArtifactError(f"the feature {name!r} must be all numbers or all strings, but it has {kinds}")

"""Whether two results are the same, to 1e-9 where they are numbers."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TOLERANCE = 1e-9


def assert_same(one: Any, two: Any, *, where: str = "result") -> None:
    """Raises AssertionError with the place of the first difference."""
    if isinstance(one, bool) or one is None or isinstance(one, str):
        assert one == two, f"{where}: {one!r} and {two!r}"
    elif isinstance(one, int | float | np.number):
        close = math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (one != one and two != two)
        assert close, f"{where}: {one!r} and {two!r}"
    elif isinstance(one, np.ndarray):
        assert_same(one.tolist(), two.tolist(), where=where)
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(two, field.name), where=f"{where}.{field.name}")
    elif isinstance(one, Mapping):
        assert one.keys() == two.keys(), f"{where}: {sorted(one)} and {sorted(two)}"
        for key in one:
            assert_same(one[key], two[key], where=f"{where}[{key!r}]")
    elif isinstance(one, Sequence):
        assert len(one) == len(two), f"{where}: {len(one)} and {len(two)} of them"
        for number, (first, second) in enumerate(zip(one, two, strict=True)):
            assert_same(first, second, where=f"{where}[{number}]")
    elif hasattr(one, "__dict__"):
        assert_same(vars(one), vars(two), where=where)
    else:
        assert one == two, f"{where}: {one!r} and {two!r}"

"""What a fitted estimator is made of."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def inside(found: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """The estimator itself and every object that it or one in it holds, however deep; each once."""
    seen = set() if seen is None else seen
    if id(found) in seen or isinstance(found, str | bytes | int | float | complex | type(None) | type):
        return
    seen.add(id(found))
    held: Any = ()
    if isinstance(found, list | tuple | set):
        held = found
    elif isinstance(found, dict):
        held = found.values()
    elif isinstance(found, np.ndarray):
        held = found.ravel() if found.dtype == np.object_ else ()
    else:
        yield found
        held = vars(found).values() if hasattr(found, "get_params") and hasattr(found, "__dict__") else ()
    for each in held:
        yield from inside(each, seen)

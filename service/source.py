"""Finds an engineer's own function, for the export."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from service.artifact import ArtifactError


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

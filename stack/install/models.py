"""The example models, trained from this repository."""

import hashlib
import sys
import tempfile
from pathlib import Path

from common.errors import CanarioError
from common.model_store import ModelStore
from common.names import Model
from common.release import Note
from stack.errors import StackError
from stack.paths import LOCK, REPOSITORY, Cache, Home
from stack.shell import run

_SOURCES = tuple(
    f"service/{each}.py" for each in ("train", "export", "table", "onnx_graph", "parity", "artifact")
)
_STAMP = "canario.stamp"


def folder(cache: Cache, role: Model) -> Path:
    """The artifact of `role`."""
    return cache.models / role


def give_roles(cache: Cache, home: Home) -> None:
    """Let the models folder of `home` hold the example models, as long as nobody has changed roles there.

    Raises:
        StackError: it cannot be read or written.
    """
    champion, challenger = folder(cache, Model.CHAMPION), folder(cache, Model.CHALLENGER)
    try:
        ModelStore(home.models).install(champion, challenger, Note("make up"), refresh=True)
    except CanarioError as error:
        raise StackError(str(error)) from error


def fingerprint() -> str:
    """Changes when training would give something else."""
    parts = [LOCK.read_bytes(), *((REPOSITORY / source).read_bytes() for source in _SOURCES)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def ensure(cache: Cache) -> str:
    """Train both models unless they are there; return a remark for the step's line.

    Raises:
        StackError: the training failed.
    """
    stamp = cache.models / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint():
        return "there already"
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=cache.root) as name:
        work = Path(name)
        run(
            [sys.executable, "-m", "service.train", "--out", str(work / "models")],
            cache.logs / "models.log",
            what="The models could not be trained",
        )
        (work / "models" / _STAMP).write_text(fingerprint(), encoding="utf-8")
        if cache.models.exists():
            cache.models.rename(work / "old")
        (work / "models").rename(cache.models)
    return ""

"""Models of an MLflow registry: fetched as model folders, and the alias that a promotion moves.

Model folders that were logged as artifacts are taken as they are, and files of the flavour onnx with the
features of another folder. Of sklearn, xgboost and lightgbm there are Python objects only: these are loaded
and exported by a process of its own, through the gate that every export passes. Loading a pickle runs
whatever code is in it. So it has to be allowed, and the process gets none of the settings and tokens of this
one; it is no jail, and can do what its user can.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import BaseModel

from common.config import ConfigError, load_yaml
from common.errors import CanarioError
from common.model_store import METADATA_FILE, MODEL_FILE

NOTE: Final = "mlflow"  # in `training` of model.json: the address that means this version for ever
EXPORTED: Final = ("sklearn", "xgboost", "lightgbm")
EXPORT_SECONDS: Final = 900.0
ALIAS_SECONDS: Final = 30.0  # a promotion is over when it is told; a registry that hangs is not waited for
KEPT_VARIABLES: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR")
INSTALL: Final = "`pip install -r locks/mlflow.txt`, and MLFLOW_TRACKING_URI says where it is"


class RegistryError(CanarioError):
    """A model cannot be had. The text says from where, why, and what to do."""


class Export(NamedTuple):
    """How a model that is a Python object is exported.

    Attributes:
        rows: file of held-out rows for the gate, .parquet or .csv.
        unpickle: loading it may run code that is in it.
        python: which has what the model was trained with; "" for the one that runs.
    """

    rows: Path | None = None
    unpickle: bool = False
    python: str = ""


class _MlModel(BaseModel):
    """Of a model's MLmodel, what is read here."""

    flavors: dict[str, Any]


def fetch(uri: str, folder: Path, like: Path | None, export: Export) -> tuple[Path, str]:
    """The model folder of `uri`, made in `folder`, and the address that means its version for ever.

    Args:
        uri: models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH.
        like: model folder of the same features and classes, for the flavour onnx.

    Raises:
        RegistryError: it cannot be had, or was not exported.
    """
    if not uri.startswith(("models:/", "runs:/")):
        raise RegistryError(
            f"mlflow:{uri}: say mlflow:models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH"
        )
    try:
        import mlflow.artifacts  # type: ignore[import-not-found] # noqa: PLC0415 - an extra
        from mlflow.exceptions import MlflowException  # type: ignore[import-not-found] # noqa: PLC0415
        from mlflow.tracking import MlflowClient  # type: ignore[import-not-found] # noqa: PLC0415
    except ImportError as error:
        raise RegistryError(f"MLflow is missing: {INSTALL}") from error
    try:
        name, version, pinned = _resolved(uri, MlflowClient())
        mlflow.artifacts.download_artifacts(artifact_uri=pinned, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        raise RegistryError(f"mlflow:{uri}: {error}") from error
    found = _nearest(folder, METADATA_FILE)
    made = found.parent if found else _of_flavour(folder, name, version, pinned, like, export)
    _note(made, pinned)
    return made, pinned


def _resolved(uri: str, client: Any) -> tuple[str, str, str]:
    """Name, version, and the address that means this model for ever."""
    kind, _, rest = uri.partition(":/")
    if kind == "runs":
        run, _, path = rest.partition("/")
        return path.replace("/", "-") or "model", run[:12], uri
    name, at, alias = rest.partition("@")
    if not at:
        name, _, version = rest.rpartition("/")
        return name, version, uri
    version = str(client.get_model_version_by_alias(name, alias).version)
    return name, version, f"models:/{name}/{version}"


def _nearest(folder: Path, name: str) -> Path | None:
    return min(folder.rglob(name), key=lambda path: len(path.parts), default=None)


def _note(folder: Path, pinned: str) -> None:
    """Write into model.json where the model is from."""
    file = folder / METADATA_FILE
    try:
        told = json.loads(file.read_bytes())
        told["training"] = {**told.get("training", {}), NOTE: pinned}
        file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RegistryError(f"{pinned}: its {METADATA_FILE} cannot be read: {error}") from error


def _of_flavour(  # noqa: PLR0913, PLR0917 - it is private, and its caller is beside it
    folder: Path, name: str, version: str, pinned: str, like: Path | None, export: Export
) -> Path:
    described = _nearest(folder, "MLmodel")
    if described is None:
        raise RegistryError(
            f"{pinned}: has neither {METADATA_FILE} nor MLmodel: log a model folder as artifacts"
        )
    try:
        flavours = load_yaml(described, _MlModel).flavors
        data = flavours.get("onnx", {}).get("data")
    except (ConfigError, AttributeError) as error:
        raise RegistryError(f"{pinned}: {error}") from error
    if data:
        return _of_onnx(described.parent, str(data), folder, name, version, pinned, like)
    if not set(EXPORTED) & set(flavours):
        raise RegistryError(
            f"{pinned}: has the flavours {', '.join(flavours)}, and none of onnx, {', '.join(EXPORTED)}: "
            "where it is trained, run `./canario export`, and mlflow.log_artifacts the folder that it makes"
        )
    return _exported(described.parent, folder / "canario", name, version, pinned, export)


def _of_onnx(  # noqa: PLR0913, PLR0917 - it is private, and its caller is beside it
    described: Path, data: str, folder: Path, name: str, version: str, pinned: str, like: Path | None
) -> Path:
    """A model folder of a file of the flavour onnx, with the features and classes of `like`."""
    if like is None:
        raise RegistryError(f"{pinned}: say --like FOLDER, a model of the same features and classes")
    file = (described / data).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise RegistryError(f"{pinned}: its MLmodel names a file outside of it: {data}")
    try:
        onnx, told = file.read_bytes(), json.loads((like / METADATA_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise RegistryError(f"{pinned}: {error}") from error
    told |= {"name": name, "version": version, "sha256": hashlib.sha256(onnx).hexdigest()}
    told |= {"training": {}, "parity": {}}
    made = folder / "canario"
    made.mkdir()
    (made / MODEL_FILE).write_bytes(onnx)
    (made / METADATA_FILE).write_text(json.dumps(told, indent=2), encoding="utf-8")
    return made


def _exported(  # noqa: PLR0913, PLR0917 - it is private, and its caller is beside it
    described: Path, out: Path, name: str, version: str, pinned: str, export: Export
) -> Path:
    """A model folder, made by `./canario export --mlflow` in a process of its own."""
    if export.rows is None:
        raise RegistryError(
            f"{pinned}: say --rows FILE, held-out rows as .parquet or .csv: it is exported only if ONNX "
            "Runtime gives the model's own answers on them"
        )
    root = Path(__file__).parents[1]
    command = [export.python or sys.executable, "-m", "service.export", "--mlflow", str(described)]
    command += ["--rows", str(export.rows.resolve()), "--name", name, "--version", version, "--out", str(out)]
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    try:
        done = subprocess.run(
            [*command, *(["--unpickle"] if export.unpickle else [])],
            cwd=root,
            env=kept | {"PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=EXPORT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"{pinned}: cannot be exported: {error}") from error
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RegistryError(f"{pinned}: {why.removeprefix('error: ')}")
    return out


def move_alias(alias: str, champion: Path) -> str:
    """Let `alias` mean the version that the model folder `champion` is from; what came of it, in a sentence.

    A promotion stands whatever the registry says: nothing is raised, and after `ALIAS_SECONDS` it is left.
    """
    try:
        pinned = json.loads((champion / METADATA_FILE).read_bytes())["training"][NOTE]
        kind, _, rest = pinned.partition(":/")
        name, _, version = rest.rpartition("/")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"MLflow's alias {alias} stays where it is: the champion is not from an MLflow registry"
    if kind != "models":
        return f"MLflow's alias {alias} stays where it is: the champion is from a run, {pinned}"
    command = [sys.executable, "-m", "flags.mlflow_registry", name, alias, version]
    failed = f"MLflow's alias {alias} could not be moved to {pinned}"
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ALIAS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{failed}: no answer within {ALIAS_SECONDS:.0f} s; the promotion stands"
    except OSError as error:
        return f"{failed}: {error}; the promotion stands"
    if done.returncode:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return f"{failed}: {why}; the promotion stands"
    return f"MLflow's alias {alias} means {pinned} now"


def _main(name: str, alias: str, version: str) -> None:
    """Move an alias; exits with a sentence where that fails. In a process of its own, for MLflow may hang."""
    try:
        from mlflow.tracking import MlflowClient  # noqa: PLC0415
    except ImportError:
        sys.exit(f"MLflow is missing: {INSTALL}")
    try:
        MlflowClient().set_registered_model_alias(name, alias, version)
    except Exception as error:  # whatever MLflow raises is one sentence for who promotes
        sys.exit(str(error).strip().partition("\n")[0])


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""Where a model comes from: a folder, an address with its sha256, or an MLflow registry.

    models/fraud-3                          a folder, as it is
    https://host/fraud-3.tar.gz             an archive of such a folder; its sha256 must be told
    mlflow:models:/fraud@challenger         what the alias means now; also models:/fraud/3 and runs:/ID/PATH

What is fetched is resolved once: the version that an alias meant stands in the note of the change, and the
folder is copied, so that nothing changes beneath a rollout. From MLflow it is a model folder that was logged
as artifacts, or a model of the flavour onnx, which takes its features and classes from another folder.
"""

import hashlib
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import requests
from pydantic import BaseModel

from common.config import ConfigError, load_yaml
from common.errors import CanarioError
from common.model_store import METADATA_FILE, MODEL_FILE, REMOTE_FILE

ADDRESSES = ("https://", "http://")
MLFLOW = "mlflow:"
SECONDS = 30.0  # without a byte
LARGEST_BYTES = 4 * 2**30
FILES = (METADATA_FILE, MODEL_FILE, REMOTE_FILE)


class RegistryError(CanarioError):
    """A model cannot be had. The text says from where, why, and what to do."""


class Fetched(NamedTuple):
    """A model folder, and where it is from; "" for a folder of the caller's."""

    folder: Path
    origin: str


@contextmanager
def fetched(source: str, *, sha256: str | None = None, like: Path | None = None) -> Iterator[Fetched]:
    """The model folder at `source`, as long as the block lasts.

    Args:
        sha256: of the archive at an address.
        like: model folder of the same features and classes, for a model of MLflow that has no model.json.

    Raises:
        RegistryError: it cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="canario-model-") as name:
        folder = Path(name)
        if source.startswith(ADDRESSES):
            yield Fetched(_of_address(source, sha256, folder), f"from {source}, sha256 {sha256}")
        elif source.startswith(MLFLOW):
            yield _of_mlflow(source.removeprefix(MLFLOW), like, folder)
        elif Path(source).is_dir():
            yield Fetched(Path(source), "")
        else:
            raise RegistryError(f"{source}: there is no such folder, and it is no address and no mlflow:...")


def _of_address(url: str, sha256: str | None, folder: Path) -> Path:
    if sha256 is None:
        raise RegistryError(
            f"{url}: say --sha256, that of the archive: whoever has the address could change it"
        )
    archive = folder / "archive"
    digest, size = hashlib.sha256(), 0
    try:
        with requests.get(url, stream=True, timeout=SECONDS) as response, archive.open("wb") as file:
            response.raise_for_status()
            for part in response.iter_content(2**20):
                size += len(part)
                if size > LARGEST_BYTES:
                    raise RegistryError(f"{url}: is larger than {LARGEST_BYTES // 2**30} GiB")
                digest.update(part)
                file.write(part)
    except (requests.RequestException, OSError) as error:
        raise RegistryError(f"{url}: cannot be fetched: {error}") from error
    if digest.hexdigest() != sha256.lower():
        raise RegistryError(f"{url}: its sha256 is {digest.hexdigest()}, not {sha256}: nothing was changed")
    return _unpacked(url, archive, folder / "model")


def _unpacked(url: str, archive: Path, folder: Path) -> Path:
    """The files of a model folder in an archive, and no others, whatever their place in it."""
    folder.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                if member.isfile() and name in FILES:
                    if (folder / name).exists():
                        raise RegistryError(f"{url}: has two files {name}; pack one model folder")
                    if member.size > LARGEST_BYTES:
                        raise RegistryError(f"{url}: {name} is larger than {LARGEST_BYTES // 2**30} GiB")
                    content = tar.extractfile(member)
                    with (folder / name).open("wb") as file:
                        while content and (part := content.read(2**20)):
                            file.write(part)
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise RegistryError(f"{url}: is no tar archive, or not all of one") from error
    if not (folder / METADATA_FILE).is_file():
        raise RegistryError(f"{url}: has no {METADATA_FILE} in it: pack a folder of `./canario export`")
    return folder


def _of_mlflow(uri: str, like: Path | None, folder: Path) -> Fetched:
    if not uri.startswith(("models:/", "runs:/")):
        raise RegistryError(
            f"mlflow:{uri}: say mlflow:models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH"
        )
    try:
        import mlflow.artifacts  # type: ignore[import-not-found] # noqa: PLC0415 - an extra
        from mlflow.exceptions import MlflowException  # type: ignore[import-not-found] # noqa: PLC0415
        from mlflow.tracking import MlflowClient  # type: ignore[import-not-found] # noqa: PLC0415
    except ImportError as error:
        raise RegistryError(
            "MLflow is missing: `pip install -r locks/mlflow.txt`, and MLFLOW_TRACKING_URI says where it is"
        ) from error
    try:
        name, version, pinned = _resolved(uri, MlflowClient())
        mlflow.artifacts.download_artifacts(artifact_uri=pinned, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        raise RegistryError(f"mlflow:{uri}: {error}") from error
    origin = f"from {MLFLOW}{uri}, which is {pinned}"
    found = sorted(folder.rglob(METADATA_FILE), key=lambda path: len(path.parts))
    if found:
        return Fetched(found[0].parent, origin)
    return Fetched(_onnx_flavour(folder, like, name, version, pinned), origin)


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


class _MlModel(BaseModel):
    """Of a model's MLmodel, what is read here."""

    flavors: dict[str, Any]


def _onnx_flavour(folder: Path, like: Path | None, name: str, version: str, pinned: str) -> Path:
    """A model folder of a model of the flavour onnx, with the features and classes of `like`."""
    described = sorted(folder.rglob("MLmodel"), key=lambda path: len(path.parts))
    if not described:
        raise RegistryError(
            f"{pinned}: has neither {METADATA_FILE} nor MLmodel: log a model folder as artifacts"
        )
    try:
        flavours = load_yaml(described[0], _MlModel).flavors
        data = flavours.get("onnx", {}).get("data")
    except (ConfigError, AttributeError) as error:
        raise RegistryError(f"{pinned}: {error}") from error
    if not data:
        raise RegistryError(
            f"{pinned}: has the flavours {', '.join(flavours)}, and not onnx: where it is trained, run "
            "`./canario export`, and mlflow.log_artifacts the folder that it makes"
        )
    if like is None:
        raise RegistryError(f"{pinned}: say --like FOLDER, a model of the same features and classes")
    file = (described[0].parent / str(data)).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise RegistryError(f"{pinned}: its MLmodel names a file outside of it: {data}")
    try:
        onnx, told = file.read_bytes(), json.loads((like / METADATA_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise RegistryError(f"{pinned}: {error}") from error
    told |= {"name": name, "version": version, "sha256": hashlib.sha256(onnx).hexdigest()}
    told |= {"training": {"mlflow": pinned}, "parity": {}}
    made = folder / "canario"
    made.mkdir()
    (made / MODEL_FILE).write_bytes(onnx)
    (made / METADATA_FILE).write_text(json.dumps(told, indent=2), encoding="utf-8")
    return made

"""Where a model comes from: a folder, an address with its sha256, or an MLflow registry.

    models/fraud-3                          a folder, as it is
    https://host/fraud-3.tar.gz             an archive of such a folder; its sha256 must be told
    mlflow:models:/fraud@challenger         what the alias means now; also models:/fraud/3 and runs:/ID/PATH

What is fetched is resolved once: the version that an alias meant stands in the note of the change, and the
folder is copied, so that nothing changes beneath a rollout. What MLflow may hold: flags.mlflow_registry.
"""

import hashlib
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import requests

from common.model_store import METADATA_FILE, MODEL_FILE, REMOTE_FILE
from flags import mlflow_registry
from flags.mlflow_registry import Export, RegistryError

ADDRESSES = ("https://", "http://")
MLFLOW = "mlflow:"
SECONDS = 30.0  # without a byte
LARGEST_BYTES = 4 * 2**30
FILES = (METADATA_FILE, MODEL_FILE, REMOTE_FILE)


class Fetched(NamedTuple):
    """A model folder, and where it is from; "" for a folder of the caller's."""

    folder: Path
    origin: str


@contextmanager
def fetched(
    source: str,
    *,
    sha256: str | None = None,
    like: Path | None = None,
    export: Export = Export(),  # noqa: B008 - it is a tuple
) -> Iterator[Fetched]:
    """The model folder at `source`, as long as the block lasts.

    Args:
        sha256: of the archive at an address.
        like: model folder of the same features and classes, for MLflow's flavour onnx.
        export: how a model of MLflow's that is a Python object is exported.

    Raises:
        RegistryError: it cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="canario-model-") as name:
        folder = Path(name)
        if source.startswith(ADDRESSES):
            yield Fetched(_of_address(source, sha256, folder), f"from {source}, sha256 {sha256}")
        elif source.startswith(MLFLOW):
            made, pinned = mlflow_registry.fetch(source.removeprefix(MLFLOW), folder, like, export)
            yield Fetched(made, f"from {source}, which is {pinned}")
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

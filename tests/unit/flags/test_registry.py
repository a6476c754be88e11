"""Where models come from: addresses with their sha256, and what is in no archive of a model."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from flags.cli.models import models
from flags.mlflow_registry import RegistryError
from flags.registry import fetched
from tests.unit.common.model_folder import model


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and logs nothing."""

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An address, and the folder that is there."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def pack(archive: Path, **files: bytes) -> str:
    """Write a tar archive of files by their names, `__` for a slash and `_` for a dot; its sha256."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return hashlib.sha256(archive.read_bytes()).hexdigest()


def test_an_archive_gives_the_model_folder_in_it(served: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = served
    artifact = model(tmp_path / "a", "fraud")
    with tarfile.open(folder / "a.tgz", "w:gz") as tar:
        tar.add(artifact, arcname="x/fraud-3")
    sha256 = hashlib.sha256((folder / "a.tgz").read_bytes()).hexdigest()
    with fetched(f"{url}/a.tgz", sha256=sha256) as found:
        assert {each.name: each.read_bytes() for each in found.folder.iterdir()} == {
            each.name: each.read_bytes() for each in artifact.iterdir()
        }
        assert sha256 in found.origin
        there = found.folder
    assert not there.exists()


def test_another_archive_than_was_meant_is_refused(served: tuple[str, Path]) -> None:
    url, folder = served
    sha256 = pack(folder / "a.tgz", model_json=b"{}")
    with (
        pytest.raises(RegistryError, match=f"is {sha256}, not {'0' * 64}"),
        fetched(f"{url}/a.tgz", sha256="0" * 64),
    ):
        pass


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"other_txt": b""}, "has no model.json"),
        ({"a__model_json": b"{}", "b__model_json": b"{}"}, "two files model.json"),
    ],
)
def test_an_archive_of_something_else_is_refused(
    served: tuple[str, Path], files: dict[str, bytes], told: str
) -> None:
    url, folder = served
    sha256 = pack(folder / "a.tgz", **files)
    with pytest.raises(RegistryError, match=told), fetched(f"{url}/a.tgz", sha256=sha256):
        pass


def test_names_in_an_archive_lead_nowhere(served: tuple[str, Path]) -> None:
    url, folder = served
    sha256 = pack(folder / "a.tgz", **{"________model_json": b"{}", "________etc__x_onnx": b"x"})
    with fetched(f"{url}/a.tgz", sha256=sha256) as found:
        assert [each.name for each in found.folder.iterdir()] == ["model.json"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + b"x" * 100])
def test_what_is_no_archive_is_refused(served: tuple[str, Path], content: bytes) -> None:
    url, folder = served
    (folder / "a").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    with (
        pytest.raises(RegistryError, match=r"no tar archive|has no model\.json"),
        fetched(f"{url}/a", sha256=sha256),
    ):
        pass


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("http://127.0.0.1:9/a.tgz", "--sha256"),
        ("nowhere", "no such folder"),
        ("mlflow:fraud", "say mlflow:models:/NAME@ALIAS"),
        ("mlflow:models:/fraud@challenger", "locks/mlflow.txt"),
    ],
)
def test_sources_that_cannot_be_had_say_what_to_do(source: str, told: str) -> None:
    with pytest.raises(RegistryError, match=told), fetched(source):
        pass


def test_an_address_that_does_not_answer_is_told() -> None:
    with (
        pytest.raises(RegistryError, match="cannot be fetched"),
        fetched("http://127.0.0.1:9/a.tgz", sha256="0" * 64),
    ):
        pass


def test_the_command_fetches_into_a_folder(tmp_path: Path) -> None:
    artifact, out = model(tmp_path / "a", "fraud"), tmp_path / "out"
    done = CliRunner().invoke(models, ["fetch", str(artifact), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert (out / "model.json").read_bytes() == (artifact / "model.json").read_bytes()
    again = CliRunner().invoke(models, ["fetch", str(artifact), "--out", str(out)])
    assert isinstance(again.exception, RegistryError)
    assert "cannot be made" in str(again.exception)

"""The Kubernetes API server for tests: what is done before anything is downloaded."""

import io
import shutil
from pathlib import Path

import pytest

from stack.paths import Cache
from stack.progress import Progress
from stack.servers.kubernetes import STEPS, api_server, ensure_kubernetes, etcd
from stack.shell import MachineLacks


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    cache, said = Cache(tmp_path), io.StringIO()
    for program in (api_server(cache), etcd(cache)):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch()
    ensure_kubernetes(cache, Progress(STEPS, said))
    assert "there already" in said.getvalue()


@pytest.mark.parametrize(("command", "package"), [("dpkg-source", "dpkg-dev"), ("make", "make")])
def test_what_the_machine_lacks_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, package: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == command else f"/usr/bin/{name}")
    with pytest.raises(MachineLacks, match=f"apt-get install {package}"):
        ensure_kubernetes(Cache(tmp_path), Progress(STEPS, io.StringIO()))
    assert not api_server(Cache(tmp_path)).exists()

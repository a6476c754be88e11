"""Tokens in Secrets: what works is kept, what is new is written, and every refusal is a sentence."""

import base64
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from requests.adapters import BaseAdapter

from common.config import ConfigError
from flags.__main__ import cli
from flags.accounts.in_kubernetes import TokenSecrets
from flags.accounts.vault import Vault

IN_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


class Secrets(BaseAdapter):
    """The API server's side: a PUT at an older version is 409, a name that is not allowed 403."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.held: dict[str, dict[str, Any]] = {
            name: {"metadata": {"name": name, "resourceVersion": "1"}} for name in names
        }
        self.forbidden: set[str] = set()
        self.edits = 0
        """How many more times somebody else is faster."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        assert request.url
        assert request.headers["Authorization"] == "Bearer the-token"
        name = request.url.partition("?")[0].rpartition("/")[2]
        answer = requests.Response()
        answer.status_code, body = self._answer(str(request.method), name, request.body)
        answer._content = json.dumps(body).encode()
        return answer

    def close(self) -> None:
        """Nothing to close."""

    def _answer(self, method: str, name: str, body: Any) -> tuple[int, Mapping[str, Any]]:
        if name in self.forbidden:
            return 403, {"message": "forbidden"}
        if name not in self.held:
            return 404, {"message": "not found"}
        held = self.held[name]["metadata"]
        if method == "PUT":
            changed = json.loads(body)
            if self.edits:
                self.edits -= 1
                held["resourceVersion"] = str(int(held["resourceVersion"]) + 1)
            if changed["metadata"]["resourceVersion"] != held["resourceVersion"]:
                return 409, {"message": "conflict"}
            changed["metadata"]["resourceVersion"] = str(int(held["resourceVersion"]) + 1)
            self.held[name] = changed
        return 200, copy.deepcopy(self.held[name])


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("the-token\n")
    (folder / "namespace").write_text("ml")
    (folder / "ca.crt").write_text("")
    return folder


@pytest.fixture
def server() -> Secrets:
    return Secrets("canario-rollback-token", "canario-board-token")


@pytest.fixture
def secrets(pod: Path, server: Secrets) -> TokenSecrets:
    made = TokenSecrets("canario", pod, IN_POD)
    made._session.mount("https://", server)
    return made


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault(tmp_path / "vault")
    made.path("canario-rollback").write_text("user:abc\n")
    made.path("canario-rollback").with_suffix(".json").write_text('{"id": 1}\n')
    return made


def test_what_was_saved_is_loaded_again(
    secrets: TokenSecrets, server: Secrets, vault: Vault, tmp_path: Path
) -> None:
    assert list(secrets.save(vault)) == ["canario-rollback-token"]
    assert list(secrets.save(vault)) == [], "nothing is written twice"
    other = Vault(tmp_path / "other")
    secrets.load(other)
    assert {path.name: path.read_text() for path in other.folder.iterdir()} == {
        "canario-rollback.token": "user:abc\n",
        "canario-rollback.json": '{"id": 1}\n',
    }


def test_what_is_no_base64_counts_as_none(secrets: TokenSecrets, server: Secrets, tmp_path: Path) -> None:
    server.held["canario-rollback-token"]["data"] = {"unleash.token": "?"}
    empty = Vault(tmp_path / "empty")
    secrets.load(empty)
    assert list(empty.folder.iterdir()) == []


def test_a_second_writer_loses_nothing(secrets: TokenSecrets, server: Secrets, vault: Vault) -> None:
    server.held["canario-rollback-token"]["data"] = {"other": "eA=="}
    server.edits = 2
    assert list(secrets.save(vault)) == ["canario-rollback-token"]
    data = server.held["canario-rollback-token"]["data"]
    assert data["other"] == "eA=="
    assert base64.b64decode(data["unleash.token"]) == b"user:abc\n"


def test_one_who_writes_all_the_time_is_told_of(secrets: TokenSecrets, server: Secrets, vault: Vault) -> None:
    server.edits = 100
    with pytest.raises(ConfigError, match="changed by somebody else again and again"):
        list(secrets.save(vault))


def test_a_right_that_is_missing_is_named(secrets: TokenSecrets, server: Secrets, vault: Vault) -> None:
    server.forbidden = {"canario-rollback-token"}
    with pytest.raises(ConfigError, match=r"get the Secret canario-rollback-token .*\(403\).*the verb get"):
        list(secrets.save(vault))


def test_outside_of_a_pod_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARIO_UNLEASH_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    arguments = ["bootstrap", "--secrets", str(tmp_path / "vault"), "--kubernetes", "canario"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "--kubernetes is for a pod" in result.output

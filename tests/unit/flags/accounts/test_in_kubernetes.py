"""Tokens in Secrets: what works is kept, what is new is written, and every refusal is a sentence."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from flags.__main__ import cli
from flags.accounts.in_kubernetes import TokenSecrets, api_of_pod
from flags.accounts.vault import Vault
from flags.mesh.access import Access
from flags.mesh.errors import Conflict, Forbidden
from flags.mesh.kubernetes import SECRETS, KubernetesApi
from tests.kubernetes.fake_api import ADMIN, FakeApi, serving

ROLLBACK = "canario-rollback-token"


@pytest.fixture
def server() -> FakeApi:
    return FakeApi()


@pytest.fixture
def api(server: FakeApi) -> Iterator[KubernetesApi]:
    """With the empty Secrets of two parts."""
    with serving(server) as url:
        made = KubernetesApi(Access(url, SecretStr(ADMIN), namespace="ml"), "canario-provision")
        for name in (ROLLBACK, "canario-board-token"):
            made.create(SECRETS, "ml", {"metadata": {"name": name}})
        yield made


@pytest.fixture
def secrets(api: KubernetesApi) -> TokenSecrets:
    return TokenSecrets("canario", api)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    made = Vault(tmp_path / "vault")
    made.path("canario-rollback").write_text("user:abc\n")
    made.path("canario-rollback").with_suffix(".json").write_text('{"id": 1}\n')
    return made


def written_by_another(api: KubernetesApi, **data: str) -> None:
    secret = api.get(SECRETS, "ml", ROLLBACK)
    api.replace(SECRETS, "ml", ROLLBACK, {**secret, "data": {**(secret.get("data") or {}), **data}})


def test_what_was_saved_is_loaded_again(secrets: TokenSecrets, vault: Vault, tmp_path: Path) -> None:
    assert list(secrets.save(vault)) == [ROLLBACK]
    assert list(secrets.save(vault)) == [], "nothing is written twice"
    other = Vault(tmp_path / "other")
    secrets.load(other)
    assert {path.name: path.read_text() for path in other.folder.iterdir()} == {
        "canario-rollback.token": "user:abc\n",
        "canario-rollback.json": '{"id": 1}\n',
    }


def test_what_is_no_base64_counts_as_none(secrets: TokenSecrets, api: KubernetesApi, tmp_path: Path) -> None:
    written_by_another(api, **{"unleash.token": "?"})
    empty = Vault(tmp_path / "empty")
    secrets.load(empty)
    assert list(empty.folder.iterdir()) == []


def test_a_second_writer_loses_nothing(
    secrets: TokenSecrets, server: FakeApi, api: KubernetesApi, vault: Vault
) -> None:
    server.before_update = lambda: written_by_another(api, other="eA==")
    assert list(secrets.save(vault)) == [ROLLBACK]
    data: dict[str, Any] = api.get(SECRETS, "ml", ROLLBACK)["data"]
    assert data["other"] == "eA=="
    assert base64.b64decode(data["unleash.token"]) == b"user:abc\n"


def test_one_who_writes_all_the_time_is_told_of(
    secrets: TokenSecrets, server: FakeApi, api: KubernetesApi, vault: Vault
) -> None:
    times = iter(range(100))

    def again() -> None:
        written_by_another(api, other=base64.b64encode(bytes([next(times)])).decode())
        server.before_update = again

    server.before_update = again
    with pytest.raises(Conflict, match="changed by somebody else again and again"):
        list(secrets.save(vault))


def test_a_right_that_is_missing_is_named(secrets: TokenSecrets, server: FakeApi, vault: Vault) -> None:
    server.tokens[ADMIN] = {("get", "secrets")}
    with pytest.raises(Forbidden, match=rf"update secrets {ROLLBACK} .*\(403\).*the verb update on secrets"):
        list(secrets.save(vault))


def test_in_a_pod_it_acts_as_the_pods_account(tmp_path: Path) -> None:
    for name, text in (("token", "the-token\n"), ("namespace", "ml"), ("ca.crt", "")):
        (tmp_path / name).write_text(text)
    access = api_of_pod(tmp_path, {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}).access
    assert (access.url, access.namespace) == ("https://10.96.0.1:443", "ml")
    assert access.token is not None
    assert access.token.get_secret_value() == "the-token"


def test_outside_of_a_pod_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARIO_UNLEASH_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    arguments = ["bootstrap", "--secrets", str(tmp_path / "vault"), "--kubernetes", "canario"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert "--kubernetes is for a pod" in result.output

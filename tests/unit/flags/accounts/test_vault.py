"""The folder of tokens: modes, whole files, and what is refused."""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from common.config import ConfigError
from flags.accounts.vault import Kept, Label, Vault
from flags.unleash.models import NewToken

ENDS = datetime(2027, 11, 23, 5, 51, 48, tzinfo=UTC)
TOKEN = NewToken(id=7, description="d", expires_at=ENDS, created_at=ENDS, secret="user:abc")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_folder_and_files_are_for_the_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        vault = Vault(tmp_path / "a" / "secrets")
        vault.write("canario-flags", TOKEN)
    finally:
        os.umask(before)
    assert mode(vault.folder) == 0o700
    assert {path.name: mode(path) for path in vault.folder.iterdir()} == {
        "canario-flags.token": 0o600,
        "canario-flags.json": 0o600,
    }


def test_what_was_written_is_read(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets")
    vault.write("canario-flags", TOKEN)
    assert vault.path("canario-flags").read_text() == "user:abc\n"
    assert vault.read("canario-flags") == Kept(SecretStr("user:abc"), Label(id=7, expires_at=ENDS))
    assert "abc" not in repr(vault.read("canario-flags"))
    assert "abc" not in (vault.folder / "canario-flags.json").read_text()
    assert vault.read("canario-rollback") is None


def test_a_file_that_was_open_to_others_is_not_after_writing(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets")
    vault.path("canario-flags").write_text("user:old")
    vault.path("canario-flags").chmod(0o644)
    vault.write("canario-flags", TOKEN)
    assert mode(vault.path("canario-flags")) == 0o600


@pytest.mark.parametrize("open_mode", [0o755, 0o750, 0o701])
def test_a_folder_open_to_others_is_refused_and_left_alone(tmp_path: Path, open_mode: int) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    folder.chmod(open_mode)
    with pytest.raises(ConfigError, match=f"chmod 700 {folder}"):
        Vault(folder)
    assert mode(folder) == open_mode


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("")
    with pytest.raises(ConfigError, match="secrets: cannot be made: File exists"):
        Vault(tmp_path / "secrets")


def test_a_failed_write_leaves_the_old_token_and_no_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path / "secrets")
    vault.write("canario-flags", TOKEN)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        vault.write("canario-flags", TOKEN.model_copy(update={"secret": "user:new"}))
    assert vault.path("canario-flags").read_text() == "user:abc\n"
    assert sorted(path.name for path in vault.folder.iterdir()) == [
        "canario-flags.json",
        "canario-flags.token",
    ]


def test_a_token_that_is_a_folder_is_told(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "secrets")
    vault.path("canario-flags").mkdir()
    with pytest.raises(ConfigError, match=r"canario-flags\.token: cannot be read: Is a directory"):
        vault.read("canario-flags")

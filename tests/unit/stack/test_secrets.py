"""Secrets are random, private, and stay."""

import re
import string
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.secrets import MAKERS, Secrets, sdk_token, strong_password


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    made = Secrets(tmp_path / "secrets")
    made.ensure()
    return made


def test_nobody_else_can_read_them(secrets: Secrets) -> None:
    assert secrets.folder.stat().st_mode & 0o777 == 0o700
    files = list(secrets.folder.iterdir())
    assert {file.name for file in files} == set(MAKERS)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_a_folder_that_others_can_enter_is_closed(secrets: Secrets) -> None:
    secrets.folder.chmod(0o755)
    secrets.ensure()
    assert secrets.folder.stat().st_mode & 0o777 == 0o700


def test_what_is_there_stays_and_what_is_missing_is_made(secrets: Secrets) -> None:
    before = {name: secrets.read(name) for name in MAKERS}
    secrets.path("unleash-sdk.token").unlink()
    secrets.ensure()
    after = {name: secrets.read(name) for name in MAKERS}
    assert [name for name in MAKERS if before[name] != after[name]] == ["unleash-sdk.token"]


def test_a_half_written_secret_of_a_killed_run_does_not_count(secrets: Secrets) -> None:
    secrets.path("unleash-sdk.token").rename(secrets.path(".unleash-sdk.token"))
    secrets.ensure()
    assert len(secrets.read("unleash-sdk.token")) == len(sdk_token())
    assert not secrets.path(".unleash-sdk.token").exists()


def test_a_missing_secret_is_an_error_that_names_those_there_are(secrets: Secrets) -> None:
    with pytest.raises(StackError, match=r"nonsense cannot be read.*service-admin\.token"):
        secrets.read("nonsense")


def test_passwords_are_as_unleash_and_psql_want_them() -> None:
    for _ in range(200):
        password = strong_password()
        assert len(password) >= 20
        for kind in (string.ascii_uppercase, string.ascii_lowercase, string.digits, "!-_."):
            assert set(password) & set(kind)
        assert re.fullmatch(r"[A-Za-z0-9!_.-]+", password)


def test_passwords_differ() -> None:
    assert len({strong_password() for _ in range(50)}) == 50

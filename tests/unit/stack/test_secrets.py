"""Secrets are random, private, and stay."""

import json
import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flags.accounts import bootstrap
from flags.accounts.users import USERS
from stack.secrets import MAKERS, PAT_USERS, RENEW_BEFORE, Secrets, sdk_token, strong_password
from stack.shell import StackError


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


def test_tokens_are_due_that_are_missing_or_end_soon(secrets: Secrets) -> None:
    assert secrets.tokens_are_due(), "there are none"
    for user in PAT_USERS:
        secrets.token(user).write_text("user:x")
        ends = datetime.now(UTC) + RENEW_BEFORE + timedelta(hours=1)
        label = {"id": 1, "expires_at": ends.isoformat()}
        secrets.token(user).with_suffix(".json").write_text(json.dumps(label))
    assert not secrets.tokens_are_due()
    one = secrets.token(PAT_USERS[-1]).with_suffix(".json")
    for text in ("", "[]", '{"expires_at": 1}', json.dumps({"expires_at": "2026-01-01T00:00:00Z"})):
        one.write_text(text)
        assert secrets.tokens_are_due(), text
    one.unlink()
    assert secrets.tokens_are_due()


def test_up_and_bootstrap_agree_on_what_soon_is() -> None:
    assert RENEW_BEFORE == bootstrap.RENEW_BEFORE
    assert {user.username for user in USERS} == set(PAT_USERS)

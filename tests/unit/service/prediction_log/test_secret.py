"""Users in the log: hashes that stay the same as long as the secret does."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from service.prediction_log.log import user_key, user_keys
from service.prediction_log.secret import SALT_FILE, secret
from service.settings import Settings


def changed(settings: Settings, **changes: object) -> Settings:
    return Settings.model_validate(dict(settings) | changes)


def test_a_key_depends_on_user_and_salt_and_tells_neither() -> None:
    key = user_key("ada", b"salt")
    assert key == user_key("ada", b"salt")
    assert len({key, user_key("bob", b"salt"), user_key("ada", b"pepper")}) == 3
    assert len(key) == 32
    assert user_key("ä" * 256, b"salt") != user_key("ä" * 255, b"salt")


def test_modes() -> None:
    assert user_keys("plain", b"s")("ada") == "ada"
    assert user_keys("off", b"s")("ada") is None
    assert user_keys("hashed", b"s")("ada") == user_key("ada", b"s")


def test_the_salt_of_the_settings_counts_and_is_not_kept(settings: Settings) -> None:
    one = secret(changed(settings, log_salt=SecretStr("a" * 16)))
    assert one == secret(changed(settings, log_salt=SecretStr("a" * 16)))
    assert one != secret(changed(settings, log_salt=SecretStr("b" * 200)))
    assert len(one) == 32
    assert not (settings.state_dir / SALT_FILE).exists()


def test_without_a_salt_one_is_kept_for_the_next_start(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: secret(settings), range(32)))
    assert len(found) == 1
    path = settings.state_dir / SALT_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in settings.state_dir.iterdir()] == [SALT_FILE]
    path.unlink()
    assert secret(settings) not in found


@pytest.mark.parametrize("trouble", ["short", "folder", "nowhere"])
def test_a_salt_that_cannot_be_kept_is_no_reason_not_to_serve(
    settings: Settings, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    if trouble == "nowhere":
        settings = changed(settings, state_dir="/proc/nowhere")
    else:
        settings.state_dir.mkdir()
        path = settings.state_dir / SALT_FILE
        path.mkdir() if trouble == "folder" else path.write_text("short", encoding="ascii")
    assert len(secret(settings)) == 32
    assert "CANARIO_LOG_SALT" in caplog.text

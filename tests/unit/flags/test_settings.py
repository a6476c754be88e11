"""Settings from the environment."""

from datetime import timedelta
from pathlib import Path

import pytest

from common.config import ConfigError, load_settings
from flags.settings import BootstrapSettings, FlagsSettings

TOKEN = "user:secret-of-a-test"


def test_defaults_and_secrets(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    settings = load_settings(
        FlagsSettings,
        {"CANARIO_UNLEASH_URL": "http://h:4242/", "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(file)},
    )
    assert settings.unleash_url == "http://h:4242"
    assert settings.unleash_admin_token.get_secret_value() == TOKEN
    assert (settings.unleash_project, settings.unleash_environment) == ("default", "production")
    assert TOKEN not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("127.0.0.1:4242", "is no address like http://127.0.0.1:4242"),
        ("ftp://h", "is no address"),
        ("http://", "is no address"),
        ("http://h:99999", "Port out of range"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://eve:pw-of-eve@h", "holds a user name"),
        ("http://h/api", "ends in /api"),
        ("http://h/unleash/api/", "ends in /api"),
        ("http://h/?a=b", "ends in ? or #"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(FlagsSettings, {"CANARIO_UNLEASH_URL": url, "CANARIO_UNLEASH_ADMIN_TOKEN": TOKEN})
    assert "CANARIO_UNLEASH_URL: " in str(caught.value)
    assert fault in str(caught.value)
    assert "pw-of-eve" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4242", "https://unleash.example/path", "http://[::1]:80"])
def test_an_address_that_can_be_used(url: str) -> None:
    assert load_settings(BootstrapSettings, {"CANARIO_UNLEASH_URL": url}).unleash_url == url


def test_all_that_is_missing_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(FlagsSettings, {})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "CANARIO_UNLEASH_URL",
        "CANARIO_UNLEASH_ADMIN_TOKEN",
    ]


@pytest.mark.parametrize(
    ("text", "lease"), [("off", None), ("15m", timedelta(minutes=15)), ("", timedelta(minutes=15))]
)
def test_a_lease_has_a_length_or_is_off(text: str, lease: timedelta | None) -> None:
    told = {"CANARIO_UNLEASH_URL": "http://h", "CANARIO_UNLEASH_ADMIN_TOKEN": TOKEN, "CANARIO_LEASE": text}
    assert load_settings(FlagsSettings, told).lease == lease


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("LEASE", "15", "is no duration; write a number and a unit"),
        ("LEASE", "0s", "lasts no time at all"),
        ("RUNBOOK_URL", "javascript:alert(1)", "is no address of a page"),
        ("BOARD_URL", "boards.example", "is no address of a page"),
    ],
)
def test_what_cannot_be_used_is_named(name: str, value: str, fault: str) -> None:
    told = {"CANARIO_UNLEASH_URL": "http://h", "CANARIO_UNLEASH_ADMIN_TOKEN": TOKEN, f"CANARIO_{name}": value}
    with pytest.raises(ConfigError, match=f"CANARIO_{name}: .*{fault}"):
        load_settings(FlagsSettings, told)

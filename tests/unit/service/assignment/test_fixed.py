"""CANARIO_CANARY_PERCENT: sticky, as Unleash would draw it, and never beside a flag."""

from pathlib import Path

import pytest

from common.config import ConfigError, load_settings
from common.names import Model
from service.assignment.assignment import Reason
from service.assignment.fixed import FixedShare
from service.settings import Settings

USERS = [f"user-{number}" for number in range(2000)]
UNLEASH = {"CANARIO_UNLEASH_URL": "http://127.0.0.1:4242", "CANARIO_UNLEASH_SDK_TOKEN": "*:production.x"}


def challenged(percent: int) -> set[str]:
    share = FixedShare(percent)
    return {user for user in USERS if share.assign(user, {}).model is Model.CHALLENGER}


def test_so_many_percent_of_the_users_always_the_same() -> None:
    assert challenged(30) == challenged(30)
    assert len(challenged(30)) == pytest.approx(600, abs=80)
    assert (challenged(0), challenged(100)) == (set(), {*USERS})


def test_who_has_the_challenger_keeps_it_when_the_share_rises() -> None:
    assert challenged(5) < challenged(30) < challenged(70)


def test_it_says_who_decided_and_copies_nothing() -> None:
    share = FixedShare(100)
    assert share.assign("ada", {}).reason is Reason.CANARY_PERCENT
    assert not share.shadowed("ada", {})


def settings(tmp_path: Path, **variables: str) -> Settings:
    return load_settings(Settings, {"CANARIO_CHAMPION": str(tmp_path), **variables})


def test_it_needs_no_unleash(tmp_path: Path) -> None:
    assert settings(tmp_path, CANARIO_CANARY_PERCENT="30").canary_percent == 30


@pytest.mark.parametrize("name", UNLEASH)
def test_beside_a_flag_it_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="both say who gets the challenger: unset one"):
        settings(tmp_path, CANARIO_CANARY_PERCENT="0", **{name: UNLEASH[name]})


@pytest.mark.parametrize("name", UNLEASH)
def test_without_it_unleash_is_required(tmp_path: Path, name: str) -> None:
    others = {key: value for key, value in UNLEASH.items() if key != name}
    with pytest.raises(ConfigError, match=f"{name}: Field required"):
        settings(tmp_path, **others)

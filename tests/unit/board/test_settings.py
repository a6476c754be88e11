"""Who may read follows from where it listens."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from board.__main__ import main
from board.settings import BoardSettings
from common.config import ConfigError, load_settings

GIVEN = {
    "CANARIO_UNLEASH_URL": "http://127.0.0.1:4242",
    "CANARIO_UNLEASH_ADMIN_TOKEN": "user:x",
    "CANARIO_PROMETHEUS_URL": "http://127.0.0.1:9090",
}
TOKEN = "0123456789012345678901234"


@pytest.mark.parametrize("bind", ["127.0.0.1:8100", "127.0.0.9:1", "localhost:8100", "[::1]:8100"])
def test_without_a_token_this_machine_alone_may_read(bind: str) -> None:
    assert load_settings(BoardSettings, GIVEN | {"CANARIO_BOARD_BIND": bind}).is_local


@pytest.mark.parametrize("bind", ["0.0.0.0:8100", "[::]:8100", "10.1.2.3:8100", "board.example:8100"])
def test_elsewhere_it_takes_a_token(bind: str) -> None:
    given = GIVEN | {"CANARIO_BOARD_BIND": bind}
    with pytest.raises(ConfigError, match=r"there is no CANARIO_BOARD_TOKEN: set it \(or its _FILE\)"):
        load_settings(BoardSettings, given)
    assert not load_settings(BoardSettings, given | {"CANARIO_BOARD_TOKEN": TOKEN}).is_local


def test_a_token_that_can_be_guessed_is_refused_and_not_told() -> None:
    with pytest.raises(ConfigError, match="less than 20 characters") as caught:
        load_settings(BoardSettings, GIVEN | {"CANARIO_BOARD_TOKEN": "secret"})
    assert "secret'" not in str(caught.value)


def test_check_says_where_and_for_whom() -> None:
    result = CliRunner(env=GIVEN).invoke(main, ["--check"])
    assert (result.exit_code, result.output) == (
        0,
        "the board is at http://127.0.0.1:8100, from this machine only, because there is no token\n",
    )
    result = CliRunner(env=GIVEN | {"CANARIO_BOARD_TOKEN": TOKEN}).invoke(main, ["--check"])
    assert "with the token" in result.output
    assert TOKEN not in result.output


def test_faults_are_told_with_exit_code_2() -> None:
    result = CliRunner(env=GIVEN | {"CANARIO_BOARD_BIND": "0.0.0.0:8100"}).invoke(main, ["--check"])
    assert result.exit_code == 2
    assert "error: " in result.output
    result = CliRunner(env=GIVEN | {"CANARIO_GUARDRAILS": "/no/such/file"}).invoke(main, ["--check"])
    assert (result.exit_code, "cannot be read" in result.output) == (2, True)


def test_one_file_that_does_not_fit_is_told_and_keeps_no_other_from_being_shown(
    monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path], environment: dict[str, str]
) -> None:
    write("ranker")
    write("search", "name: search\n")
    started: list[str] = []
    monkeypatch.setattr("os.execv", lambda program, _: started.append(program))
    result = CliRunner(env=environment).invoke(main, [])
    assert "search/rollout.yaml:1: flag: Field required" in result.output
    assert "the board is at http://127.0.0.1:8100" in result.output
    assert (result.exit_code, len(started)) == (0, 1)
    assert CliRunner(env=environment).invoke(main, ["--check"]).exit_code == 2


def test_help_names_every_setting() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    for name in BoardSettings.model_fields:
        assert f"CANARIO_{name.upper()}" in text

"""The command line: what it says and how it ends."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stack.cli import cli
from stack.paths import Home
from stack.site import PROGRAMS, Site


@pytest.fixture
def at_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARIO_HOME", str(home.root))
    for name in ("TRAFFIC", "ROLLBACK_EVERY", "UNLEASH_VERSION", "UNLEASH_PORT", "CONFIRM"):
        monkeypatch.delenv(name, raising=False)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


def test_help_names_exit_codes_and_commands() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for word in ("Exit codes", "130", "CANARIO_HOME", "up", "down", "status", "logs", "exec", "clean"):
        assert word in result.output


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--port", "mysql=3306"], "give NAME=PORT"),
        (["up", "--port", "unleash=0"], "give NAME=PORT"),
        (["up", "--port", "unleash"], "give NAME=PORT"),
        (["up", "--only", "mysql"], "mysql"),
        (["up", "--parent-death"], "goes with --foreground"),
        (["program", "start", "mysql"], "mysql"),
        (["exec"], "COMMAND"),
    ],
)
def test_wrong_usage_is_code_2(words: list[str], said: str) -> None:
    result = invoke(*words)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.usefixtures("at_home")
@pytest.mark.parametrize("words", [["status"], ["logs"], ["exec", "true"], ["program", "stop", "unleash"]])
def test_without_an_up_there_is_nothing_to_ask(words: list[str]) -> None:
    result = invoke(*words)
    assert result.exit_code == 1
    assert "nothing was started here yet: `./canario up` does" in result.output


@pytest.mark.usefixtures("at_home")
def test_down_without_an_up_is_no_error() -> None:
    result = invoke("down")
    assert result.exit_code == 0
    assert "nothing was running" in result.output


@pytest.mark.usefixtures("at_home")
def test_status_of_a_stack_that_does_not_run_is_code_1(site: Site) -> None:
    site.settings.write(site.home.settings)
    site.home.ports.write_text('{"postgres": 5433, "unleash": 4242, "service": 8000, "prometheus": 9090}')
    result = invoke("status")
    assert result.exit_code == 1
    assert result.output.count("stopped") == len(PROGRAMS)
    assert "nothing runs: `./canario up` starts it" in result.output


@pytest.mark.usefixtures("at_home")
def test_logs_have_the_name_of_their_program(site: Site) -> None:
    site.settings.write(site.home.settings)
    site.home.log("unleash").write_text("one\ntwo\n")
    result = invoke("logs", "unleash", "-n", "1")
    assert result.output == "unleash    | two\n"
    assert invoke("logs", "mysql").exit_code == 2


@pytest.mark.usefixtures("at_home")
def test_clean_asks_first(site: Site) -> None:
    refused = invoke("clean")
    assert refused.exit_code == 4
    assert str(site.home.secrets) in refused.output
    assert site.home.secrets.exists()
    assert invoke("clean", "--yes").exit_code == 0
    assert not site.home.root.exists()
    assert "nothing to remove" in invoke("clean").output


def test_home_is_an_option_too(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets CANARIO_HOME, which monkeypatch puts back."""
    monkeypatch.setenv("CANARIO_HOME", "elsewhere")
    site.settings.write(site.home.settings)
    site.home.log("unleash").write_text("here\n")
    assert "here" in invoke("--home", str(site.home.root), "logs").output
    assert invoke("--home", str(tmp_path / "new"), "logs").exit_code == 1

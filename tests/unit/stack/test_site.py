"""Settings of a stack, and what its programs need."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stack.shell import StackError
from stack.site import PROGRAMS, Settings, default_unleash_version, with_needs


@pytest.mark.parametrize(
    ("only", "programs"),
    [
        (PROGRAMS, PROGRAMS),
        (["unleash"], ("postgres", "unleash")),
        (["service", "unleash"], ("postgres", "unleash", "service")),
        (["prometheus"], ("prometheus",)),
        ([], ()),
    ],
)
def test_programs_bring_what_they_need_in_the_order_of_their_start(
    only: list[str], programs: tuple[str, ...]
) -> None:
    assert with_needs(only) == programs


def test_an_unknown_program_is_an_error() -> None:
    with pytest.raises(StackError, match="no program mysql: there are postgres, unleash"):
        with_needs(["mysql"])


def test_settings_survive_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    settings = Settings(programs=("postgres",), environment={"postgres": {"A": "1"}})
    settings.write(file)
    assert Settings.read(file) == settings


def test_without_an_up_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"`\./canario up`"):
        Settings.read(tmp_path / "settings.json")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"workers": 0}')
    with pytest.raises(StackError, match=r"settings\.json is not usable"):
        Settings.read(file)


@pytest.mark.parametrize("every", ["", "15", "soon", "15s; reboot"])
def test_a_period_is_a_number_with_a_unit(every: str) -> None:
    with pytest.raises(ValidationError):
        Settings(rollback_every=every)


def test_the_version_of_unleash_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEASH_VERSION", "7.6.5")
    assert default_unleash_version() == "7.6.5"
    monkeypatch.setenv("UNLEASH_VERSION", "")
    assert default_unleash_version() == "8.2.0"

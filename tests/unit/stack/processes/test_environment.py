"""What a user sets reaches the program that it is meant for, and nothing is dropped in silence."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from board.settings import BoardSettings
from flags.cli.models import ModelsSettings
from flags.rollout.settings import RolloutJobSettings
from flags.settings import BootstrapSettings, FlagsSettings
from rollback.settings import RollbackSettings
from service.settings import Settings as ServiceSettings
from stack.processes import environment
from stack.processes.environment import EVERY, ONE, OWN, UnknownSetting, chosen
from stack.processes.programs import all_programs
from stack.site import Settings, Site

PROGRAMS: dict[str, tuple[type[BaseModel], ...]] = {
    "service": (ServiceSettings,),
    "rollback": (RollbackSettings,),
    "rollout": (RolloutJobSettings, ModelsSettings),
    "board": (BoardSettings,),
    "flags": (FlagsSettings, BootstrapSettings, ModelsSettings),
}


def fields(program: str) -> set[str]:
    return {name.upper() for model in PROGRAMS[program] for name in model.model_fields}


def given(site: Site, shell: dict[str, str]) -> dict[str, dict[str, str]]:
    """The environments of all programs after an `up` in this shell."""
    settings = Settings(environment=chosen(shell, {}).environment)
    return {each.name: dict(each.environment) for each in all_programs(replace(site, settings=settings))}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_can_be_chosen_or_is_the_stacks_own(program: str) -> None:
    assert fields(program) <= EVERY | ONE.get(program, frozenset()) | OWN


def test_no_name_is_invented_or_stands_twice() -> None:
    every = set[str]().union(*map(fields, PROGRAMS))
    assert EVERY.union(*ONE.values()) <= every
    assert OWN - every <= {"ANALYSIS_LOG"}
    assert not (EVERY | OWN) & frozenset().union(*ONE.values())
    assert not EVERY & OWN
    for program, names in ONE.items():
        assert names <= fields(program)


def test_what_the_stack_sets_is_its_own_or_a_default_that_can_be_chosen(site: Site) -> None:
    set_by_it = {
        name.removeprefix("CANARIO_").replace("_TOKEN_FILE", "_TOKEN")
        for made in (environment.service, environment.rollback, environment.rollout, environment.board)
        for name in made(site)
        if name.startswith("CANARIO_")
    }
    assert set_by_it - OWN == {"LEASE", "BOARD_URL", "WORKERS"}


@pytest.mark.parametrize(
    ("program", "name"), [(program, name) for program, names in ONE.items() for name in sorted(names)]
)
def test_a_setting_of_one_program_reaches_it_and_no_other(site: Site, program: str, name: str) -> None:
    found = given(site, {f"CANARIO_{name}": "/chosen"})
    assert [each for each in found if "/chosen" in found[each].values()] == [program]
    assert found[program][f"CANARIO_{name}"] == "/chosen"


def test_variables_of_opentelemetry_reach_the_service_and_no_other(site: Site) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
        "OTEL_SERVICE_NAME": "shop",
    }
    found = given(site, {**variables, "OTEL_TRACES_SAMPLER": ""})
    assert variables.items() <= found["service"].items()
    assert "OTEL_TRACES_SAMPLER" not in found["service"]
    assert [each for each, made in found.items() if any(name.startswith("OTEL_") for name in made)] == [
        "service"
    ]


@pytest.mark.parametrize("name", sorted(EVERY))
def test_what_all_must_agree_on_reaches_all(site: Site, name: str) -> None:
    found = given(site, {f"CANARIO_{name}": "/chosen"})
    for program in ("service", "rollback", "rollout", "board"):
        assert found[program][f"CANARIO_{name}"] == "/chosen"
    assert f"CANARIO_{name}" not in found["postgres"]


def test_the_rollback_job_judges_by_the_guardrails_that_the_board_shows(site: Site) -> None:
    settings = Settings(environment=chosen({"CANARIO_GUARDRAILS": "mine.yaml"}, {}).environment)
    programs = {each.name: each for each in all_programs(replace(site, settings=settings))}
    assert programs["rollback"].command[-2:] == ("--guardrails", str(Path("mine.yaml").absolute()))


def test_a_secret_may_come_as_a_file(site: Site) -> None:
    found = given(site, {"CANARIO_NOTIFY_URLS_FILE": "urls"})
    assert found["rollback"]["CANARIO_NOTIFY_URLS_FILE"] == str(Path("urls").absolute())


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_the_stack_sets_stays_and_that_is_told(site: Site, name: str) -> None:
    variable = f"CANARIO_{name}"
    assert "chosen" not in str(given(site, {variable: "chosen"}))
    assert chosen({variable: "chosen"}, {}).notes == (
        f"{variable} of your shell is not used: the stack sets it itself",
    )
    assert chosen({variable: "chosen"}, {variable: "chosen"}).notes == (), "as in `./canario shell`"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CANARIO_GUEST_MEMORYMB", "CANARIO_GUEST_MEMORY_MB"),
        ("CANARIO_GUEST_MEMORY", "CANARIO_GUEST_MEMORY_MB"),
        ("CANARIO_NOTIFY_URL", "CANARIO_NOTIFY_URLS"),
        ("CANARIO_TREADS", "CANARIO_THREADS"),
    ],
)
def test_a_name_that_is_almost_a_setting_is_refused(typed: str, meant: str) -> None:
    with pytest.raises(UnknownSetting, match=f"{typed} is no setting; {meant} is"):
        chosen({typed: "512"}, {})


def test_a_name_that_is_like_none_is_told() -> None:
    found = chosen({"CANARIO_ISLANDS": "7", "PATH": "/bin", "CANARIO_HOME": "/x", "CANARIO_TEST_X": "1"}, {})
    assert found.environment == {}
    assert [note.split()[0] for note in found.notes] == ["CANARIO_ISLANDS"]


def test_chosen_secrets_are_for_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    Settings(environment={"rollback": {"CANARIO_NOTIFY_URLS": "slack://a"}}).write(file)
    assert file.stat().st_mode & 0o777 == 0o600

"""`./canario rollout` as a person calls it: words, exit codes, JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from analysis.options import parse_stage
from flags import __main__ as main
from flags.canary.marks import APPROVE, BEGIN, PAUSE, RESUME, ROLLED_BACK
from flags.rollout import situation
from flags.rollout.situation import DeployedModels
from tests.unit.flags.fake_unleash import FakeUnleash, gradual

Run = Callable[..., Result]
PLAN = """
begin: by_itself
stages: [{share: 5}, {share: 25, approval: true}, {share: 100}]
"""


@pytest.fixture
def run(unleash: FakeUnleash, tmp_path: Path) -> Run:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    env = {
        "CANARIO_UNLEASH_URL": unleash.url,
        "CANARIO_UNLEASH_ADMIN_TOKEN": "user:flags",
        "CANARIO_ROLLOUT_PLAN": str(tmp_path / "plan.yaml"),
    }

    def run(*words: str) -> Result:
        return CliRunner(env=env).invoke(main.cli, ["rollout", *words])

    return run


def test_status_tells_stage_next_and_gates(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(5, constraints=[]))
    told = run("status")
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0].startswith("stage       5%, 1 of 3 (5% -> 25% -> 100%), since 2026-")
    assert lines[1].startswith("next        25%, which waits for prometheus, approval")
    assert "lease       none" in told.stdout
    assert any(line.startswith("prometheus  waits") for line in lines)
    assert "./canario rollout approve 25%" in told.stdout
    assert "ada (a person)" in told.stdout


def test_status_as_json(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(7))
    fields = json.loads(run("status", "--json").stdout)
    assert fields["stage"] | {"began": ""} == {
        "name": "7%",
        "share": 7,
        "rules": "5%",
        "planned": False,
        "began": "",
        "stages": ["5%", "25%", "100%"],
    }
    assert (fields["step"]["kind"], fields["step"]["to"]) == ("wait", "25%")
    assert {gate["name"]: gate["holds"] for gate in fields["gates"]} == {
        "time": True,
        "prometheus": False,
        "approval": False,
    }
    assert fields["lease"] is None
    assert fields["changes"][-1]["who"] == "ada"


def test_status_tells_why_it_was_rolled_back(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(5))
    unleash.save()
    assert json.loads(run("status", "--json").stdout)["last_rollback"] is None
    unleash.here()["enabled"] = False
    unleash.log("feature-environment-disabled", "canary", "canario-rollback", "production")
    assert json.loads(run("status", "--json").stdout)["last_rollback"]["reason"] is None
    assert "The rollback job left no mark that says why" in run("status").stdout
    unleash.log(
        "feature-tagged", "canary", "canario-rollback", data={"type": ROLLED_BACK, "value": "errors: 0.5"}
    )
    told = json.loads(run("status", "--json").stdout)["last_rollback"]
    assert (told["reason"], told["what"], told["users_after"]) == ("errors: 0.5", "turned off", 0)
    assert "because of errors: 0.5: everybody has the champion. No version is blocked." in " ".join(
        run("status").stdout.split()
    )


def test_exit_codes_of_advance(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(0))
    begun = run("advance")
    assert (begun.exit_code, begun.stdout) == (0, "not begun -> 5%: 5% of the users get the challenger\n")
    assert run("advance").exit_code == 11
    assert run("pause", "--reason", "holidays").exit_code == 0
    refused = run("advance", "--json")
    assert refused.exit_code == 12
    assert "holidays" in json.loads(refused.stdout)["step"]["sentence"]
    unleash.flags.clear()
    assert run("advance").exit_code == 12


def test_pause_and_resume_are_marks_on_the_flags_page(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(5))
    run("pause", "--reason", "holidays")
    assert {"type": PAUSE, "value": "holidays"} in unleash.tags["canary"]
    assert "it is paused (holidays, canario-flags at" in run("status").stdout
    assert run("resume", "--reason", "back again").exit_code == 0
    assert [tag["type"] for tag in unleash.tags["canary"]] == [RESUME]


def test_abort_takes_it_from_everybody_and_stays_until_resume(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(25))
    told = run("abort", "--reason", "it looks odd")
    assert told.exit_code == 0, told.output
    assert told.stdout == "canary is off: every user gets the champion\n"
    assert not unleash.here()["enabled"]
    assert run("advance").exit_code == 12
    run("resume", "--reason", "it was the weather")
    assert "25%" not in run("advance").stdout, "it begins anew"
    assert unleash.rollout() == "5"


def test_only_stages_that_ask_for_it_are_approved(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(5))
    assert run("approve", "5%").exit_code == 2
    assert run("approve", "25%").exit_code == 0
    assert {"type": APPROVE, "value": "25%"} in unleash.tags["canary"]
    gates = json.loads(run("status", "--json").stdout)["gates"]
    assert [gate["holds"] for gate in gates if gate["name"] == "approval"] == [True]


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A plan that a person begins."""
    plan = tmp_path / "by_hand.yaml"
    plan.write_text(PLAN.replace("by_itself", "by_hand"), encoding="utf-8")
    return plan


def test_nothing_is_raised_until_a_person_begins_with_this_version(
    unleash: FakeUnleash, run: Run, by_hand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = ["1 aaaaaaaaaaaa"]
    monkeypatch.setattr(
        situation, "models_of", lambda _folder: DeployedModels(known=True, challenger=deployed[0])
    )
    unleash.add("canary", gradual(0))

    def advance() -> tuple[int, str]:
        done = run("advance", "--plan", str(by_hand))
        return done.exit_code, done.stdout

    assert advance()[0] == 11
    assert "begin (version 1 aaaaaaaaaaaa needs approval to start: `./canario rollout begin`)" in advance()[1]
    told = run("begin", "--plan", str(by_hand))
    assert (told.exit_code, told.stdout) == (0, "not begun: may go on: all conditions are met\n")
    assert unleash.tags["canary"] == [{"type": BEGIN, "value": "1 aaaaaaaaaaaa"}]
    assert advance() == (0, "not begun -> 5%: 5% of the users get the challenger\n")
    deployed[0] = "2 bbbbbbbbbbbb"
    assert advance()[0] == 11
    assert "version 2 bbbbbbbbbbbb needs approval" in advance()[1]
    run("begin", "--plan", str(by_hand))
    assert unleash.tags["canary"] == [{"type": BEGIN, "value": "2 bbbbbbbbbbbb"}]


@pytest.mark.parametrize(
    ("models", "fault"),
    [
        (DeployedModels(known=True), "there is no challenger"),
        (DeployedModels(), "which challenger is deployed is not known"),
    ],
)
def test_there_must_be_something_to_begin_with(
    unleash: FakeUnleash, run: Run, monkeypatch: pytest.MonkeyPatch, models: DeployedModels, fault: str
) -> None:
    unleash.add("canary", gradual(0))
    monkeypatch.setattr(situation, "models_of", lambda _folder: models)
    told = run("begin")
    assert told.exit_code == 4
    assert fault in told.stderr
    assert not unleash.tags["canary"]


def test_promote_says_what_it_lacks(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(100))
    told = run("promote")
    assert told.exit_code == 2
    assert "CANARIO_SERVICE_URL" in told.stderr


def test_a_bad_plan_is_told_with_its_line(unleash: FakeUnleash, run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("stages:\n  - share: 5\n  - share: 1\n", encoding="utf-8")
    told = run("status", "--plan", str(bad))
    assert told.exit_code == 2
    assert f"{bad}:1: stages: shares must grow" in told.stderr


def test_a_reason_is_needed(run: Run) -> None:
    for command in ("pause", "resume", "abort"):
        assert run(command).exit_code == 2


def test_the_plan_needs_no_server(run: Run) -> None:
    told = run("plan", "--rate", "2", "--users", "20000", "--plan", "flags/rollout.yaml")
    assert told.exit_code == 0, told.output
    assert "! a 1% canary of 2 req/s cannot see 1% -> 2% errors in 1d4h; it needs" in told.stdout
    assert "until all users have the challenger" in told.stdout
    fields = json.loads(run("plan", "--rate", "50", "--json", "--plan", "flags/rollout.yaml").stdout)
    assert fields["days_to_all_users"] == 11
    assert [stage["name"] for stage in fields["stages"]] == ["shadow", "1%", "5%", "25%", "100%"]
    assert "give --rate" in run("plan").stderr


def test_stages_are_printed_as_the_report_takes_them(unleash: FakeUnleash, run: Run) -> None:
    unleash.add("canary", gradual(0))
    run("advance")
    (line,) = run("stages").stdout.splitlines()[-1:]
    option, _, value = line.partition(" ")
    assert option == "--stage"
    at, share = parse_stage(value)
    assert share == 5
    assert at.tzinfo is not None
    last = json.loads(run("stages", "--json").stdout)[-1]
    assert last["share"] == 5
    assert last["from"].startswith(f"{at:%Y-%m-%dT%H:%M}")

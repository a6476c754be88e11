"""The simulation as a whole, on few runs; the tables of docs/decisions/0013 rest on a thousand."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.rate import Rate
from rollback.guardrails.file import DEFAULT_FILE, Policy, load_policy
from rollback.simulate.cases import equal_models, format_plan, parse_plan, regressions
from rollback.simulate.command import simulate
from rollback.simulate.study import (
    Breach,
    Case,
    PlayedStage,
    Run,
    World,
    delay,
    false_rollbacks,
    rules_of,
    run_all,
)
from rollback.simulate.traffic import Behaviour

CHAMPION = Behaviour(median=0.02, sigma=0.6, errors=0.01)
WORLD = World(CHAMPION, calls_a_second=50, step=timedelta(seconds=15), seed=4)
DAY = (PlayedStage(0.01, timedelta(hours=24)),)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_policy()


def play(policy: Policy, case: Case, runs: int = 10, processes: int = 1) -> list[Run]:
    return run_all(policy, WORLD, [(case, runs)], processes, lambda _: None)[case]


def worse(name: str, share: float) -> Case:
    """A regression by its name, at one share."""
    cases = regressions((PlayedStage(share, timedelta(hours=24)),), CHAMPION)
    return next(case for case in cases if case.name == name)


def test_all_guardrails_that_roll_back_are_played(policy: Policy) -> None:
    rules, left_out = rules_of(policy, CHAMPION)
    assert {rule.name for rule in rules} == {
        guardrail.name for guardrail in policy.guardrails if guardrail.action == "rollback"
    }
    assert left_out == ()


def test_a_guardrail_that_cannot_be_played_is_named(tmp_path: Path) -> None:
    file = tmp_path / "guardrails.yaml"
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    file.write_text(text.replace('bad: "{errors}"', "bad: refunds_total"), encoding="utf-8")
    rules, left_out = rules_of(load_policy(file), CHAMPION)
    assert left_out == ("errors",)
    assert "errors" not in {rule.name for rule in rules}


def test_equal_models_stay_where_the_plain_rule_takes_them_away(policy: Policy) -> None:
    runs = play(policy, equal_models(DAY, CHAMPION))
    assert sum(run.ours is not None for run in runs) <= 1
    assert sum(run.plain is not None for run in runs) >= 8


@pytest.mark.parametrize(
    ("name", "share", "most"),
    [("errors x2", 0.25, 5), ("errors x2", 0.05, 15), ("p99 x1.5", 0.05, 6), ("p99 x2", 0.25, 0.5)],
)
def test_worse_models_go_within_minutes(policy: Policy, name: str, share: float, most: float) -> None:
    found = delay(run.ours for run in play(policy, worse(name, share), 15))
    assert found.median <= most
    assert found.missed == 0


def test_half_a_second_more_is_found_at_the_first_check(policy: Policy) -> None:
    for share in (0.01, 0.05, 0.25):
        assert delay(run.ours for run in play(policy, worse("every call +0.5 s", share), 20)).late <= 0.25


def test_a_late_regression_is_dated_from_its_beginning(policy: Policy) -> None:
    runs = play(policy, worse("errors x2 after 6h", 0.25), 5)
    assert 0 < delay(run.ours for run in runs).median < 15


def test_processes_do_not_change_the_figures(policy: Policy) -> None:
    case = worse("p99 x2", 0.25)
    assert play(policy, case, 7) == play(policy, case, 7, processes=2)


def test_rates_have_intervals() -> None:
    assert Rate(40, 1000).interval == pytest.approx((0.0295, 0.0540), abs=2e-4)
    assert Rate(0, 1000).interval == pytest.approx((0, 0.0038), abs=2e-4)
    assert Rate(0, 0).interval == (0, 1)
    rate, by = false_rollbacks([None, Breach(3.0, "errors", 0.05), None])
    assert rate == Rate(1, 3)
    assert by == {"errors at 5%": 1}


def test_delays_leave_out_runs_that_fell_before() -> None:
    early, soon, later = (Breach(minutes, "errors", 0.05) for minutes in (-3.0, 2.0, 4.0))
    found = delay([early, soon, later, None])
    assert (found.median, found.late, found.missed, found.early, found.runs) == (4.0, float("inf"), 1, 1, 3)
    assert delay([early]).median == float("inf")


def test_plans_are_read_as_they_are_written() -> None:
    plan = parse_plan("1%:24h, 12.5%:90m")
    assert plan == (PlayedStage(0.01, timedelta(hours=24)), PlayedStage(0.125, timedelta(minutes=90)))
    assert parse_plan(format_plan(plan)) == plan


@pytest.mark.parametrize("text", ["", "5", "5%", "x%:1h", "0%:1h", "100%:1h", "5%:1"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"stage|share|duration"):
        parse_plan(text)


ARGUMENTS = ["--runs", "2", "--delay-runs", "1", "--plan", "25%:10m", "--processes", "1"]


def test_the_command_prints_both_tables() -> None:
    result = CliRunner().invoke(simulate, [*ARGUMENTS, "--bursts", "5", "6"], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    for text in ("Equal models, 2 rollouts", "plain ratio", "errors x2", "every call +0.5 s"):
        assert text in result.stdout


def test_the_command_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    result = CliRunner().invoke(simulate, [*ARGUMENTS, "--json", str(file)])
    assert result.exit_code == 0, result.output
    study = json.loads(file.read_text(encoding="utf-8"))
    assert study["false_rollbacks"]["ours"]["runs"] == 2
    assert {delay["regression"] for delay in study["delays"]} >= {"errors x2", "p99 x1.3"}


def test_the_command_names_faults_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text("guardrails: []\n", encoding="utf-8")
    result = CliRunner().invoke(simulate, ["--guardrails", str(file)])
    assert result.exit_code == 2
    assert f"{file}:1" in result.output

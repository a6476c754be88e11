"""The command line: what it prints, its exit codes, and that it prints no secret."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flags import __main__ as main
from flags.cli import group
from flags.unleash.admin import admin_from
from flags.unleash.http import Timeouts
from tests.unit.flags.conftest import TOKEN
from tests.unit.flags.fake_accounts import FakeAccounts
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual
from tests.unit.flags.server import Answer, Server

Run = Callable[..., Result]


@pytest.fixture
def run(unleash: FakeUnleash, monkeypatch: pytest.MonkeyPatch) -> Run:
    quick = partial(admin_from, timeouts=Timeouts(0.5, 0.2, backoff=0.01))
    monkeypatch.setattr(group, "admin_from", quick)

    def invoke(*args: str, **env: str | None) -> Result:
        told = {"CANARIO_UNLEASH_URL": unleash.url, "CANARIO_UNLEASH_ADMIN_TOKEN": TOKEN, **env}
        result = CliRunner(env=told).invoke(main.cli, args, prog_name="flags")
        assert TOKEN not in result.output
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output  # no terminal: no colours
        return result

    return invoke


def test_plan_apply_and_plan_again(run: Run, unleash: FakeUnleash) -> None:
    planned = run("plan", "--exit-code")
    assert planned.exit_code == 10
    assert planned.stdout.splitlines() == [
        "canary",
        "  + create the release flag",
        "  + add a gradual rollout of 0% by userId",
        "  + let its share depend on a lease of 15m that the rollback job renews",
        "  + turn it on",
        "shadow",
        "  + create the experiment flag",
        "  + add a gradual rollout of 0% by userId",
        "  + turn it on",
        "7 changes due",
    ]
    assert unleash.writes() == []
    assert run("plan").exit_code == 0

    applied = run("apply")
    assert applied.exit_code == 0
    assert applied.stdout.splitlines()[0] == "canary: done: create the release flag"
    assert len(applied.stdout.splitlines()) == 7

    for again in (run("plan", "--exit-code"), run("apply")):
        assert again.exit_code == 0
        assert again.stdout.splitlines()[-1] == "no changes due"


def test_what_people_narrow_a_share_by_is_made(run: Run, unleash: FakeUnleash) -> None:
    run("apply")
    unleash.context.remove("country")
    assert run("plan").stdout.splitlines()[:2] == ["context", "  + make the field country, for constraints"]
    assert run("apply").stdout == "context: done: make the field country, for constraints\n"
    assert unleash.context == {"userId", "country"}
    assert run("apply").stdout == "no changes due\n"


def test_a_share_of_a_person_is_kept_and_told(run: Run, unleash: FakeUnleash) -> None:
    run("apply")
    unleash.here()["strategies"][0]["parameters"]["rollout"] = "25"
    unleash.log("feature-strategy-update", "canary", "ada", "production")
    kept = (
        "share: Unleash says 25%, the file says 0% (last change: feature-strategy-update by ada at 2026-11-23"
    )
    for command in ("plan", "apply"):
        result = run(command)
        assert result.exit_code == 0
        assert f"kept: {kept}" in result.stdout
    assert unleash.rollout() == "25"
    assert run("apply", "--force-share").exit_code == 0
    assert unleash.rollout() == "0"


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_conflict_is_told_after_the_rest_is_done(run: Run, unleash: FakeUnleash, command: str) -> None:
    unleash.archive["canary"] = {}
    unleash.log("feature-archived", "canary", "ada")
    result = run(command)
    assert result.exit_code == 4
    assert result.stderr.startswith("error: the flag canary is archived")
    assert ("shadow" in unleash.flags) == (command == "apply")


def test_show_is_a_table_without_a_terminal(run: Run, unleash: FakeUnleash) -> None:
    country = {"contextName": "country", "operator": "IN", "values": ["NO", "SE"]}
    unleash.add("canary", gradual(5, constraints=[country], segments=[3]))
    result = run("show", "canary")
    assert result.exit_code == 0
    head, row = result.stdout.splitlines()
    assert " ".join(head.split()) == "flag environment state share drawn by only where lease last change"
    assert row.split("  ")[-1] == "turned on by ada at 2026-11-23 06:00:02 UTC"
    for word in ("canary", "production", "on", "5%", "userId", "country IN NO, SE; segment 3"):
        assert word in row


def test_show_without_a_name_shows_the_flags_of_the_file(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual("abc", variants=[{}]), enabled=False)
    result = run("show")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].split()[:5] == ["canary", "production", "off", "?", "(1"]
    assert lines[2].split()[:4] == ["shadow", "production", "missing", "-"]
    assert lines[3].startswith("! canary: the rollout of canary in production is 'abc'")
    assert lines[4].startswith("! shadow: the project default has no flag shadow")
    states = json.loads(run("show", "--json").stdout)
    assert [(state["flag"], state["exists"]) for state in states] == [("canary", True), ("shadow", False)]


def test_show_of_a_missing_flag_exits_4(run: Run) -> None:
    result = run("show", "canary", "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["exists"] is False


def test_user_names_are_text_and_no_markup(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    unleash.log("feature-strategy-update", "canary", "[red]ada[/red] :boom:", "production")
    assert "by [red]ada[/red] :boom: at" in run("show", "canary").stdout


def test_set_on_and_off_tell_what_unleash_says_now(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(0), enabled=False)
    by = "by canario-flags at 2026-11-23 06:00:"
    shown = run("set", "canary", "5").stdout
    assert shown.startswith(f"canary in production: on, 5% of the users; turned on {by}")
    shown = run("off", "canary").stdout
    assert shown.startswith(f"canary in production: off, 5% of the users; turned off {by}")
    assert json.loads(run("on", "canary", "--json").stdout)["enabled"] is True
    run("off", "canary")
    assert json.loads(run("set", "canary", "7", "--no-enable", "--json").stdout)["enabled"] is False


def test_set_with_an_expectation(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    result = run("set", "canary", "25", "--expect", "10")
    assert (result.exit_code, unleash.rollout()) == (4, "5")
    assert "is 5%, not 10%" in result.stderr
    assert run("set", "canary", "25", "--expect", "5").exit_code == 0


def test_a_share_that_is_not_the_one_just_set_exits_4(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    unleash.log("feature-strategy-add", "canary", "ada", "production", data=gradual(5, id="s1"))
    unleash.fail("PATCH", "/s1", Answer(gradual(25, id="s1")))  # taken, and not done
    result = run("set", "canary", "25")
    assert result.exit_code == 4
    assert "5% of the users" in result.stdout
    assert "is not as it was just set" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["set", "canary", "101"], "101 is not in the range 0<=x<=100"),
        (["set", "canary", "-1"], "No such option"),
        (["set", "canary", "5.5"], "is not a valid integer"),
        (["set", "canary"], "Missing argument 'PERCENT'"),
        (["set", "../x", "5"], "a flag's name has letters, digits"),
        (["show", "a b"], "a flag's name has letters, digits"),
        (["plan", "--file", "/nowhere/flags.yaml"], "/nowhere/flags.yaml: cannot be read"),
        (["plan", "--url", "h:4242"], "CANARIO_UNLEASH_URL: is no address"),
        (["show", "--environment", ""], "CANARIO_UNLEASH_ADMIN_TOKEN: is empty"),
        (["bootstrap"], "Missing option '--secrets'"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_exits_2(run: Run, args: list[str], words: str) -> None:
    env = {"CANARIO_UNLEASH_ADMIN_TOKEN": "two words"} if "--environment" in args else {}
    result = run(*args, **env)
    assert result.exit_code == 2
    assert words in result.stderr


def test_missing_settings_exit_2_with_a_line_each(run: Run) -> None:
    result = run("show", CANARIO_UNLEASH_URL=None, CANARIO_UNLEASH_ADMIN_TOKEN=None)
    assert result.exit_code == 2
    assert [line.split(": ")[:2] for line in result.stderr.splitlines()] == [
        ["error", "CANARIO_UNLEASH_URL"],
        ["error", "CANARIO_UNLEASH_ADMIN_TOKEN"],
    ]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (error(401, "no"), "CANARIO_UNLEASH_ADMIN_TOKEN is wrong or has ended"),
        (error(403, "no"), "may not do it"),
        (error(500, "no database"), "no database"),
        (Answer(cut=True), "does not answer"),
        (Answer(delay=0.3), "no answer within 0.2 s"),
        (Answer("<html>", headers={"Content-Type": "text/html"}), "no JSON"),
        (Answer({"name": "canary"}), "Field required"),
    ],
    ids=["401", "403", "500", "cut", "silent", "no JSON", "another shape"],
)
@pytest.mark.parametrize("command", [["show", "canary"], ["apply"]])
def test_a_fault_of_unleash_exits_3_in_one_line(
    run: Run, unleash: FakeUnleash, fault: Answer, words: str, command: list[str]
) -> None:
    unleash.fail("GET", "features/canary", *[fault] * 3)
    result = run(*command)
    assert result.exit_code == 3
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert unleash.writes() == []


def test_options_take_the_place_of_settings(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    shown = run(
        "show",
        "canary",
        "--url",
        unleash.url,
        "--environment",
        "development",
        CANARIO_UNLEASH_URL="http://h:1",
    )
    assert "development" in shown.stdout
    run("show", "canary", "--project", "other")
    assert unleash.calls[-1].path == "/api/admin/projects/other/features/canary"


def test_bootstrap_prints_no_secret(server: Server, tmp_path: Path) -> None:
    accounts = FakeAccounts(server)
    env = {"CANARIO_UNLEASH_URL": accounts.url, "CANARIO_UNLEASH_ADMIN_PASSWORD": "secret"}
    result = CliRunner(env=env).invoke(main.cli, ["bootstrap", "--secrets", str(tmp_path / "s")])
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["canario-flags", "made"],
        ["canario-rollback", "made"],
        ["canario-rollout", "made"],
        ["canario-service", "made"],
        ["canario-board", "made"],
        ["canario-mesh", "made"],
    ]
    for token in accounts.tokens:
        assert token["secret"] not in result.output
    env["CANARIO_UNLEASH_ADMIN_PASSWORD"] = "wrong"
    result = CliRunner(env=env).invoke(main.cli, ["bootstrap", "--secrets", str(tmp_path / "t")])
    assert result.exit_code == 3


def test_help_tells_the_exit_codes_and_examples(run: Run) -> None:
    text = run("--help").stdout
    for line in ("0  done", "2  wrong usage", "3  Unleash cannot", "4  the flag needs", "10  `plan"):
        assert line in text
    assert "./canario set canary 5" in text
    for command in ("plan", "apply", "show", "set", "on", "off", "bootstrap"):
        assert run(command, "--help").exit_code == 0


def test_users_are_excluded_and_included(run: Run, unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(25))
    done = run("exclude", "canary", "country=NO", "country=SE")
    assert done.exit_code == 0
    assert "on, 25% of the users, only where country NOT_IN NO, SE" in done.stdout
    assert json.loads(run("include", "canary", "country=NO", "--json").stdout)["constraints"] == [
        "country NOT_IN SE"
    ]
    for wrong in (["canary", "country"], ["canary"]):
        assert run("exclude", *wrong).exit_code == 2
    assert run("exclude", "nothing", "country=NO").exit_code == 4

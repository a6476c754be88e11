"""`./canario report abtest register` and `report`."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from analysis.__main__ import main
from analysis.abtest.registration import read
from analysis.metric import Direction, Kind
from tests.unit.analysis.abtest.logs import crowd, write_visits
from tests.unit.analysis.make_log import START


def run(*arguments: object) -> Result:
    """Run `./canario report abtest`."""
    return CliRunner().invoke(main, ["abtest", *(str(each) for each in arguments)])


def register(path: Path, *more: object) -> Result:
    """A test that some 340 users end."""
    usual = ("--metric", "bought", "--baseline", 0.5, "--effect", 0.15, "--window", "1d")
    return run("register", path, *usual, *more)


def log_from(folder: Path, challenger: float) -> Path:
    """A log that begins now: 600 users in the week to come."""
    ahead = (datetime.now(UTC) - START) / timedelta(days=1) + 0.001
    visits = [visit._replace(day=visit.day + ahead) for visit in crowd(1, 600, 0.5, challenger)]
    return write_visits(folder, visits)


def test_registered_and_read(tmp_path: Path) -> None:
    file, page = tmp_path / "loan-4.yaml", tmp_path / "report.html"
    said = register(file, "--guardrail", "returned", "--guardrail", "opened:count:increase", "--by", "kim")
    assert said.exit_code == 0, said.output
    found, sha256 = read(file)
    assert sha256 in said.output
    assert "waits for 183 users of the challenger and 183 of the champion" in said.output
    assert (found.name, found.by, found.users.challenger) == ("loan-4", "kim", 183)
    assert abs(found.registered - datetime.now(UTC)) < timedelta(minutes=1)
    assert [(each.name, each.kind, each.direction) for each in found.guardrails] == [
        ("returned", Kind.PROPORTION, Direction.DECREASE),
        ("opened", Kind.COUNT, Direction.INCREASE),
    ]
    log = log_from(tmp_path / "log", 0.8)
    told = run("report", file, "--log", log, "--format", "json", "--html", page)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["numbers"]["verdict"] == "better"
    assert "The challenger is better" in page.read_text(encoding="utf-8")
    assert run("report", file, "--log", log, "--fail-on", "not-better").exit_code == 0


@pytest.mark.parametrize(
    ("challenger", "limit", "more", "code"),
    [
        (0.2, "worse", (), 1),
        (0.5, "worse", (), 0),
        (0.5, "not-better", (), 1),
        (0.5, "no-verdict", (), 0),
        (0.5, "no-verdict", ("--metric", "returned"), 1),
        (0.8, "no-verdict", ("--sequential",), 0),
    ],
)
def test_limits(tmp_path: Path, challenger: float, limit: str, more: tuple[str, ...], code: int) -> None:
    register(tmp_path / "test.yaml")
    log = log_from(tmp_path / "log", challenger)
    told = run("report", tmp_path / "test.yaml", "--log", log, "--fail-on", limit, *more)
    assert told.exit_code == code, told.output


def test_an_edited_file_is_refused_until_somebody_says_why(tmp_path: Path) -> None:
    file = tmp_path / "test.yaml"
    register(file)
    file.write_text(
        file.read_text(encoding="utf-8").replace("effect: 0.15", "effect: 0.25"), encoding="utf-8"
    )
    log = log_from(tmp_path / "log", 0.8)
    told = run("report", file, "--log", log, "--format", "json")
    assert json.loads(told.stdout)["numbers"]["finding"] == "registration_changed"
    told = run("report", file, "--log", log, "--accept-changed", "0.15 was a typo", "--format", "json")
    assert json.loads(told.stdout)["numbers"]["verdict"] == "better"
    assert json.loads(told.stdout)["numbers"]["accepted"] == "0.15 was a typo"


def test_the_same_file_is_never_written_twice(tmp_path: Path) -> None:
    register(tmp_path / "test.yaml")
    again = register(tmp_path / "test.yaml", "--share", 20)
    assert again.exit_code == 2
    assert "never overwritten" in again.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--share", "120"), "share: Input should be less than 100"),
        (("--effect", "-1"), "effect: Input should be greater than 0"),
        (("--effect", "0.7"), "neither rise nor drop"),
        (("--kind", "mean"), "standard deviation"),
        (("--guardrail", "returned:often"), "nothing such as returned"),
        (("--guardrail", "returned:count:decrease:x"), "nothing such as returned"),
        (("--guardrail", "bought"), "two metrics of one name"),
        (("--covariate", "14"), "no duration"),
        (("--window", "7"), "no duration"),
        (("--segment", "NO"), "no property and value"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    said = register(tmp_path / "test.yaml", *arguments)
    assert said.exit_code == 2
    assert words in said.output
    assert not (tmp_path / "test.yaml").exists()


def test_a_segment_and_no_covariate(tmp_path: Path) -> None:
    register(tmp_path / "test.yaml", "--segment", "country=NO", "--covariate", "off", "--name", "Norway")
    found, _ = read(tmp_path / "test.yaml")
    assert found.segment is not None
    assert (found.segment.property, found.segment.value) == ("country", "NO")
    assert (found.covariate, found.name) == (None, "Norway")


def test_no_file_and_no_log(tmp_path: Path) -> None:
    assert run("report", tmp_path / "none.yaml", "--log", tmp_path).exit_code == 2
    register(tmp_path / "test.yaml")
    assert run("report", tmp_path / "test.yaml", "--log", tmp_path / "none").exit_code == 3
    assert run("report", tmp_path / "test.yaml", "--log", tmp_path, "--kind", "mean").exit_code in {2, 3}

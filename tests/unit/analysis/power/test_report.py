"""`./canario report power`: figures, sentence, days."""

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analysis.__main__ import main
from analysis.metric import Kind
from analysis.power.question import PowerQuestion
from analysis.power.report import power_report
from analysis.render.document import Picture, Table
from analysis.statistics.arrivals import Arrivals
from analysis.statistics.power import Design
from tests.unit.analysis.abtest.logs import crowd, write_visits


def run(*arguments: str) -> Any:
    """The command's numbers and answer."""
    result = CliRunner().invoke(main, ["power", *arguments, "--format", "json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_three_figures_of_the_reference_and_a_recommendation() -> None:
    found = run("--baseline", "0.95", "--effect", "0.02", "--alpha", "0.05", "--power", "0.8")
    assert found["numbers"]["figures"] == {
        "rise": {"arcsine": 1484, "two_proportion": 1506, "fleiss": 1605},
        "drop": {"arcsine": 2199, "two_proportion": 2213, "fleiss": 2312},
    }
    assert found["answer"].startswith("Plan 2,312 users of each model: that finds a change of 2.0 points")
    result = CliRunner().invoke(main, ["power", "--baseline", "0.95", "--effect", "0.02"])
    for figure in ("1,484", "1,506", "1,605", "2,199", "2,213", "2,312", "Take 2,312"):
        assert figure in result.output


def test_a_canary_and_days() -> None:
    found = run(
        "--baseline", "0.95", "--effect", "0.02", "--share", "5", "--users-per-day", "800", "--days", "10"
    )
    users = found["numbers"]["users"]
    assert (users["challenger"], users["champion"], users["total"]) == (1146, 21_756, 22_902)
    assert found["numbers"]["days"] == pytest.approx(22_902 / 800)
    assert "that takes 29 days" in found["answer"]
    ten = next(each for each in found["numbers"]["smallest"] if each["days"] == 10)
    assert (ten["users"], ten["change"]) == (8000, pytest.approx(0.0355, abs=0.0005))


def test_only_days() -> None:
    found = run("--baseline", "0.95", "--users-per-day", "330.3", "--days", "14")
    assert found["answer"].startswith("14 days bring some 4,624 users, who find a change of 2.0 points")


def test_means_and_counts() -> None:
    mean = run("--kind", "mean", "--baseline", "40", "--deviation", "60", "--effect", "2")
    assert mean["numbers"]["users"]["challenger"] == pytest.approx(14_128, abs=2)
    poisson = run("--kind", "count", "--baseline", "0.8", "--effect", "0.1")
    wide = run("--kind", "count", "--baseline", "0.8", "--effect", "0.1", "--dispersion", "2")
    assert wide["numbers"]["users"]["total"] > 2 * poisson["numbers"]["users"]["total"]


def test_level_and_traffic_from_a_log(tmp_path: Path) -> None:
    log = str(write_visits(tmp_path, crowd(1, 600, 0.6, 0.6, share=0.2)))
    found = run("--log", log, "--outcome", "bought", "--window", "1d", "--effect", "0.1")
    assert found["numbers"]["baseline"] == pytest.approx(0.6, abs=0.06)
    assert found["numbers"]["days"] == pytest.approx(found["numbers"]["users"]["total"] * 7 / 600, rel=0.05)
    assert "and the last outcomes 24 hours more" in found["answer"]
    page = tmp_path / "power.html"
    result = CliRunner().invoke(
        main, ["power", "--log", log, "--baseline", "0.6", "--effect", "0.1", "--html", str(page)]
    )
    assert result.exit_code == 0, result.output
    assert "<svg" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arrivals", "along"), [(Arrivals.steady(800), "days"), (None, "users of the challenger")]
)
def test_it_draws_what_is_found_over_days_or_users_in_points_alone(
    arrivals: Arrivals | None, along: str
) -> None:
    report = power_report(PowerQuestion(Design(Kind.PROPORTION, 0.95), 0.02, arrivals))
    found = next(one for one in report.evidence if one.title.startswith("What"))
    (picture,) = (block for block in found.blocks if isinstance(block, Picture))
    assert along in picture.alt
    assert "points" in picture.alt
    words = re.findall(r"<text[^>]*>([^<]*)</text>", picture.svg)
    assert "points" in words
    assert not any("%" in word for word in words)
    tables = [block for block in found.blocks if isinstance(block, Table)]
    assert all("relative" not in table.columns for table in tables)


def test_users_who_never_come() -> None:
    report = power_report(
        PowerQuestion(
            Design(Kind.PROPORTION, 0.95),
            0.01,
            Arrivals.seen([1, 2, 3, 4], [900, 900, 900, 900]),
            window=timedelta(days=1),
            today=date(2026, 11, 2),
        )
    )
    assert "So many different users do not come" in report.answer
    assert report.numbers["days"] is None
    assert report.numbers["never"] is True


def test_rare_events_and_long_tests_are_warned_of() -> None:
    warnings = " ".join(
        power_report(PowerQuestion(Design(Kind.PROPORTION, 0.0005), 0.0045, Arrivals.steady(2))).warnings
    )
    assert "there the formulas are rough" in warnings
    assert "more than a year" in warnings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--effect", "0.02"], "give --baseline"),
        (["--baseline", "0.95"], "give --effect"),
        (["--baseline", "1.95", "--effect", "0.02"], "between 0 and 1"),
        (["--baseline", "0.95", "--effect", "0.97"], "neither rise nor drop"),
        (["--kind", "mean", "--baseline", "9", "--effect", "1"], "--deviation"),
        (["--kind", "count", "--baseline", "0", "--effect", "1"], "above 0"),
        (["--baseline", "0.5", "--effect", "0.1", "--outcome", "bought"], "give --log"),
        (["--baseline", "0.5", "--effect", "0.1", "--segment", "NO"], "no property and value"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["power", *arguments])
    assert result.exit_code == 2
    assert words in result.output


def test_an_outcome_that_nobody_has(tmp_path: Path) -> None:
    log = str(write_visits(tmp_path, crowd(1, 60, 0.6, 0.6)))
    for arguments, words in (
        (["--outcome", "boght", "--window", "1d"], "is that its name"),
        (["--outcome", "bought", "--window", "30d"], "shorter than the window"),
    ):
        result = CliRunner().invoke(main, ["power", "--log", log, "--effect", "0.1", *arguments])
        assert result.exit_code == 2
        assert words in result.output

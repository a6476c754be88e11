"""Effects by segment: against plain Python and statsmodels, the three ways on, and the exit codes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from statsmodels.stats.multitest import multipletests

from analysis.__main__ import main
from analysis.log import BadLines
from analysis.measures.metric import Direction, Kind, Metric
from analysis.measures.segments import Arm, Divided, Segment, whole
from analysis.reports.segment_figures import SegmentFigures
from analysis.reports.segments import About, segments_report
from tests.unit.analysis.make_log import LogPlan, Record, make_records, write_log

HARMED = LogPlan(
    users=3000,
    requests=1.2,
    baseline=0.3,
    effect=0.08,
    segment_effects={("country", "DE"): -0.12},
    shadow=0,
    by_user=0.3,
)
PARADOX = LogPlan(
    users=3000,
    requests=1,
    effect=0.08,
    segments={"country": {"NO": 0.5, "SE": 0.5}},
    segment_share={("country", "NO"): 0.2, ("country", "SE"): 0.8},
    segment_baseline={("country", "NO"): 0.6, ("country", "SE"): 0.2},
    shadow=0,
)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["segments", *args])


@pytest.fixture(scope="module")
def harmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    records = make_records(HARMED)
    return write_log(tmp_path_factory.mktemp("harmed"), records), records


def plain(records: list[Record], name: str) -> Mapping[tuple[str, str], tuple[int, int]]:
    """(value, arm) -> users and those who bought, in plain Python."""
    user_of: dict[str, str] = {}
    first: dict[str, tuple[str, str]] = {}
    bought: set[str] = set()
    for each in records:
        if each["kind"] == "prediction":
            user_of[each["request_id"]] = each["user"]
            first.setdefault(each["user"], (each["context"][name], each["assigned"]))
    for each in records:
        if each["kind"] == "feedback":
            bought.add(each["user"] or user_of[each["request_id"]])
    return {
        key: (len(users := [u for u, of in first.items() if of == key]), len(bought & set(users)))
        for key in set(first.values())
    }


def test_a_harmed_segment_is_called_out_with_three_ways_on(
    harmed: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    page = tmp_path / "segments.html"
    result = run("--metric", "bought", "--log", str(harmed[0]), "--html", str(page), "--fail-on", "harmed")
    text = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "better in bought for users as a whole, but it is worse" in " ".join(
        text.replace("│", " ").split()
    )
    assert "python -m flags exclude canary country=DE" in text
    assert "2. Train again" in text
    assert "3. Decide to go on" in text
    assert "was not registered beforehand" in text
    assert page.read_text(encoding="utf-8").count("<svg") == 1


def test_figures_are_those_of_plain_python(harmed: tuple[Path, list[Record]]) -> None:
    folder, records = harmed
    numbers = json.loads(run("--metric", "bought", "--log", str(folder), "--format", "json").stdout)[
        "numbers"
    ]
    found = {each["segment"]: each for each in numbers["segments"]}
    for name in ("country", "plan"):
        for (value, arm), (users, bought) in plain(records, name).items():
            each = found[f"{name}={value}"]
            assert each[f"{arm}_users"] == users
            assert each[arm] == pytest.approx(bought / users, abs=1e-9)
    raw = [each["p"] for each in numbers["segments"]]
    for method, key in (("holm", "p_holm"), ("fdr_bh", "p_benjamini_hochberg")):
        assert [each[key] for each in numbers["segments"]] == pytest.approx(
            multipletests(raw, method=method)[1].tolist(), abs=1e-9
        )
    assert found["country=DE"]["verdict"] == "harmed"
    assert numbers["properties"]["country"]["same_effect_p"] < 0.001
    assert numbers["properties"]["country"]["simpsons_paradox"] is False


def test_simpsons_paradox_is_told(tmp_path: Path) -> None:
    log = str(write_log(tmp_path, make_records(PARADOX)))
    result = run("--metric", "bought", "--log", log, "--fail-on", "harmed")
    text = " ".join(result.output.replace("│", " ").split())
    assert result.exit_code == 1
    assert "Do not trust the whole" in text
    assert "seems worse in bought, but for each country it is better" in text
    assert "Simpson's paradox by country" in text


def test_two_equal_models_harm_nobody(tmp_path: Path) -> None:
    log = str(write_log(tmp_path, make_records(LogPlan(users=1500, requests=1, shadow=0))))
    result = run("--metric", "bought", "--log", log, "--fail-on", "harmed")
    assert result.exit_code == 0, result.output
    assert "no segment is harmed" in " ".join(result.output.replace("│", " ").split())


def test_few_users_are_too_few(tmp_path: Path) -> None:
    log = str(write_log(tmp_path, make_records(LogPlan(users=60, requests=1, shadow=0))))
    result = run("--metric", "bought", "--log", log)
    assert result.exit_code == 0, result.output
    assert "too early to say" in " ".join(result.output.replace("│", " ").split())


def test_a_registered_test_is_not_looked_into_before_its_end(
    harmed: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    file = tmp_path / "loan.yaml"
    registered = CliRunner().invoke(
        main,
        ["abtest", "register", str(file), "--metric", "bought", "--baseline", "0.3", "--effect", "0.08"],
    )
    assert registered.exit_code == 0, registered.output
    result = run(str(file), "--log", str(harmed[0]), "--format", "json")
    assert result.exit_code == 0, result.output
    read = json.loads(result.stdout)
    assert read["answer"].startswith("Not before the test itself has ended")
    assert read["numbers"]["segments"] == []


@pytest.mark.parametrize(
    "args", [(), ("--log", "x"), ("file.yaml", "--metric", "bought", "--log", "x"), ("--metric", "a")]
)
def test_wrong_usage(args: tuple[str, ...]) -> None:
    assert run(*args).exit_code == 2


def test_a_log_without_contexts(tmp_path: Path) -> None:
    log = str(write_log(tmp_path, make_records(LogPlan(users=20, segments={}, shadow=0))))
    result = run("--metric", "bought", "--log", log)
    assert result.exit_code == 3
    assert "no request of that time has a context" in result.output


def segment(value: str, ours: tuple[int, float], theirs: tuple[int, float], spread: float = 1.0) -> Segment:
    return Segment("country", value, Arm(*ours, spread), Arm(*theirs, spread))


def figures(*segments: Segment, **fields: Any) -> SegmentFigures:
    metric = Metric(name="m", outcome="m", kind=fields.pop("kind", Kind.MEAN), **fields)
    return SegmentFigures(metric, Divided({"country": segments}, {}))


def test_less_is_better_where_the_metric_says_so() -> None:
    parts = (segment("NO", (1000, 5), (1000, 4)), segment("SE", (1000, 5), (1000, 5)))
    (first, *_), (other, *_) = (
        sorted(figures(*parts, direction=each).effects, key=lambda one: one.segment.name)
        for each in (Direction.DECREASE, Direction.INCREASE)
    )
    assert (first.verdict, other.verdict) == ("gains", "harmed")


def test_small_segments_are_left_out_and_counted() -> None:
    found = figures(segment("NO", (1000, 5), (1000, 4)), segment("SE", (99, 5), (1000, 5)))
    assert [each.segment.value for each in found.effects] == ["NO"]
    assert found.small == 1


def test_the_whole_is_the_sum_of_its_segments() -> None:
    values = {"NO": [1.0, 2.0, 6.0], "SE": [4.0, 4.5]}
    parts = tuple(
        Segment("c", name, _arm(of), _arm([each + 1 for each in of])) for name, of in values.items()
    )
    everybody = _arm([each for of in values.values() for each in of])
    found = whole(parts).champion
    assert (found.users, found.mean) == (everybody.users, pytest.approx(everybody.mean))
    assert found.variance == pytest.approx(everybody.variance)


def _arm(values: list[float]) -> Arm:
    mean = sum(values) / len(values)
    return Arm(len(values), mean, sum((each - mean) ** 2 for each in values) / (len(values) - 1))


def test_a_name_that_a_shell_would_read_is_quoted() -> None:
    found = figures(segment("a; rm -rf $HOME", (1000, 5), (1000, 4)), segment("SE", (1000, 5), (1000, 6)))
    report = segments_report(found, About("t", "canary", "now"), BadLines())
    assert any(
        "exclude canary 'country=a; rm -rf $HOME'" in getattr(block, "text", "")
        for section in report.evidence
        for block in section.blocks
    )

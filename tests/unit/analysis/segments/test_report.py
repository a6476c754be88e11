"""Effects by segment: against plain Python and statsmodels, the three ways on, and the exit codes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from statsmodels.stats.multitest import multipletests
from tea_tasting.aggr import Aggregates

from analysis.__main__ import main
from analysis.abtest.registration import PlannedUsers, write
from analysis.log import BadLines
from analysis.metric import Direction, Kind, Metric
from analysis.segments.figures import SegmentFigures
from analysis.segments.measure import NOT_GIVEN, Divided, Others, Segment, whole
from analysis.segments.report import About, segments_report
from analysis.statistics.effect import Sample
from analysis.statistics.means import Columns
from analysis.statistics.means import compare as welch
from tests.unit.analysis.abtest.registered import registration
from tests.unit.analysis.make_log import START, LogPlan, Record, make_records, write_log
from tests.unit.analysis.segment_report import HARMED, run

PARADOX = LogPlan(
    users=3000,
    requests=1,
    effect=0.08,
    segments={"country": {"NO": 0.5, "SE": 0.5}},
    segment_share={("country", "NO"): 0.2, ("country", "SE"): 0.8},
    segment_baseline={("country", "NO"): 0.6, ("country", "SE"): 0.2},
    shadow=0,
)


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
    assert "./canario exclude canary country=DE" in text
    assert "./canario include canary country=DE" in text
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


def test_with_the_paradox_going_on_is_worth_what_the_same_mix_says() -> None:
    parts = (
        segment("NO", (2400, 0.6), (600, 0.68), 0.23),
        segment("SE", (600, 0.2), (2400, 0.28), 0.23),
        segment("DE", (1500, 0.4), (1500, 0.3), 0.23),
    )
    found = figures(*parts, kind=Kind.PROPORTION)
    assert found.paradoxes == ("country",)
    assert found.effect.difference == pytest.approx(-0.14)
    assert found.mixes["country"].adjusted == pytest.approx(0.02)
    text = answer_of(segments_report(found, About(None, "canary", "then"), BadLines()))
    assert "-10.0 points for 33% of the users (country=DE), beside +2.0 points for all users with the" in text
    assert "same mix of country in both arms (the whole as it is says -14.0 points, and misleads)" in text
    assert "With the same mix of country in both arms it is +2.0 points (-0.3 to +4.3)." in text
    assert "country by country, weighted alike, it is better" in text
    assert "Even so it is worse where country=DE." in text


def test_two_equal_models_harm_nobody(tmp_path: Path) -> None:
    log = str(write_log(tmp_path, make_records(LogPlan(users=1500, requests=1, shadow=0))))
    result = run("--metric", "bought", "--log", log, "--fail-on", "harmed")
    assert result.exit_code == 0, result.output
    assert "no segment is harmed" in " ".join(result.output.replace("│", " ").split())


def test_what_clients_call_a_segment_does_nothing_to_terminal_or_page(tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b[8mNO\u202e\n\nGood. No segment is harmed"
    plan = LogPlan(users=1500, requests=1, shadow=0, segments={"country": {evil: 0.5, "SE": 0.5}})
    log, page = str(write_log(tmp_path, make_records(plan))), tmp_path / "page.html"
    result = run("--metric", "bought", "--log", log, "--html", str(page))
    assert result.exit_code == 0, result.output
    for shown in (result.output, page.read_text(encoding="utf-8")):
        assert not {"\x1b", "\u202e"} & set(shown)
        assert "\nGood. No segment is harmed" not in shown
        assert r"\u001b" in shown


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
    assert "no user's first request of that time has a context" in result.output


def segment(value: str, ours: tuple[int, float], theirs: tuple[int, float], spread: float = 1.0) -> Segment:
    return Segment(Sample(*ours, spread), Sample(*theirs, spread), "country", value)


def figures(*segments: Segment, **fields: Any) -> SegmentFigures:
    own = {name: fields.pop(name) for name in ("alpha", "least", "registered", "decided") if name in fields}
    metric = Metric(name="m", outcome="m", kind=fields.pop("kind", Kind.MEAN), **fields)
    return SegmentFigures(metric, Divided({"country": segments}), **own)


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
    assert [each.value for each in found.small] == ["SE"]


def test_the_whole_is_the_sum_of_its_segments() -> None:
    values = {"NO": [1.0, 2.0, 6.0], "SE": [4.0, 4.5]}
    parts = tuple(
        Segment(_arm(of), _arm([each + 1 for each in of]), "c", name) for name, of in values.items()
    )
    everybody = _arm([each for of in values.values() for each in of])
    found = whole(parts).champion
    assert found.users == everybody.users
    assert found.mean == pytest.approx(everybody.mean)
    assert found.variance == pytest.approx(everybody.variance)


def _arm(values: list[float]) -> Sample:
    mean = sum(values) / len(values)
    return Sample(len(values), mean, sum((each - mean) ** 2 for each in values) / (len(values) - 1))


def test_a_name_that_a_shell_would_read_is_quoted() -> None:
    found = figures(segment("a; rm -rf $HOME", (1000, 5), (1000, 4)), segment("SE", (1000, 5), (1000, 6)))
    report = segments_report(found, About("t", "canary", "now"), BadLines())
    assert any(
        "exclude canary 'country=a; rm -rf $HOME'" in getattr(block, "text", "")
        for section in report.evidence
        for block in section.blocks
    )


def answer_of(report: Any) -> str:
    """Everything that a reader sees of it."""
    sections = (*report.evidence, *report.method)
    blocks = [getattr(block, "text", "") for section in sections for block in section.blocks]
    return "\n".join((report.answer, *report.warnings, *(t for s in sections for t in s.text), *blocks))


def test_intervals_hold_together_and_families_are_apart() -> None:
    parts = {
        name: tuple(
            Segment(Sample(1000, 5, 1.0), Sample(1000, level, 1.0), name, value)
            for value, level in (("a", 5.1), ("b", 4.9), ("c", 5.0))
        )
        for name in ("country", "plan", "device")
    }
    metric = Metric(name="m", outcome="m", kind=Kind.MEAN)
    found = SegmentFigures(metric, Divided(parts), registered=frozenset({"country"}))
    assert {(each.segment.key, each.family) for each in found.effects} == {
        ("country", 3),
        ("plan", 6),
        ("device", 6),
    }
    for each in found.effects:
        arms = [
            Aggregates(count_=1000, mean_={"y": arm.mean}, var_={"y": 1.0})
            for arm in (each.segment.champion, each.segment.challenger)
        ]
        alone = welch(arms[0], arms[1], Columns("y"), alpha=0.05 / each.family)
        assert each.effect.absolute == alone.absolute
    harmed = {each.segment.key: each.p for each in found.harmed}
    raw = welch(
        Aggregates(count_=1000, mean_={"y": 5.0}, var_={"y": 1.0}),
        Aggregates(count_=1000, mean_={"y": 4.9}, var_={"y": 1.0}),
        Columns("y"),
    ).p
    assert found.effects[0].effect.p == pytest.approx(raw, abs=1e-9)
    assert {each.segment.key: each.p for each in found.effects if each.segment.value == "b"} == pytest.approx(
        {"country": 3 * raw, "plan": 6 * raw, "device": 6 * raw}, abs=1e-9
    )
    assert set(harmed) == {"country", "plan", "device"} if 6 * raw < 0.05 else {"country"}


def test_the_whole_is_what_the_report_of_the_test_said() -> None:
    parts = (segment("NO", (1000, 5), (1000, 5.2)), segment("SE", (1000, 5), (1000, 5.1)))
    said = figures(*parts).effect
    decided = figures(*parts, decided=said.__class__(**(vars(said) | {"p": 0.9})))
    assert figures(*parts).verdict == "gains"
    assert decided.verdict == ""


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (Others(2, ("FI", "I S")), "./canario exclude canary country=FI 'country=I S'"),
        (Others(11, tuple("abcdefghijk")), "are many values read as one"),
        (Others(2, ("FI", NOT_GIVEN)), "are many values read as one"),
        (None, "who does not send a property passes it"),
    ],
)
def test_the_command_for_users_who_are_not_one_value(others: Others | None, expected: str) -> None:
    odd = Segment(Sample(1000, 5, 1.0), Sample(1000, 4, 1.0), "country", None, others)
    report = segments_report(
        figures(odd, segment("NO", (1000, 5), (1000, 6))), About("t", "canary", "now"), BadLines()
    )
    assert expected in answer_of(report)


def test_small_values_are_read_together_and_named(tmp_path: Path) -> None:
    countries = {"NO": 0.5, "SE": 0.3} | {f"c{number}": 0.01 for number in range(20)}
    plan = LogPlan(users=1500, requests=1, shadow=0, segments={"country": countries})
    records = make_records(plan)
    for number, record in enumerate(each for each in records if each["kind"] == "prediction"):
        record["context"] |= {"device": f"d{number}"}  # a value for every user
    log = str(write_log(tmp_path, records))
    asked = ("--metric", "bought", "--by", "country", "--by", "device", "--least", "50", "--log", log)
    numbers = json.loads(run(*asked, "--format", "json").stdout)["numbers"]
    names = [each["segment"] for each in numbers["segments"]]
    assert sorted(names) == ["country: other (20)", "country=NO", "country=SE"]
    other = next(each for each in numbers["segments"] if "other" in each["segment"])
    assert set(other["values"]) == {f"c{number}" for number in range(20)}
    users = sum(each["champion_users"] + each["challenger_users"] for each in numbers["segments"])
    assert users == 1500
    assert "c1" in run(*asked).output


def test_a_property_that_nobody_has(harmed: tuple[Path, list[Record]]) -> None:
    result = run("--metric", "bought", "--by", "countri", "--log", str(harmed[0]))
    assert result.exit_code == 3
    assert "no user of that time has 'countri' in the context" in result.output


def test_a_registered_test_from_file_to_harm(harmed: tuple[Path, list[Record]], tmp_path: Path) -> None:
    values = {
        "registered": START,
        "baseline": 0.3,
        "effect": 0.06,
        "users": PlannedUsers(champion=1200, challenger=1200),
        "window": "1d",
        "covariate": None,
        "guardrails": [],
        "segments_by": ("country",),
    }
    file = tmp_path / "t.yaml"
    write(registration(**values), file)
    args = (str(file), "--log", str(harmed[0]), "--by", "plan", "--format", "json", "--fail-on", "harmed")
    result = run(*args)
    assert result.exit_code == 1, result.output
    read = json.loads(result.stdout)
    assert {each["segment"]: each["verdict"] for each in read["numbers"]["segments"]}[
        "country=DE"
    ] == "harmed"
    assert {
        each["segment"].partition("=")[0]: each["registered"] for each in read["numbers"]["segments"]
    } == {
        "country": True,
        "plan": False,
    }
    assert any("that plan would be looked at was not registered" in each for each in read["warnings"])
    whole = CliRunner().invoke(
        main, ["abtest", "report", str(file), "--log", str(harmed[0]), "--format", "json"]
    )
    effect = json.loads(whole.stdout)["numbers"]["effect"]
    assert read["numbers"]["whole"]["p"] == pytest.approx(effect["p"], abs=1e-12)
    file.write_text(file.read_text().replace("effect: 0.06", "effect: 0.07"))
    changed = run(*args)
    assert changed.exit_code == 0
    assert "registration changed" in json.loads(changed.stdout)["answer"]
    accepted = json.loads(run(*args, "--accept-changed", "a typo").stdout)
    assert any("Accepted: a typo" in each for each in accepted["warnings"])


def test_an_outcome_that_nobody_told_is_no_good_news(harmed: tuple[Path, list[Record]]) -> None:
    result = run("--metric", "nonsense", "--by", "country", "--log", str(harmed[0]), "--format", "json")
    report = json.loads(result.stdout)
    assert report["tone"] == "wait"
    assert "no feedback named 'nonsense' was counted" in report["answer"]


def test_times_the_wrong_way_round(harmed: tuple[Path, list[Record]]) -> None:
    times = ("--since", "2026-11-09", "--until", "2026-11-02")
    result = run("--metric", "bought", "--log", str(harmed[0]), *times)
    assert result.exit_code == 2
    assert "--until 2026-11-02 00:00 is not after --since 2026-11-09 00:00" in result.output


def test_a_page_that_cannot_be_written_is_refused_before_the_log_is_read(tmp_path: Path) -> None:
    result = run("--metric", "bought", "--log", "/nowhere", "--html", str(tmp_path / "no" / "page.html"))
    assert result.exit_code == 2
    assert "there is no folder" in result.output

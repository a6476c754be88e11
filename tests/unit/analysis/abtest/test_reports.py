"""What the report of a test says to people and to programs."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from analysis.abtest.examine import Examined
from analysis.abtest.registration import PlannedUsers
from analysis.abtest.report import abtest_report
from analysis.log.engine import BadLine, BadLines
from analysis.metric import Kind, Metric
from analysis.render.document import Report
from analysis.render.output import print_report, write_page
from tests.unit.analysis.abtest.logs import Visit, covered, crowd
from tests.unit.analysis.abtest.registered import RETURNED, promised, read
from tests.unit.analysis.make_log import START


def text_of(report: Report) -> str:
    """All of it, as the terminal has it."""
    file = StringIO()
    print_report(report, file=file)
    return " ".join(file.getvalue().split())


def returned(visits: list[Visit], shares: dict[str, int]) -> list[Visit]:
    """The same users, every n-th of an arm with the outcome of a guardrail."""
    return [
        visit._replace(name="returned", outcome=0.2 if number % shares[visit.arm] == 0 else None)
        for number, visit in enumerate(visits)
    ]


def returning(visits: list[Visit]) -> list[Visit]:
    """The same users again on the following days."""
    return [visit._replace(day=visit.day + day) for day in range(6) for visit in visits]


CASES: dict[str, tuple[Callable[[Path], Examined], str, list[str]]] = {
    "better": (
        lambda path: read(path, crowd(1, 400, 0.5, 0.8)),
        "good",
        ["The challenger is better in bought", "points (95% interval +", "for the champion"],
    ),
    "worse": (lambda path: read(path, crowd(1, 400, 0.5, 0.2)), "bad", ["The challenger is worse in bought"]),
    "none": (
        lambda path: read(path, crowd(1, 400, 0.5, 0.5)),
        "plain",
        [
            "No difference was found",
            "would have been found with a chance of 80%",
            "a smaller one may be there",
        ],
    ),
    "early": (
        lambda path: read(path, crowd(1, 400, 0.1, 0.9), day=3),
        "wait",
        [
            "Too early for a verdict",
            "of 150 users of the challenger",
            "the verdict is to be had on 2026-11-0",
        ],
    ),
    "labels": (
        lambda path: read(path, crowd(1, 400, 0.1, 0.9), day=6.3),
        "wait",
        ["Too early for a verdict", "all users have come", "have until 2026-11-08"],
    ),
    "never": (
        lambda path: read(path, returning(crowd(1, 100, 0.1, 0.9, days=1))),
        "wait",
        ["so many never will", "The log ends at 2026-11-0"],
    ),
    "ratio": (
        lambda path: read(path, crowd(1, 900, 0.1, 0.9, share=0.35)),
        "bad",
        ["No verdict", "not the 50% that were planned", "Look for: a share that was changed during the test"],
    ),
    "changed": (
        lambda path: read(path, crowd(1, 400, 0.1, 0.9), sha256="0" * 64),
        "bad",
        ["No verdict", "THE REGISTRATION WAS CHANGED", '--accept-changed "reason"'],
    ),
    "accepted": (
        lambda path: read(path, crowd(1, 400, 0.1, 0.9), sha256="0" * 64, accepted="a typo"),
        "good",
        ["better", "THE REGISTRATION WAS CHANGED", "Accepted: a typo."],
    ),
    "metric": (
        lambda path: read(path, crowd(1, 400, 0.1, 0.9), metric=RETURNED),
        "plain",
        ["No verdict: returned is not what was registered, that is bought", "is that its name?"],
    ),
    "since": (
        lambda path: read(path, crowd(1, 400, 0.1, 0.9), since=START.replace(month=10)),
        "plain",
        ["No verdict: the time", "from before the registration"],
    ),
    "any time": (
        lambda path: read(path, crowd(1, 400, 0.45, 0.55), day=6, sequential=True),
        "wait",
        ["Nothing is certain yet", "Read on as often as you like", "their outcomes may still come"],
    ),
    "nothing yet": (
        lambda path: read(path, crowd(1, 400, 0.5, 0.5), day=1.5, sequential=True),
        "wait",
        ["Nothing can be said yet"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_answers(tmp_path: Path, case: str) -> None:
    examine, tone, words = CASES[case]
    report = abtest_report(examine(tmp_path), BadLines())
    assert report.tone == tone
    text = f"{report.answer} {text_of(report)}"
    for word in words:
        assert word in text, (word, report.answer, report.warnings)
    assert not any(word in report.answer for word in ("nan", "inf ", "None", "- points"))
    json.dumps(report.numbers)
    verdict = report.numbers["verdict"]
    assert verdict == {"good": "better", "bad": "worse"}.get(
        tone if case in ("better", "worse", "accepted") else ""
    ) or (verdict == ("no_difference" if case == "none" else None))
    write_page(report, tmp_path / "report.html")
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8") or case == "nothing yet"


def test_a_gain_with_harm_is_no_good_news(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.5, 0.8)
    visits += returned(visits, {"champion": 20, "challenger": 3})
    report = abtest_report(read(tmp_path, visits, promised(guardrails=[RETURNED])), BadLines())
    assert report.tone == "bad"
    assert "But returned got worse" in report.answer
    assert report.numbers["guardrails"][0]["harmed"] is True


def test_a_covariate_tells_what_it_was_worth(tmp_path: Path) -> None:
    report = abtest_report(
        read(tmp_path, covered(challenger_before=False), promised(covariate="7d")), BadLines()
    )
    assert "% narrower, worth" in text_of(report)
    assert "with what they did before the test taken out" in report.answer
    assert report.numbers["effect"]["covariate"]["width"] < 0.5
    assert report.numbers["effect"]["without_covariate"]["test"] == "z test, corrected"


def test_counts_have_their_ranks_beside_them(tmp_path: Path) -> None:
    metric = Metric(name="orders", outcome="bought", kind=Kind.COUNT)
    report = abtest_report(read(tmp_path, crowd(1, 400, 0.5, 0.5), promised(metric=metric)), BadLines())
    assert "Mann-Whitney" in text_of(report)
    assert 0.4 < report.numbers["effect"]["mann_whitney"]["superiority"] < 0.6


def test_what_may_spoil_it_is_said(tmp_path: Path) -> None:
    visits = crowd(1, 400, 0.5, 0.5)
    visits += [visit._replace(day=visit.day + 0.01, arm="champion") for visit in visits[:30]]
    visits = [visit._replace(version="2") if visit.day > 4 else visit for visit in visits]
    visits = [
        visit._replace(answered="champion") if number % 7 == 0 else visit
        for number, visit in enumerate(visits)
    ]
    bad = BadLines(3, (BadLine("log.jsonl", 7, "no JSON"),))
    warnings = " ".join(abtest_report(read(tmp_path, visits, promised(covariate="7d"), day=12), bad).warnings)
    for words in (
        "users had both models",
        "More than one model was the challenger during the test: challenger 1, challenger 2",
        "were answered by the champion in its place",
        "covariate could not be used",
        "3 bad lines of the log were left out: log.jsonl:7: no JSON",
    ):
        assert words in warnings, (words, warnings)


def test_few_exceptions_are_rough(tmp_path: Path) -> None:
    report = abtest_report(read(tmp_path, crowd(1, 400, 0.95, 0.95)), BadLines())
    assert any("the test is rough with less than ten" in warning for warning in report.warnings)


def test_fewer_than_five_expected_are_tested_exactly(tmp_path: Path) -> None:
    report = abtest_report(read(tmp_path, crowd(1, 400, 0.98, 0.98)), BadLines())
    assert report.numbers["effect"]["test"] == "Fisher's exact test"
    assert any("Fisher's exact test decides" in warning for warning in report.warnings)
    assert "where fewer than five users are expected in a cell" in text_of(report).lower()


def test_what_was_registered_is_shown(tmp_path: Path) -> None:
    test: Any = promised(note="Reads the income anew.", users=PlannedUsers(champion=120, challenger=130))
    text = text_of(abtest_report(read(tmp_path, crowd(1, 400, 0.5, 0.5), test), BadLines()))
    for words in (test.sha256[:16], "Reads the income anew.", "120 champion, 130 challenger", "by kim"):
        assert words in text


def test_a_mean_in_a_small_arm_tells_how_much_skewness_it_bears(tmp_path: Path) -> None:
    visits = [
        visit._replace(value=10.0 if visit.outcome is not None else None)
        for visit in crowd(1, 400, 0.5, 0.5, share=0.1)
    ]
    amounts = {
        "metric": Metric(name="basket", outcome="bought", kind=Kind.MEAN),
        "baseline": 5.0,
        "effect": 2.0,
        "deviation": 5.0,
        "share": 10,
        "users": PlannedUsers(champion=200, challenger=20),
    }
    (warning,) = abtest_report(read(tmp_path / "a", visits, promised(**amounts)), BadLines()).warnings
    assert "is tested well up to a skewness of 1" in warning
    said = abtest_report(read(tmp_path / "b", visits, promised(**amounts, skewness=0.5)), BadLines())
    assert not said.warnings

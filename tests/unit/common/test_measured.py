"""What a guardrail measured in words: one set of figures for board, command line and messages."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from common.measured import LONGEST, Measured, difference
from rollback.guardrails.effect import Effect
from rollback.guardrails.verdict import Action, Status, Verdict
from rollback.iteration import verdict_fields

VERDICT = Verdict(
    guardrail="errors",
    status=Status.BREACH,
    action=Action.ROLLBACK,
    limit=0.01,
    smallest_sample=100,
    sentence="so it was",
    unit="share",
    value=0.021,
    sample=10_000.0,
    window=timedelta(hours=2),
    effect=Effect(0.01, 0.006, 0.016),
    log_e=4.0,
    log_e_needed=4.2,
    path=np.array([0.0, 9.1, 4.0]),
)
ROWS = {
    "Challenger": "2.1%",
    "Champion": "1.0%",
    "Difference": "+1.1 points",
    "Interval": "+0.60 to +1.6 points, 95% at every look",
    "Limit": "at most 1.0%",
    "How sure": "sure: by chance that comes in 1 of 67 stages at most",
    "Test score": "9.1, threshold 4.2",
    "Sample": "10,000 calls, 2h since the stage began",
}


def test_it_shows_all_that_was_measured() -> None:
    assert dict(VERDICT.measured.rows()) == ROWS
    assert str(VERDICT.measured) == (
        "challenger 2.1%, champion 1.0%: +1.1 points (+0.60 to +1.6 points, 95% at every look); at most"
        " 1.0% is allowed; 10,000 calls, 2h since the stage began"
    )


def test_the_record_of_a_verdict_tells_the_same() -> None:
    record = verdict_fields(VERDICT) | {"evidence": {"log_e_highest": 9.1}}
    assert Measured.of_record(record) == VERDICT.measured


def test_a_number_without_a_champion_is_a_value() -> None:
    told = Measured(
        "agreement",
        "ok",
        unit="share",
        fewer=True,
        value=0.97,
        limit=0.9,
        sample=312.4,
        window=timedelta(minutes=15),
    )
    assert dict(told.rows()) == {
        "Value": "97.0%",
        "Limit": "at least 90%",
        "How sure": "one number on 312 calls, held against the limit as it is",
        "Sample": "312 calls, the last 15m",
    }
    assert told.status == "within its limit"


def test_times_are_a_comparison_themselves() -> None:
    rows = dict(Measured("errors", "breach", unit="times", value=1.3, limit=1.2).rows())
    assert rows["Challenger"] == "1.3 times the champion's"
    assert rows["Difference"] == "+30%"


SMALL = Measured(
    "errors", "ok", value=0.01, champion=0.01, low=-0.001, high=0.001, limit=0.012, threshold=4.0
)
WANTED = replace(SMALL, fewer=True, value=0.1, champion=0.1, low=-0.01, high=0.01, limit=0.09)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (SMALL, "safe to ship"),
        (replace(SMALL, low=-0.01, high=0.01), "keep watching"),
        (WANTED, "safe to ship"),
        (replace(WANTED, low=-0.02, high=0.02), "keep watching"),
        (Measured("errors", "no data"), "keep watching"),
        (Measured("errors", "breach"), "breached"),
        (Measured("errors", "cannot measure"), "cannot measure"),
    ],
)
def test_safe_is_what_is_within_the_limit_with_all_of_its_interval(told: Measured, status: str) -> None:
    assert told.status == status


@pytest.mark.parametrize(
    ("score", "sure"),
    [
        (-1.0, "no sign that it is worse than allowed"),
        (1.0, "no sign yet: test score at 25% of its threshold"),
        (3.0, "not sure, but suspicious: test score at 75% of its threshold"),
    ],
)
def test_how_sure_it_is_in_words(score: float, sure: str) -> None:
    assert Measured("errors", "ok", score=score, threshold=4.0).sure == sure


def test_a_difference_has_a_sign_and_a_unit() -> None:
    assert difference(-0.0042, "share") == "-0.42 points"
    assert difference(0.074, "seconds") == "+74 ms"


@pytest.mark.parametrize(
    ("told", "short"),
    [
        (Measured("p99", "ok", unit="seconds", value=0.012, limit=0.2), "12 ms (limit 200 ms)"),
        (Measured("errors", "ok", unit="share", value=0.0, limit=0.2), "0% (limit 20%)"),
        (
            Measured("agreement", "ok", unit="share", fewer=True, value=0.97, limit=0.9),
            "97.0% (at least 90%)",
        ),
        (VERDICT.measured, "2.1%, champion 1.0% (limit 1.0%); test score 9.1, threshold 4.2"),
        (Measured("errors", "ok", score=-0.01, threshold=4.0), "test score 0.0, threshold 4.0"),
        (Measured("errors", "no data", limit=0.2), ""),
    ],
)
def test_a_few_words_have_the_units_too(told: Measured, short: str) -> None:
    assert told.short == short


def test_the_cause_fits_into_a_tag() -> None:
    slow = Measured("slow", "breach", unit="seconds", value=0.294, champion=0.12, limit=0.2)
    assert slow.cause("It was slow") == "slow: 294 ms, champion 120 ms (limit 200 ms)"
    long = Measured(
        "a-guardrail-with-a-long-name", "breach", unit="share", value=0.12, champion=0.01, limit=0.02
    )
    assert long.cause("") == "a-guardrail-with-a-long-name: 12% (limit 2.0%)"
    assert len(long.cause("")) <= LONGEST


@pytest.mark.parametrize(
    ("value", "limit", "words"),
    [
        (0.12345, 0.02, "slow: 0.123 (limit 0.02)"),
        (1234.5, 500, "slow: 1,234 (limit 500)"),
        (None, 0.02, "slow: It was slow"),
        (0.5, None, "slow: It was slow"),
    ],
)
def test_the_cause_without_figures_is_the_sentence(
    value: float | None, limit: float | None, words: str
) -> None:
    assert Measured("slow", "breach", value=value, limit=limit).cause("It was slow") == words

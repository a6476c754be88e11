"""When there may be a verdict, and which."""

import pytest

from analysis.abtest.verdict import Finding, answer, harmed, obstacle
from analysis.metric import Direction, Metric
from analysis.statistics.arrivals import SampleRatio, sample_ratio
from analysis.statistics.effect import Effect, Interval

FINE = {"changed": False, "own_metric": True, "own_time": True, "complete": True, "sequential": False}
EVEN, OFF, FAINT = (
    sample_ratio(1000, 1000, 0.5),
    sample_ratio(1000, 1300, 0.5),
    sample_ratio(10_340, 9_850, 0.5),
)
MORE, LESS = Metric(name="m", outcome="m"), Metric(name="m", outcome="m", direction=Direction.DECREASE)


@pytest.mark.parametrize(
    ("conditions", "ratio", "expected"),
    [
        (FINE, EVEN, None),
        (FINE, OFF, Finding.MISMATCH),
        (FINE, FAINT, Finding.MISMATCH),  # the one look that was planned
        (FINE | {"complete": False}, FAINT, Finding.TOO_EARLY),  # one of many looks: not enough
        (FINE | {"complete": False}, OFF, Finding.MISMATCH),
        (FINE | {"complete": False}, EVEN, Finding.TOO_EARLY),
        (FINE | {"complete": False, "sequential": True}, EVEN, None),
        (FINE | {"sequential": True}, FAINT, None),
        (FINE | {"sequential": True}, OFF, Finding.MISMATCH),
        (FINE | {"changed": True}, OFF, Finding.CHANGED),
        (FINE | {"changed": True, "sequential": True}, EVEN, Finding.CHANGED),
        (FINE | {"own_metric": False}, EVEN, Finding.NO_VERDICT),
        (FINE | {"own_metric": False, "sequential": True}, EVEN, Finding.NO_VERDICT),
        (
            FINE | {"own_metric": False, "complete": False},
            EVEN,
            Finding.TOO_EARLY,
        ),  # no peeking by another name
        (FINE | {"own_time": False}, EVEN, Finding.NO_VERDICT),
    ],
)
def test_what_stands_in_the_way(
    conditions: dict[str, bool], ratio: SampleRatio, expected: Finding | None
) -> None:
    assert obstacle(**conditions, ratio=ratio) is expected


def effect(difference: float, p: float) -> Effect:
    """An effect of which only these matter."""
    return Effect("test", 0.5, 0.5 + difference, difference, p, Interval(-1, 1), None)


@pytest.mark.parametrize(
    ("difference", "p", "metric", "expected"),
    [
        (0.1, 0.05, MORE, Finding.BETTER),
        (-0.1, 0.05, MORE, Finding.WORSE),
        (0.1, 0.05, LESS, Finding.WORSE),
        (-0.1, 0.05, LESS, Finding.BETTER),
        (0.1, 0.051, MORE, Finding.NO_DIFFERENCE),
    ],
)
def test_the_answer(difference: float, p: float, metric: Metric, expected: Finding) -> None:
    assert answer(effect(difference, p), metric, alpha=0.05) is expected


def test_a_reading_at_any_time_may_go_on() -> None:
    assert answer(effect(0.1, 0.2), MORE, alpha=0.05, sequential=True) is Finding.UNDECIDED
    assert answer(effect(0.1, 0.01), MORE, alpha=0.05, sequential=True) is Finding.BETTER


def test_a_guardrail_is_harmed_on_its_bad_side_only() -> None:
    assert harmed(effect(0.1, 0.01), LESS, alpha=0.025)
    assert not harmed(effect(-0.1, 0.01), LESS, alpha=0.025)
    assert not harmed(effect(0.1, 0.03), LESS, alpha=0.025)


def test_what_may_be_seen() -> None:
    assert [each for each in Finding if not each.may_show] == [
        Finding.TOO_EARLY,
        Finding.MISMATCH,
        Finding.CHANGED,
    ]

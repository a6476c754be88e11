"""The verdict on a drill."""

from dataclasses import replace
from typing import Any

import pytest

from drills.judge import Measured, Outcome, Outsiders, judge, outsiders, tally
from drills.load import Sample

SEEN = Outsiders(
    users=300, requests=1000, failed=0, median_before=0.003, p99_before=0.004, p99=0.03, slowest=0.2
)
GOOD = Measured(
    seconds_to_off=12.0,
    turned_off_by="canario-rollback",
    seconds_to_first_failure=0.3,
    seconds_to_last_challenger=13.0,
    given_after=0,
    outsiders=SEEN,
)


def sample(
    user: str, assigned: str | None, seconds: float = 0.004, status: int | None = 200, **more: Any
) -> Sample:
    return Sample(
        0.0,
        user,
        seconds,
        status,
        model=more.get("model", assigned),
        assigned=assigned,
        reason=more.get("reason"),
    )


def verdict(measured: Measured) -> Outcome:
    return judge(measured, limit_seconds=60.0, job="canario-rollback")


def test_a_good_drill_passes() -> None:
    assert verdict(GOOD).passed


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seconds_to_off": None}, "the flag was not off within 60 s of the fault"),
        ({"seconds_to_off": 60.1}, "the flag was not off within 60 s of the fault"),
        ({"turned_off_by": "admin"}, "the flag was turned off by admin, not by canario-rollback"),
        ({"turned_off_by": None}, "the flag was turned off by None, not by canario-rollback"),
        ({"outsiders": replace(SEEN, failed=1)}, "1 of 1000 requests of users outside the canary failed"),
        ({"outsiders": replace(SEEN, slowest=0.2545)}, "took 254 ms, 250 ms more than before"),
        ({"given_after": 1}, "1 requests were given to the challenger after the flag was off"),
        ({"seconds_to_first_failure": None}, "no user met the fault: the drill proved nothing"),
    ],
)
def test_each_thing_that_must_not_be_is_a_fault(change: dict[str, Any], sentence: str) -> None:
    outcome = verdict(replace(GOOD, **change))
    assert not outcome.passed
    assert len(outcome.faults) == 1
    assert sentence in outcome.faults[0]


def test_the_limit_of_the_delay_is_allowed() -> None:
    assert verdict(replace(GOOD, outsiders=replace(SEEN, p99_before=0.0, slowest=0.25))).passed


def test_outsiders_are_those_whom_the_healthy_canary_left_with_the_champion() -> None:
    healthy = [sample("in", "challenger"), sample("out", "champion", 0.002), sample("out", "champion", 0.004)]
    later = [
        sample("in", "challenger", 9.0),
        sample("out", "champion", 0.1),
        sample("out", None, 5.0, None),
        sample("unseen", "champion", 7.0),
    ]
    seen = outsiders(healthy, later)
    assert (seen.users, seen.requests, seen.failed) == (1, 2, 1)
    assert seen.median_before == pytest.approx(0.003)
    assert seen.p99_before == pytest.approx(0.00398)
    assert seen.slowest == 5.0
    assert seen.delay == pytest.approx(5 - 0.00398)


def test_without_outsiders_there_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="no user outside the canary"):
        outsiders([sample("in", "challenger")], [sample("in", "challenger")])


def test_tally_counts_by_model_and_outcome() -> None:
    counts = tally(
        [
            sample("a", "champion", reason="flag_off"),
            sample("a", "champion", reason="flag_off"),
            sample("b", "challenger", reason="flag_on"),
            sample("c", "challenger", model="champion", reason="fallback_timeout"),
            sample("d", None, status=500),
            sample("e", None, status=None),
        ]
    )
    assert counts == {
        ("champion", "ok"): 2,
        ("challenger", "ok"): 1,
        ("champion", "fallback_timeout"): 1,
        ("nobody", "HTTP 500"): 1,
        ("nobody", "no answer"): 1,
    }

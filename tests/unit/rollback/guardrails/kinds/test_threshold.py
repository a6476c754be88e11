"""Verdicts, tabled: what each reading means, and what a series of looks means together."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from common.arms import OURS
from rollback.guardrails.kinds.question import Reading
from rollback.guardrails.kinds.threshold import Measurement, Threshold
from rollback.guardrails.verdict import Status
from rollback.guardrails.window import TooYoung, Window
from tests.unit.rollback.conftest import NOW, make_policy

NAN, INF = math.nan, math.inf
OK, BREACH = Status.OK, Status.BREACH
NAMES = "are its names right, and does the service export them?"
NO_DATA, CANNOT = Status.NO_DATA, Status.CANNOT_MEASURE


def measured(
    values: list[float | None],
    samples: list[float | None],
    value_fault: str | None = None,
    sample_fault: str | None = None,
    **changes: object,
) -> Measurement:
    (guardrail,) = make_policy(**changes).of(Threshold)
    looks = tuple(NOW - timedelta(seconds=15) * back for back in range(max(len(values), 1) - 1, -1, -1))
    return Measurement(
        guardrail,
        Window(timedelta(minutes=1), looks),
        Reading("value_slow[1m]", tuple(values), value_fault),
        Reading("sample_slow[1m]", tuple(samples), sample_fault),
    )


@pytest.mark.parametrize(
    ("value", "sample", "status", "sentence"),
    [
        (0.3, 80, BREACH, "0.3 on 80 calls is over the limit of 0.2"),
        (0.2, 80, OK, "0.2 on 80 calls is not over the limit of 0.2"),
        (0.1, 80, OK, "0.1 on 80 calls is not over the limit of 0.2"),
        (-0.1, 80, OK, "-0.1 on 80 calls is not over the limit of 0.2"),
        (0.3, 50, BREACH, "0.3 on 50 calls is over the limit of 0.2"),
        (0.3, 49.9, NO_DATA, "only 49 calls in the window, and 50 are needed"),
        (0.3, 0, NO_DATA, "only 0 calls in the window, and 50 are needed"),
        (INF, 49, NO_DATA, "only 49 calls in the window, and 50 are needed"),
        (0.3, None, CANNOT, "the query for the sample gives no series: " + NAMES),
        (0.3, NAN, NO_DATA, "nobody called the model in the window"),
        (0.3, INF, CANNOT, "the query for the sample divides by zero"),
        (None, 80, CANNOT, "80 calls in the window, but the query gives no series: " + NAMES),
        (NAN, 80, NO_DATA, "80 calls in the window, but the query gives no number"),
        (INF, 80, CANNOT, "the query for the value divides by zero"),
        (-INF, 80, CANNOT, "the query for the value divides by zero"),
    ],
)
def test_one_look(value: float | None, sample: float | None, status: Status, sentence: str) -> None:
    verdict = measured([value], [sample]).judge()
    assert (verdict.status, verdict.sentence) == (status, sentence)


@pytest.mark.parametrize(
    ("value", "status", "sentence"),
    [
        (0.1, BREACH, "0.1 on 80 calls is under the limit of 0.2"),
        (0.2, OK, "0.2 on 80 calls is not under the limit of 0.2"),
        (0.3, OK, "0.3 on 80 calls is not under the limit of 0.2"),
    ],
)
def test_a_limit_from_below(value: float, status: Status, sentence: str) -> None:
    verdict = measured([value], [80], direction="below").judge()
    assert (verdict.status, verdict.sentence) == (status, sentence)


@pytest.mark.parametrize(
    ("values", "samples", "status", "sentence"),
    [
        (
            [0.3, 0.5, 0.3],
            [80, 80, 80],
            BREACH,
            "0.3 on 80 calls is over the limit of 0.2, as at each of 3 looks over 30s",
        ),
        (
            [0.3, 0.1, 0.3],
            [80, 80, 80],
            OK,
            "0.3 is over the limit of 0.2, but only at 2 of 3 looks over 30s",
        ),
        (
            [0.1, 0.2, 0.3],
            [80, 80, 80],
            OK,
            "0.3 is over the limit of 0.2, but only at 1 of 3 looks over 30s",
        ),
        ([0.3, 0.3, 0.1], [80, 80, 80], OK, "0.1 on 80 calls is not over the limit of 0.2"),
        (
            [0.3, None, 0.3],
            [80, 80, 80],
            NO_DATA,
            "beyond the limit at 2 of 3 looks over 30s, and nothing is known of the others",
        ),
        (
            [0.3, 0.3, 0.3],
            [40, 80, 80],
            NO_DATA,
            "beyond the limit at 2 of 3 looks over 30s, and nothing is known of the others",
        ),
        (
            [0.3, INF, 0.3],
            [80, 80, 80],
            NO_DATA,
            "beyond the limit at 2 of 3 looks over 30s, and nothing is known of the others",
        ),
        ([0.3, 0.3, 0.3], [80, 80, 40], NO_DATA, "only 40 calls in the window, and 50 are needed"),
        ([0.3, 0.3, INF], [80, 80, 80], CANNOT, "the query for the value divides by zero"),
    ],
)
def test_a_breach_must_have_held_at_each_look(
    values: list[float | None], samples: list[float | None], status: Status, sentence: str
) -> None:
    verdict = measured(values, samples, **{"for": "30s"}).judge()
    assert (verdict.status, verdict.sentence) == (status, sentence)


@pytest.mark.parametrize(
    ("value_fault", "sample_fault", "sentence"),
    [("two series", None, "two series"), (None, "HTTP 400", "HTTP 400"), ("later", "first", "first")],
)
def test_a_query_that_fails_cannot_be_judged(
    value_fault: str | None, sample_fault: str | None, sentence: str
) -> None:
    values: list[float | None] = [] if value_fault else [0.3]
    samples: list[float | None] = [] if sample_fault else [80]
    verdict = measured(values, samples, value_fault, sample_fault).judge()
    assert (verdict.status, verdict.sentence) == (CANNOT, sentence)


def test_a_verdict_carries_what_it_rests_on() -> None:
    verdict = measured([0.1, 0.3], [70, 80], action="warn").judge()
    assert (verdict.guardrail, verdict.value, verdict.limit) == ("slow", 0.3, 0.2)
    assert (verdict.sample, verdict.smallest_sample) == (80, 50)
    assert (verdict.query, verdict.window) == ("value_slow[1m]", timedelta(minutes=1))


@pytest.mark.parametrize(
    ("action", "value", "due"), [("rollback", 0.3, True), ("rollback", 0.1, False), ("warn", 0.3, False)]
)
def test_only_a_breach_with_that_action_calls_for_a_rollback(action: str, value: float, due: bool) -> None:
    assert measured([value], [80], action=action).judge().calls_for_rollback is due


@pytest.mark.parametrize(("age", "told"), [(8.4, "8 s"), (-2, "0 s")])
def test_a_young_stage_has_no_data(age: float, told: str) -> None:
    (guardrail,) = make_policy().guardrails
    verdict = guardrail.too_young(TooYoung(timedelta(seconds=age), timedelta(seconds=20)))
    assert verdict.status is NO_DATA
    assert verdict.sentence == f"the stage began {told} ago and is judged from 20s on"
    assert verdict.query is None


def test_a_stage_that_begins_in_the_future_cannot_be_measured() -> None:
    (guardrail,) = make_policy().guardrails
    verdict = guardrail.too_young(TooYoung(timedelta(minutes=-10), timedelta(seconds=20)))
    assert verdict.status is CANNOT
    assert "10m ahead" in verdict.sentence


def test_users_are_asked_for_where_the_service_tells_them() -> None:
    query = (
        "sum(increase({{{} of challenger}}[{{window}}])) / sum(increase({{calls of challenger}}[{{window}}]))"
    )
    (given,) = make_policy(value=query.format("errors"), by="user-windows").of(Threshold)
    ours, others = given.on(OURS), given.on(OURS.model_copy(update={"user_windows": None}))
    assert ours.value == others.asked == others.value
    assert ours.asked == ours.value.replace("prediction_errors_total", "user_windows_bad_total") != ours.value
    (written,) = make_policy(**ours.as_written()).of(Threshold)
    assert written == ours  # so that evidence is judged again as it was

    def told(guardrail: Threshold) -> str:
        return replace(measured([0.3], [80]), guardrail=guardrail).judge().sentence

    assert told(ours) == "0.3 on 80 calls is over the limit of 0.2, each user once in 10 minutes"
    assert told(others).endswith("the limit of 0.2, by calls, for want of the signal `user_windows`")
    assert replace(measured([0.3], [8]), guardrail=ours).judge().sentence.endswith("50 are needed")
    gross = ours.model_copy(update={"by_calls_above": 0.9})
    assert gross.asked == f"(({ours.value}) > 0.9) or ({ours.asked})"
    assert told(gross).endswith(", each user once in 10 minutes unless more than 0.9 of the calls")

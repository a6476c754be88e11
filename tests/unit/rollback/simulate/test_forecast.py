"""The plan's foresight held against made-up stages: the same statistics step by step, and `simulate`."""

from datetime import timedelta

import numpy as np
import pytest

from common.e_process import LateStart
from common.sequential import Counts, log_e, log_e_limit
from flags.rollout.schema import RolloutPlan
from rollback.guardrails.file import load_policy
from rollback.simulate.detect import Sensor, Stream, seconds_to_detect, smallest
from rollback.simulate.forecast import ExpectedTraffic, foresee, sensors_of
from rollback.simulate.study import Case, PlayedStage, World, run_all
from rollback.simulate.traffic import Behaviour

STEP = 15
ERRORS = sensors_of(load_policy())["errors"]


def four_of_five(sensor: Sensor, stream: Stream, worse: float, seconds: float, runs: int = 150) -> float:
    """Seconds in which four of five made-up stages find it."""
    dice = np.random.default_rng(7)
    steps = max(round(3 * seconds / STEP), 10)
    calls = STEP * stream.rate
    mine = dice.poisson(calls * stream.share, (runs, steps))
    theirs = dice.poisson(calls * (1 - stream.share), (runs, steps))
    bad, their_bad = dice.binomial(mine, worse), dice.binomial(theirs, stream.bad)
    late = LateStart(240, 48, sensor.late_weight)
    evidence = log_e(Counts(theirs, their_bad, mine, bad), late=late)
    if sensor.at_least:
        evidence = np.minimum(evidence, log_e_limit(bad, mine, limit=sensor.at_least, late=late))
    found = evidence >= -np.log(sensor.alpha)
    first = np.where(found.any(axis=1), found.argmax(axis=1) + 1, 10**9) * STEP
    return float(np.quantile(first, 0.8))


@pytest.mark.parametrize(
    ("stream", "worse"),
    [
        (Stream(50, 0.05, 0.01), 0.02),
        (Stream(50, 0.01, 0.01), 0.02),
        (Stream(50, 0.25, 0.01), 0.02),
        (Stream(50, 0.05, 0.001), 0.003),
        (Stream(50, 0.05, 0.0), 0.01),
        (Stream(10, 0.01, 0.01), 1.0),
    ],
    ids=str,
)
def test_times_are_those_of_made_up_stages(stream: Stream, worse: float) -> None:
    foreseen = seconds_to_detect(ERRORS, stream, worse)
    played = four_of_five(ERRORS, stream, worse, max(foreseen, 60))
    assert played * 0.8 - 2 * STEP <= foreseen <= played * 1.45 + 2 * STEP


def test_the_smallest_regression_is_what_takes_the_whole_stage() -> None:
    stream = Stream(50, 0.05, 0.01)
    least = smallest(ERRORS, stream, 86_400)
    assert least
    assert 0.01 < least < 0.013
    assert seconds_to_detect(ERRORS, stream, least) == pytest.approx(86_400, rel=0.2)
    assert smallest(ERRORS, stream, 1.0) is None


@pytest.mark.parametrize(
    ("stream", "worse"),
    [(Stream(50, 1.0, 0.01), 0.02), (Stream(0, 0.05, 0.01), 0.02), (Stream(50, 0.05, 0.01), 0.01)],
)
def test_what_is_never_found(stream: Stream, worse: float) -> None:
    assert seconds_to_detect(ERRORS, stream, worse) == np.inf


def test_it_agrees_with_simulate() -> None:
    """Doubled errors at 25% of 50 a second; there other guardrails help, so it may only be sooner."""
    champion = Behaviour(0.02, 0.6, 0.01)
    case = Case("doubled", (PlayedStage(0.25, timedelta(minutes=20)),), Behaviour(0.02, 0.6, 0.02))
    policy = load_policy()
    world = World(champion, 50, policy.step, 3)
    runs = run_all(policy, world, [(case, 30)], 1, lambda _: None)[case]
    minutes = sorted(run.ours.minutes if run.ours else np.inf for run in runs)
    foreseen = seconds_to_detect(ERRORS, Stream(50, 0.25, 0.01), 0.02) / 60
    assert minutes[int(0.8 * len(minutes))] <= foreseen * 1.5
    assert foreseen <= 2.5 * minutes[int(0.8 * len(minutes))]


def test_too_little_traffic_is_said_in_a_sentence() -> None:
    plan = RolloutPlan.model_validate(
        {"stages": [{"share": 5, "least": "1h"}, {"share": 100}], "promote": "by_hand"}
    )
    canary, whole = foresee(plan, ExpectedTraffic(rate=2, users=10_000), load_policy())
    assert canary.honest
    assert canary.honest.startswith("a 5% canary of 2 req/s cannot see 1% -> 2% errors in 1h; it needs ")
    assert canary.doubled_errors_seconds > 3600
    assert whole.honest is None
    assert whole.errors is None
    (enough, _) = foresee(plan, ExpectedTraffic(rate=500), load_policy())
    assert enough.honest is None
    assert (enough.users, enough.worst_users) == (None, None)


def test_the_worst_case_is_users_times_share_times_the_time_to_roll_back() -> None:
    plan = RolloutPlan.model_validate({"stages": [{"share": 10, "least": "24h"}], "promote": "by_hand"})
    (one,) = foresee(plan, ExpectedTraffic(rate=20, users=100_000), load_policy())
    assert one.requests == pytest.approx(20 * 0.1 * 86_400)
    assert one.users == pytest.approx(10_000)
    assert one.worst_requests == pytest.approx(20 * 0.1 * one.rollback_seconds)
    assert one.worst_users == pytest.approx(100_000 * 0.1 * one.rollback_seconds / 86_400)
    assert 30 < one.rollback_seconds < 120


def test_a_stage_lasts_until_its_counts_are_there() -> None:
    stages = [{"share": 1, "least": "1h", "requests": 7200, "outcomes": 10}]
    plan = RolloutPlan.model_validate({"stages": stages, "promote": "by_hand"})
    (slow,) = foresee(plan, ExpectedTraffic(rate=10, outcomes=1), load_policy())
    assert slow.seconds == 72_000
    (never,) = foresee(plan, ExpectedTraffic(rate=10), load_policy())
    assert never.seconds == np.inf

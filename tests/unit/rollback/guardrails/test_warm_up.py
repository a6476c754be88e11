"""What a stage leaves out of comparisons of latency, since the challenger had just started."""

import json
from datetime import timedelta

import numpy as np
import pytest

from common.arms import OURS
from common.prometheus import Prometheus
from rollback.guardrails.counts import Counted
from rollback.guardrails.file import Policy, rejudge
from rollback.guardrails.verdict import Status, Verdict
from rollback.guardrails.warm_up import LeftOut, bounded, lead, started, warm_steps, warm_ups
from rollback.guardrails.window import Grid
from rollback.job import Job
from tests.unit.rollback.conftest import (
    ARMS,
    NOW,
    TAIL,
    FakeCanary,
    Numbers,
    Reading,
    Server,
    make_policy,
    policy_of,
    result,
)

STEP, WARM_UP = timedelta(seconds=15), timedelta(minutes=2)
AFTER, BEFORE = 8, 9  # steps
NONE = float("nan")
HARD: dict[str, object] = {
    **{name: value for name, value in TAIL.items() if name not in {"quantile", "margin"}},
    "name": "hard",
    "slower_than": "20ms",
    "limit": 0.006,
}
EDGES = (0.005, 0.01, 0.012, 0.0144, 0.02, 0.2)


def grid(steps: int) -> Grid:
    """So many whole steps up to NOW."""
    return Grid(NOW - steps * STEP, STEP, steps, NOW)


def times(steps: int, *starts: tuple[int, float], first: float = 100) -> np.ndarray:
    """When an instance says it was started: `first`, and from each step on another time."""
    values = np.full(BEFORE + steps + 2, first)
    for step, time in starts:
        values[BEFORE + step + 1 :] = time
    return values


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([5, 5, 5], [False, False]),
        ([5, 7, 7], [True, False]),
        ([NONE, 7, 7], [True, False]),
        ([0, 0, 7], [False, True]),  # a service that has no challenger yet
        ([5, NONE, 5], [False, False]),
        ([5, NONE, 9], [False, True]),
        ([NONE, NONE, NONE], [False, False]),
        ([9, 5, 5], [False, False]),  # the worker that was started last has ended
    ],
)
def test_a_start_is_a_rise(values: list[float], seen: list[bool]) -> None:
    assert started(np.array(values)).tolist() == seen


def test_a_warm_up_is_the_step_of_the_start_and_those_after_it() -> None:
    starts = np.zeros(10, np.bool_)
    starts[[1, 2, 7]] = True
    assert np.flatnonzero(warm_steps(starts, 2)).tolist() == [1, 2, 3, 4, 7, 8, 9]


def test_what_starts_for_ever_does_not_hide() -> None:
    """A start every three minutes for a day: three warm-ups, and then nothing more is left out."""
    starts = np.zeros(5760, np.bool_)
    starts[::12] = True
    left = bounded(warm_steps(starts, AFTER), AFTER)
    assert np.flatnonzero(left).max() < 4 * 12
    daily = np.zeros(5760, np.bool_)
    daily[[0, 100, 2000, 2010, 5000]] = True
    assert (bounded(warm_steps(daily, AFTER), AFTER) == warm_steps(daily, AFTER)).all()


def test_what_is_left_out_does_not_depend_on_what_comes_later() -> None:
    dice = np.random.default_rng(1)
    starts = dice.random(500) < 0.05
    left = bounded(warm_steps(starts, AFTER), AFTER)
    for steps in (50, 200, 499):
        assert (bounded(warm_steps(starts[:steps], AFTER), AFTER) == left[:steps]).all()


def test_only_the_instance_that_started_is_left_out() -> None:
    counted = [
        Counted({"instance": name, "model": model}, np.ones(101))
        for name in ("a", "b")
        for model in ("champion", "challenger")
    ]
    found = warm_ups(WARM_UP, grid(100), {"a": times(100, (40, 200.0)), "b": times(100)})
    *of_a, of_b, _ = found.leave_out(counted)
    for each in of_a[:2]:
        assert np.flatnonzero(each.steps == 0).tolist() == [*range(40, 49)]
    assert of_b.steps.all()
    assert str(found.told) == "2m15s of warm-up left out after the start at 11:45 UTC"
    assert found.over == NOW - 51 * STEP


def test_where_the_counts_tell_no_instances_all_of_them_are() -> None:
    """A mesh counts at its sidecars, and the process that starts is another target."""
    counted = [Counted({"instance": "sidecar"}, np.ones(101))]
    (left,) = warm_ups(WARM_UP, grid(100), {"a": times(100, (40, 200.0))}).leave_out(counted)
    assert left.steps.sum() == 92


def test_a_start_just_before_the_stage_matters() -> None:
    found = warm_ups(WARM_UP, grid(100), {"a": times(100, (-4, 200.0))})
    assert np.flatnonzero(found.by_instance["a"]).tolist() == [0, 1, 2, 3, 4]
    assert (found.told.seconds, found.told.starts) == (75, 1)
    assert lead(WARM_UP, STEP) == BEFORE


def test_workers_that_start_one_after_the_other_are_one_start() -> None:
    found = warm_ups(WARM_UP, grid(100), {"a": times(100, (40, 200.0), (41, 210.0), (43, 220.0))})
    assert (found.told.starts, found.told.seconds) == (1, 180)


def test_a_window_begins_after_the_last_of_many_instances() -> None:
    """Four of them, one minute after the other, twice in 15 minutes; and one that starts for ever."""
    fleet = {str(each): times(240, (4 * each, 200.0), (60 + 4 * each, 300.0)) for each in range(4)}
    assert warm_ups(WARM_UP, grid(240), fleet).over == NOW - 159 * STEP
    for_ever = {"a": times(240, *((step, 200.0 + step) for step in range(0, 240, 12)))}
    assert warm_ups(WARM_UP, grid(240), for_ever).over is None


def test_several_starts_are_told_with_the_last() -> None:
    a, b = times(100, (10, 200.0), (60, 300.0)), times(100, (62, 200.0))
    found = warm_ups(WARM_UP, grid(100), {"a": a, "b": b})
    assert str(found.told) == "5m of warm-up left out after 3 starts, the last at 11:50 UTC"
    often = [(step, 200.0 + step) for step in range(0, 100, 10)]
    found = warm_ups(WARM_UP, grid(100), {"a": times(100, *often)})
    assert str(found.told).endswith(", and not all, for it starts too often")
    assert found.over is None


def test_zero_leaves_nothing_out_and_a_number_without_unit_is_no_time() -> None:
    fields = {"scrape_interval": "5s", "guardrails": [TAIL]}
    for nothing in (0, "0", "0s"):
        policy = Policy.model_validate({**fields, "warm_up": nothing})
        assert (policy.leaves_out, policy.model_dump(mode="json")["warm_up"]) == (False, "0s")
    assert Policy.model_validate(fields).warm_up == WARM_UP
    with pytest.raises(ValueError, match="'120' is no duration"):
        Policy.model_validate({**fields, "warm_up": "120"})


# In the job: an hour of stage, 50 calls a second, a challenger that is slow for two minutes after 11:30.

BEGAN, STARTED = NOW.timestamp() - 3600, NOW.timestamp() - 1800


def cold(*, slow_for: float = 120, at: float = STARTED, started: Reading | None = None) -> Numbers:
    """In its two minutes every third call of the challenger takes 15 to 200 ms."""

    def counter(rate: float, edge: str, slow: float) -> Reading:
        def read(time: float) -> float:
            calls = round(rate * (time - BEGAN + 7200))
            bad = round(0.005 * calls + slow * min(max(time - at, 0), slow_for))
            if edge == "+Inf" or float(edge) >= 0.2:
                return calls
            return calls - bad if float(edge) >= 0.012 else (calls - bad) // 2

        return read

    labels = {"job": "service", "instance": "a", "__name__": "x_bucket"}
    counters: list[tuple[dict[str, str], Reading]] = [
        ({**labels, "model": model, "le": edge}, counter(rate, edge, slow))
        for edge in (*map(str, EDGES), "+Inf")
        for model, rate, slow in (("champion", 47.5, 0.0), ("challenger", 2.5, 0.75))
    ]
    before = {str(edge): 5000 * (0.99 if edge >= 0.012 else 0.5) for edge in EDGES} | {"+Inf": 5000.0}
    read = started or (lambda time: at if time >= at else BEGAN - 7200)
    return Numbers({}, counters=counters, before=before, started=read)


def judged(
    server: Server, numbers: Numbers, *guardrails: dict[str, object], **changes: object
) -> list[Verdict]:
    server.reply = numbers
    return list(
        Job(policy_of(*guardrails, **changes), Prometheus(server.url), FakeCanary(), ARMS, dry_run=True)
        .run()
        .verdicts
    )


def test_a_cold_start_is_no_regression_and_a_hard_limit_knows_nothing_of_it(server: Server) -> None:
    tail, hard = judged(server, cold(), TAIL, HARD)
    assert tail.status is Status.OK, tail.sentence
    assert "2m15s of warm-up left out after the start at 11:30 UTC: test score" in tail.sentence
    assert hard.status is Status.BREACH
    assert "warm-up" not in hard.sentence
    (counted,) = judged(server, cold(), TAIL, warm_up=0)
    assert counted.status is Status.BREACH
    assert "warm-up" not in counted.sentence
    for verdict in (tail, hard, counted):
        written = json.loads(json.dumps(verdict.evidence, allow_nan=False))
        assert rejudge(written) == (verdict.status, verdict.sentence, verdict.log_e)


def test_who_stays_slow_after_the_warm_up_is_rolled_back(server: Server) -> None:
    (tail,) = judged(server, cold(slow_for=600), TAIL)
    assert tail.status is Status.BREACH
    assert tail.breached_at is not None
    assert tail.breached_at.timestamp() > STARTED + 120


def test_who_starts_again_and_again_is_rolled_back(server: Server) -> None:
    """Every three minutes, and slow all the time."""
    loop = cold(slow_for=3600, at=BEGAN, started=lambda time: time // 180 * 180)
    (tail,) = judged(server, loop, TAIL)
    assert tail.status is Status.BREACH
    assert "not all, for it starts too often" in tail.sentence


def test_a_start_that_is_not_known_is_told_and_counts(server: Server) -> None:
    nameless = cold()
    nameless.started = None
    (tail,) = judged(server, nameless, TAIL)
    assert tail.status is Status.BREACH
    told = "warm-up counted, for Prometheus has no series of challenger_started_timestamp_seconds"
    assert told in tail.sentence
    policy, foreign = policy_of(TAIL), OURS.model_copy(update={"started": None})
    arms = ARMS.__class__("canary", "production", signals=foreign)
    (tail,) = Job(policy, Prometheus(server.url), FakeCanary(), arms, dry_run=True).run().verdicts
    assert "warm-up counted, for want of the signal `started`" in tail.sentence


def test_starts_that_cannot_be_read_hold_up_no_verdict(server: Server) -> None:
    numbers = cold()

    def reply(path: str, form: dict[str, str]) -> object:
        if form["query"].startswith("max by (instance)"):
            return result("vector", [])  # no matrix
        return numbers(path, form)

    server.reply = reply  # type: ignore[assignment]
    (tail,) = Job(policy_of(TAIL), Prometheus(server.url), FakeCanary(), ARMS, dry_run=True).run().verdicts
    assert tail.status is Status.BREACH
    assert "warm-up counted, for its starts cannot be read: " in tail.sentence


def test_the_window_of_a_threshold_begins_after_the_warm_up(server: Server) -> None:
    at = NOW.timestamp() - 300
    numbers = {"value_slow": 0.3, "sample_slow": 80.0}
    server.reply = Numbers({**numbers}, started=lambda time: at if time >= at else 1.0)
    policy = make_policy(after_warm_up=True, window="10m")
    (verdict,) = Job(policy, Prometheus(server.url), FakeCanary(), ARMS, dry_run=True).run().verdicts
    assert verdict.query == "value_slow[2m50s]"  # since 11:57:05, but for a scrape
    assert verdict.sentence.endswith("2m15s of warm-up left out after the start at 11:55 UTC")
    written = json.loads(json.dumps(verdict.evidence, allow_nan=False))
    assert rejudge(written)[:2] == (verdict.status, verdict.sentence)
    (always,) = (
        Job(make_policy(window="10m"), Prometheus(server.url), FakeCanary(), ARMS, dry_run=True)
        .run()
        .verdicts
    )
    assert always.query == "value_slow[10m]"
    at = NOW.timestamp() - 60
    (warming,) = Job(policy, Prometheus(server.url), FakeCanary(), ARMS, dry_run=True).run().verdicts
    assert warming.status is Status.NO_DATA
    assert warming.sentence.startswith("1m10s of warm-up left out after the start at 11:59 UTC; it is judged")


def test_what_was_left_out_is_read_back_as_it_was() -> None:
    found = LeftOut(135, 1, NOW, too_often=True)
    assert LeftOut.read(json.loads(json.dumps(found.as_evidence))) == found

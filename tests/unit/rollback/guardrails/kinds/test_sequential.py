"""Verdicts of sequential guardrails, and the same from their evidence alone."""

import json
from dataclasses import replace
from datetime import timedelta
from math import log

import numpy as np
import pytest

from common.arms import OURS
from common.e_process import Values
from common.sequential import Buckets, Counts
from rollback.guardrails.edges import Edges
from rollback.guardrails.file import rejudge
from rollback.guardrails.kinds.counters import CounterRatio
from rollback.guardrails.kinds.question import LateStart
from rollback.guardrails.kinds.sequential import Sequential, Tally
from rollback.guardrails.verdict import Status
from rollback.guardrails.window import Grid
from tests.unit.rollback.conftest import NOW, SEQUENTIAL, TAIL, policy_of

BREACH, OK, NO_DATA = Status.BREACH, Status.OK, Status.NO_DATA
CANNOT_MEASURE = Status.CANNOT_MEASURE
LIMIT: dict[str, object] = {
    **{name: value for name, value in TAIL.items() if name not in {"quantile", "margin"}},
    "slower_than": "200ms",
    "limit": 0.01,
}


def tally(
    fields: dict[str, object],
    champion: tuple[int, int],
    challenger: tuple[int, float],
    *,
    missing: str | None = None,
    late: LateStart | None = None,
    steps: int = 100,
    **changes: object,
) -> Tally:
    """Calls and bad calls a step, the same in each; the last step has none."""
    (guardrail,) = policy_of(fields | changes).of(Sequential)
    columns = [np.append(np.full(steps - 1, float(each)), 0.0) for each in (*champion, *challenger)]
    return Tally(
        guardrail=guardrail,
        alpha=0.05,
        late_start=late,
        query='{__name__=~"x"}',
        grid=Grid(NOW - (steps - 1) * timedelta(seconds=15), timedelta(seconds=15), steps - 1, NOW),
        edges=Edges("0.0101", "0.0121") if "histogram" in fields else None,
        counts=Counts(*columns),
        missing=missing,
    )


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        (
            tally(SEQUENTIAL, (500, 5), (25, 1)),
            BREACH,
            "failed 99 of 2,475 calls, the champion 495 of 49,500: test score ",
        ),
        (tally(SEQUENTIAL, (500, 5), (100, 1)), OK, "the challenger failed 99 of 9,900 calls, the champion"),
        (
            tally(SEQUENTIAL, (500, 5), (1, 0)),
            NO_DATA,
            "only 99 calls of the challenger in this stage, and 100",
        ),
        (tally(SEQUENTIAL, (500, 5), (0, 0)), NO_DATA, "only 0 calls of the challenger in this stage"),
        (tally(SEQUENTIAL, (0, 0), (100, 50)), NO_DATA, "the champion has no calls in this stage"),
        (
            tally(SEQUENTIAL, (500, 0), (100, 0), missing="bad_total"),
            CANNOT_MEASURE,
            "Prometheus has no series of bad_total; is the name right?",
        ),
        (
            tally(SEQUENTIAL, (500, 0), (100, 0), missing='bad_total{outcome="sold"}'),
            NO_DATA,
            'Prometheus has no series of bad_total{outcome="sold"}; is the name right?',
        ),
        (tally(SEQUENTIAL, (500, 0), (1, 1)), BREACH, "the challenger failed 99 of 99 calls"),
        (
            tally(SEQUENTIAL, (500, 5), (25, 1), effect=5),
            OK,
            "and 5 times its share is allowed: test score -",
        ),
        (
            tally(SEQUENTIAL, (500, 5), (25, 1), at_least=0.05),
            OK,
            "and up to 5.0% is tolerated: test score -",
        ),
        (
            tally(SEQUENTIAL, (500, 5), (25, 1), at_least=0.01),
            BREACH,
            "and up to 1.0% is tolerated: test score ",
        ),
        (
            tally(SEQUENTIAL, (500, 50), (100, 5), worse="fewer", verb="sold in", noun="requests"),
            BREACH,
            "the challenger sold in 495 of 9,900 requests, the champion 4,950 of 49,500: test score",
        ),
        (tally(SEQUENTIAL, (500, 50), (100, 15), worse="fewer"), OK, "the challenger failed 1,485 of 9,900"),
        (
            tally(TAIL, (500, 5), (25, 1)),
            BREACH,
            "took over 12.1 ms, 495 of 49,500 of the champion over 10.1 ms: test score",
        ),
        (tally(LIMIT, (0, 0), (25, 1)), BREACH, "took over 12.1 ms, and 1.0% are allowed: test score "),
        (tally(LIMIT, (0, 0), (200, 1)), OK, "took over 12.1 ms, and 1.0% are allowed: test score -"),
        (
            tally(SEQUENTIAL, (0, 0), (25, 5), limit=0.1),
            BREACH,
            "failed 495 of 2,475 calls, and 10% are allowed: ",
        ),
    ],
)
def test_each_verdict_and_its_words_and_the_same_again_from_the_evidence(
    given: Tally, status: Status, sentence: str
) -> None:
    verdict = given.judge()
    assert (verdict.status, sentence in verdict.sentence) == (status, True), verdict.sentence
    written = json.loads(json.dumps(verdict.evidence, allow_nan=False))
    assert rejudge(written) == (verdict.status, verdict.sentence, verdict.log_e)
    assert (written["log_e"], written["limit"]) == (verdict.log_e, verdict.log_e_needed)


def test_the_evidence_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[Tally] = []
    work_out = Tally.log_e

    def counted(self: Tally) -> Values:
        times.append(self)
        return work_out(self)

    monkeypatch.setattr(Tally, "log_e", counted)
    verdict = tally(SEQUENTIAL, (500, 5), (25, 1)).judge()
    assert verdict.path is not None
    assert verdict.evidence["log_e_highest"] == verdict.path.max()
    assert len(times) == 1


def test_a_breach_stays_one_and_is_told_with_its_time() -> None:
    given = tally(SEQUENTIAL, (500, 5), (25, 1))
    good = Counts(*(np.append(each, np.zeros(5000)).astype(np.float64) for each in given.counts.arms))
    good.champion_total[100:] = 500
    good.champion_bad[100:] = 50  # later the champion is far worse, so the evidence falls again
    good.challenger_total[100:] = 50
    grid = Grid(given.grid.start, given.grid.step, 5099, given.grid.start + 5100 * given.grid.step)
    verdict = Tally(**{**vars(given), "counts": good, "grid": grid}).judge()
    assert verdict.log_e is not None
    assert verdict.log_e_needed == pytest.approx(-log(0.05 * 0.4))
    assert verdict.log_e < 0
    assert verdict.status is BREACH
    assert verdict.breached_at is not None
    assert f", breached at {verdict.breached_at:%d %B %H:%M} UTC" in verdict.sentence
    early = given.judge()
    assert early.breached_at == verdict.breached_at
    assert f"breached at {verdict.breached_at:%H:%M} UTC" in early.sentence


def test_a_late_start_finds_what_good_hours_would_hide() -> None:
    late = LateStart.model_validate({"every": "15m", "starts": 20, "weight": 0.5})
    plain, mixed = (tally(SEQUENTIAL, (500, 5), (100, 1), late=each, steps=1000) for each in (None, late))
    for each in (plain, mixed):
        each.counts.challenger_bad[900:] = 3
    assert mixed.log_e()[-1] > plain.log_e()[-1]
    verdict = mixed.judge()
    assert rejudge(verdict.evidence) == (verdict.status, verdict.sentence, verdict.log_e)
    assert verdict.evidence["late_start"] == {"every": "15m", "starts": 20, "weight": 0.5}


def test_the_evidence_is_what_the_contract_says() -> None:
    found = tally(TAIL, (500, 5), (25, 1)).judge().evidence
    assert found["kind"] == "sequential"
    assert found["guardrail"]["margin"] == 1.2
    assert found["edges"] == {"champion": 0.0101, "challenger": 0.0121}
    assert found["counts"]["challenger_bad"][:2] == [1, 1]
    assert (found["step_seconds"], found["last_step_seconds"]) == (15, 0)
    assert found["breached_at"] is not None
    assert found["log_e_highest"] >= found["limit"]


USERS: dict[str, object] = {
    **SEQUENTIAL,
    "by": "user-windows",
    "buckets": {"calls": "bucket_calls_total", "bad": "bucket_bad_total"},
}


def by_users(spread: float) -> Tally:
    """Two hours in which the challenger is worse, and the champion's buckets differ by `spread`."""
    given = tally(USERS, (500, 5), (25, 0.4), steps=481)
    calls = np.full((12, 99), 200.0)
    bad = np.full((12, 99), 2.0) + spread * np.where(np.arange(99) % 2, 1, -1)
    counts = Counts(*given.counts.arms, buckets=Buckets(40, calls, bad))
    return Tally(**{**vars(given), "counts": counts})


def test_evidence_of_users_counts_for_less_where_they_differ_by_themselves() -> None:
    alike, spread = by_users(0).judge(), by_users(2).judge()
    assert alike.log_e is not None
    assert spread.log_e is not None
    assert (alike.status, spread.status) == (BREACH, OK)
    assert alike.log_e > 3 * spread.log_e > 0
    assert ", the champion 2,400 of 240,000, each user once in 10 minutes: test score " in alike.sentence


def test_evidence_of_users_is_judged_again_from_what_is_kept() -> None:
    for each in (by_users(0), by_users(1), by_users(2)):
        verdict = each.judge()
        kept = json.loads(json.dumps(verdict.evidence))
        assert rejudge(kept) == (verdict.status, verdict.sentence, verdict.log_e)
    assert len(kept["buckets"]["calls"]) == 12
    young = tally(USERS, (500, 5), (25, 1), steps=30)
    counts = Counts(*young.counts.arms, buckets=Buckets(40, np.zeros((0, 99)), np.zeros((0, 99))))
    verdict = Tally(**{**vars(young), "counts": counts}).judge()
    kept = json.loads(json.dumps(verdict.evidence))
    assert rejudge(kept) == (verdict.status, verdict.sentence, verdict.log_e)


def test_few_users_who_are_failed_in_every_call_are_enough() -> None:
    """Ten users of a busy service: one in a thousand calls is tolerated, and hardly so many are the first."""
    given = by_users(0)
    fields = {**USERS, "bad_calls": "failed_total", "at_least": 0.001}
    (guardrail,) = policy_of(fields).of(Sequential)
    calls, once = np.full(481, 300.0), np.where(np.arange(481) % 40 == 39, 10.0, 0.0)
    arms = given.counts.champion_total, np.zeros(481), calls, once
    every, first = (
        Counts(*arms, buckets=given.counts.buckets, challenger_bad_calls=each) for each in (calls, once)
    )
    verdict = replace(given, guardrail=guardrail, counts=every).judge()
    assert once.sum() / calls.sum() < 0.001
    assert (verdict.status, verdict.limit) == (BREACH, 0.001)
    assert rejudge(json.loads(json.dumps(verdict.evidence))) == (BREACH, verdict.sentence, verdict.log_e)
    assert replace(given, guardrail=guardrail, counts=first).judge().status is OK


def test_older_evidence_is_judged_as_it_was() -> None:
    verdict = tally(SEQUENTIAL, (500, 5), (25, 1)).judge()
    kept = json.loads(json.dumps(verdict.evidence))
    del kept["buckets"], kept["bad_calls"]
    for later in ("by", "buckets", "bad_calls"):
        del kept["guardrail"][later]
    assert rejudge(kept) == (verdict.status, verdict.sentence, verdict.log_e)


def test_users_are_counted_where_the_service_tells_them() -> None:
    fields = {**SEQUENTIAL, "bad": "{errors}", "total": "{calls}", "by": "user-windows"}
    (given,) = policy_of(fields).of(CounterRatio)
    ours = given.on(OURS)
    assert (str(ours.bad), str(ours.total)) == ("user_windows_bad_total", "model_calls_total")
    assert ours.buckets
    assert str(ours.buckets.bad) == "bucket_user_windows_bad_total"
    others = given.on(OURS.model_copy(update={"user_windows": None}))
    assert (str(others.bad), others.buckets) == ("prediction_errors_total", None)
    told = others.facts(tally(SEQUENTIAL, (500, 5), (25, 1)).counts, None)
    assert told.endswith("by calls, for want of the signal `user_windows`")


def test_buckets_are_of_users() -> None:
    with pytest.raises(ValueError, match="write by: user-windows too"):
        policy_of({**USERS, "by": "calls"})

"""Verdicts of sequential guardrails, and the same from their evidence alone."""

import json
from datetime import timedelta
from math import log

import numpy as np
import pytest

from common.sequential import Counts
from rollback.edges import Edges
from rollback.evidence import of_tally, rejudge
from rollback.guardrails import LateStart
from rollback.tally import Tally
from rollback.verdict import Status
from rollback.weigh import path, weigh
from rollback.window import Grid
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
    challenger: tuple[int, int],
    *,
    missing: str | None = None,
    late: LateStart | None = None,
    steps: int = 100,
    **changes: object,
) -> Tally:
    """Calls and bad calls a step, the same in each; the last step has none."""
    (guardrail,) = policy_of(fields | changes).sequential
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
    verdict = weigh(given)
    assert (verdict.status, sentence in verdict.sentence) == (status, True), verdict.sentence
    written = json.loads(json.dumps(of_tally(given), allow_nan=False))
    assert rejudge(written) == (verdict.status, verdict.sentence, verdict.log_e)
    assert (written["log_e"], written["limit"]) == (verdict.log_e, verdict.log_e_needed)


def test_a_breach_stays_one_and_is_told_with_its_time() -> None:
    given = tally(SEQUENTIAL, (500, 5), (25, 1))
    good = Counts(*(np.append(each, np.zeros(5000)) for each in vars(given.counts).values()))
    good.champion_total[100:] = 500
    good.champion_bad[100:] = 50  # later the champion is far worse, so the evidence falls again
    good.challenger_total[100:] = 50
    grid = Grid(given.grid.start, given.grid.step, 5099, given.grid.start + 5100 * given.grid.step)
    verdict = weigh(Tally(**{**vars(given), "counts": good, "grid": grid}))
    assert verdict.log_e is not None
    assert verdict.log_e_needed == pytest.approx(-log(0.05 * 0.4))
    assert verdict.log_e < 0
    assert verdict.status is BREACH
    assert verdict.breached_at is not None
    assert f", breached at {verdict.breached_at:%d %B %H:%M} UTC" in verdict.sentence
    early = weigh(given)
    assert early.breached_at == verdict.breached_at
    assert f"breached at {verdict.breached_at:%H:%M} UTC" in early.sentence


def test_a_late_start_finds_what_good_hours_would_hide() -> None:
    late = LateStart.model_validate({"every": "15m", "starts": 20, "weight": 0.5})
    plain, mixed = (tally(SEQUENTIAL, (500, 5), (100, 1), late=each, steps=1000) for each in (None, late))
    for each in (plain, mixed):
        each.counts.challenger_bad[900:] = 3
    assert path(mixed)[-1] > path(plain)[-1]
    verdict = weigh(mixed)
    assert rejudge(of_tally(mixed)) == (verdict.status, verdict.sentence, verdict.log_e)
    assert of_tally(mixed)["late_start"] == {"every": "15m", "starts": 20, "weight": 0.5}


def test_the_evidence_is_what_the_contract_says() -> None:
    found = of_tally(tally(TAIL, (500, 5), (25, 1)))
    assert found["kind"] == "sequential"
    assert found["guardrail"]["margin"] == 1.2
    assert found["edges"] == {"champion": 0.0101, "challenger": 0.0121}
    assert found["counts"]["challenger_bad"][:2] == [1, 1]
    assert (found["step_seconds"], found["last_step_seconds"]) == (15, 0)
    assert found["breached_at"] is not None
    assert found["log_e_highest"] >= found["limit"]

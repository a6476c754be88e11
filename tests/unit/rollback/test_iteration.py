import io
import json
import math
from dataclasses import replace
from datetime import timedelta

import pytest

from common.terminal import Console
from rollback.actions.turn_off import Rollback
from rollback.guardrails.effect import Effect
from rollback.guardrails.verdict import Action, Status, Verdict
from rollback.iteration import Iteration, iteration_fields, show
from tests.unit.rollback.conftest import STATE, FakeCanary

VERDICT = Verdict(
    guardrail="slow",
    status=Status.BREACH,
    action=Action.ROLLBACK,
    limit=0.2,
    smallest_sample=50,
    sentence="0.3 on 80 calls is over the limit of 0.2",
    value=0.3,
    sample=80.4,
    query='x{a="b"}[1m]',
    window=timedelta(minutes=1),
)
DONE = Iteration(
    state=STATE,
    flag_error=None,
    dry_run=False,
    seconds=0.12345,
    verdicts=(VERDICT,),
    rollback=Rollback("slow", None, 0.0456),
)
NOT_KNOWN = Iteration(state=None, flag_error="Unleash [at home] is gone", dry_run=False, seconds=1)


def test_an_iteration_as_json() -> None:
    assert json.loads(json.dumps(iteration_fields(DONE, FakeCanary()), allow_nan=False)) == {
        "outcome": "rolled back",
        "exit_code": 1,
        "dry_run": False,
        "flag": "canary",
        "environment": "production",
        "exposed": True,
        "share": 5,
        "changed_by": "paula",
        "changed_at": "2026-11-23T11:00:00+00:00",
        "flag_fault": None,
        "verdicts": [
            {
                "guardrail": "slow",
                "segment": None,
                "verdict": "breach",
                "value": 0.3,
                "limit": 0.2,
                "sample": 80.4,
                "unit": "number",
                "champion": None,
                "difference_low": None,
                "difference_high": None,
                "log_e": None,
                "log_e_needed": None,
                "breached_at": None,
                "smallest_sample": 50,
                "window": "1m",
                "query": 'x{a="b"}[1m]',
                "action": "rollback",
                "fewer_is_worse": False,
                "sentence": "0.3 on 80 calls is over the limit of 0.2",
            }
        ],
        "rollback": {
            "guardrail": "slow",
            "excluded": None,
            "verified": True,
            "fault": None,
            "seconds": 0.046,
        },
        "stop": None,
        "seconds": 0.123,
    }


def test_a_flag_that_could_not_be_read_has_no_fields() -> None:
    fields = iteration_fields(NOT_KNOWN, FakeCanary())
    assert (fields["flag"], fields["share"], fields["exposed"], fields["changed_at"]) == ("canary",) + (
        None,
    ) * 3
    assert fields["rollback"] is None


@pytest.mark.parametrize(("value", "told"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")])
def test_what_json_does_not_know_is_text(value: float, told: str) -> None:
    done = replace(DONE, verdicts=(replace(VERDICT, value=value, sample=value),))
    (verdict,) = iteration_fields(done, FakeCanary())["verdicts"]
    assert (verdict["value"], verdict["sample"]) == (told, told)


def test_the_line_of_an_iteration_leaves_out_what_the_guardrails_say() -> None:
    (verdict,) = iteration_fields(DONE, FakeCanary(), brief=True)["verdicts"]
    assert "query" not in verdict
    assert {"guardrail", "verdict", "value", "limit", "sample", "log_e", "sentence"} <= set(verdict)


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (DONE, ["canary in production: rolled back", "slow", "breach", "0.3 on 80 calls"]),
        (DONE, ["5% of the users since 23 November 11:00:00 UTC, by paula"]),
        (
            replace(
                DONE,
                verdicts=(
                    replace(
                        VERDICT,
                        value=0.0123,
                        limit=0.011,
                        unit="share",
                        effect=Effect(0.01, 0.001, 0.004),
                        log_e=9.81,
                        log_e_needed=4.1,
                    ),
                ),
            ),
            [
                "1.2%",
                "1.0%",
                "+0.23 points",
                "+0.10 to +0.40 points",
                "95% at every look",
                "at most 1.1%",
                "sure:",
            ],
        ),
        (NOT_KNOWN, ["cannot measure", "Unleash [at home] is gone"]),
        (replace(DONE, rollback=Rollback("slow", "HTTP 403", 0)), ["cannot act", "HTTP 403"]),
        (replace(DONE, state=replace(STATE, enabled=False), verdicts=(), rollback=None), ["not exposed"]),
        (replace(DONE, rollback=None, dry_run=True), ["would roll back"]),
    ],
)
def test_an_iteration_for_people(done: Iteration, words: list[str]) -> None:
    console = Console(file=io.StringIO(), width=180)
    show(done, FakeCanary(), console)
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    for word in words:
        assert word in told

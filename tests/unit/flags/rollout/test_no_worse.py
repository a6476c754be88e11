"""Evidence as a condition: what waits for it, who may answer for it, and what is asked for at all."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from common.config import ConfigError
from common.noninferior import Excluded
from flags.canary.marks import APPROVE
from flags.rollout.condition import Condition
from flags.rollout.decide import Step, decide
from flags.rollout.no_worse import Evidence
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import last_compared, position_of
from tests.unit.flags.rollout.scenes import (
    GOOD,
    NOW,
    PERSON,
    PLAN_JOB,
    START,
    at,
    changes,
    of_log,
    share,
)

PLAN = RolloutPlan.model_validate(
    {
        "begin": "by_itself",
        "promote": "by_itself",
        "stages": [
            {"share": 5, "least": "24h"},
            {"share": 25, "least": "48h", "no_worse": {"errors": 1.2, "outcomes": {"bought": 0.95}}},
            {"share": 100, "least": "24h"},
        ],
    }
)
ENOUGH = Excluded(9.0, 3.0, 1.07, 1.01, False, 0.0, 1.3, 5000, 100_000)
NOT_YET = replace(ENOUGH, log_e=1.0, bound=1.31, hours=5.5)
NEVER = replace(NOT_YET, ratio=1.25, hours=None)
BOUGHT = Evidence("bought", 0.95, replace(ENOUGH, bound=0.97, ratio=0.995))
UP, WHOLE = share(PLAN_JOB, 5, 25), share(PLAN_JOB, 25, 100)
WORD = ("ada", "feature-tagged", {"type": APPROVE, "value": "100% without evidence"}, None)


def decided(*evidence: Evidence, percent: int = 25, log: Any = (), **readings: Any) -> Step:
    seen = at(percent, *log, readings=replace(GOOD, evidence=evidence, **readings))
    return decide(PLAN, replace(seen, shadow=None))


def gates(step: Step) -> dict[str, Condition]:
    return {one.name: one for one in step.conditions if one.name.startswith("no worse")}


def test_it_goes_on_where_a_loss_is_excluded() -> None:
    step = decided(Evidence("errors", 1.2, ENOUGH), BOUGHT)
    assert (step.kind.value, step.to and step.to.name) == ("advance", "100%")
    assert gates(step)["no worse: errors"].sentence == (
        "at most 1.07 times the champion's (95% sure), 1.2 times are allowed; measured 1.01 times"
    )
    assert gates(step)["no worse: bought"].sentence == (
        "at least 0.97 times the champion's (95% sure), 0.95 times are needed; measured 0.995 times"
    )


def test_it_waits_and_says_how_long() -> None:
    gate = gates(decided(Evidence("errors", 1.2, NOT_YET), BOUGHT))["no worse: errors"]
    assert not gate.holds
    assert gate.until == NOW + timedelta(hours=5.5)
    assert gate.sentence.endswith(
        "1.2 times are allowed; measured 1.01 times; enough in 5h30m if it stays so"
    )


def test_a_person_may_answer_for_what_will_never_be_proved() -> None:
    evidence = Evidence("errors", 1.2, NEVER), BOUGHT
    gate = gates(decided(*evidence))["no worse: errors"]
    assert (gate.holds, gate.until) == (False, None)
    assert gate.sentence.endswith("a person: `./canario rollout approve 100% --without-evidence`")
    answered = decided(*evidence, log=(UP, WORD))
    assert (answered.kind.value, gates(answered)["no worse: errors"].holds) == ("advance", True)
    assert "ada answers for it since" in gates(answered)["no worse: errors"].sentence
    assert decided(*evidence, log=(WORD, UP)).kind.value == "wait"  # it was of a stage before
    plain = ("ada", "feature-tagged", {"type": APPROVE, "value": "100%"}, None)
    assert decided(*evidence, log=(UP, plain)).kind.value == "wait"


def test_what_cannot_be_read_waits() -> None:
    assert decided().unmet[0].name == "no worse"
    broken = decided(evidence_fault="Prometheus refuses: too many samples")
    assert broken.unmet[0].sentence == "Prometheus refuses: too many samples"


def test_what_the_rollout_has_no_signal_for_is_not_asked_for() -> None:
    why = "not available: the rollout names no signal `outcomes`"
    step = decided(Evidence("errors", 1.2, ENOUGH), Evidence("bought", 0.95, why=why, asked=False))
    assert step.kind.value == "advance"
    assert gates(step)["no worse: bought"].sentence == why


def test_only_the_stage_that_names_it_asks() -> None:
    assert not gates(decided(percent=5))


@pytest.mark.parametrize("excluded", [ENOUGH, NOT_YET])
def test_a_promotion_rests_on_the_last_stage_with_both_models(excluded: Excluded) -> None:
    evidence = Evidence("errors", 1.2, excluded, ended=NOW - timedelta(days=2)), BOUGHT
    step = decided(*evidence, percent=100, log=(UP, WHOLE))
    assert step.kind.value == ("promote" if excluded is ENOUGH else "wait")
    gate = gates(step)["no worse: errors"]
    if excluded is NOT_YET:
        assert gate.until is None
        assert gate.sentence.endswith("that stage again: `./canario rollout promote`")
    assert decided(*evidence, percent=100, log=(UP, WORD, WHOLE)).kind.value == "promote"


def test_the_last_stage_with_both_models_is_found() -> None:
    def found(*lines: Any) -> tuple[float, float]:
        log = changes(*START, *lines)
        seen = replace(of_log(log, 100), shadow=None)
        first = log[0].at
        return tuple((each - first).total_seconds() for each in last_compared(seen, position_of(PLAN, seen)))  # type: ignore[return-value]

    numbers = changes(*START, share(PLAN_JOB, 0, 5), UP, WHOLE)
    begins = {one.after.reach: (one.at - numbers[0].at).total_seconds() for one in numbers}
    assert found(share(PLAN_JOB, 0, 5), UP, WHOLE) == (begins[25], begins[100])
    back = share(PERSON, 100, 0), share(PERSON, 0, 100)
    assert found(share(PLAN_JOB, 0, 5), UP, WHOLE, *back) == (begins[25], begins[100])
    began, until = found(share(PERSON, 0, 100))
    assert began == until  # nobody ever compared them


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"share": 100, "no_worse": {"errors": 1.2}}, "no champion to compare with"),
        ({"share": 25, "no_worse": {}}, "name errors, p99 or outcomes"),
        ({"share": 25, "no_worse": {"errors": 0.9}}, "greater than 1"),
        ({"share": 25, "no_worse": {"outcomes": {"bought": 1.1}}}, "less than 1"),
        ({"shadow": 100, "no_worse": {"errors": 1.2}}, "for a stage with share"),
    ],
)
def test_margins_fit(stage: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, ConfigError), match=told):
        RolloutPlan.model_validate(
            {"stages": [stage, {"share": 100}] if stage.get("share") != 100 else [stage]}
        )


def test_a_plan_that_is_played_faster_asks_for_none() -> None:
    assert all(stage.no_worse is None for stage in PLAN.faster(1000).stages)


def test_slow_calls_are_told_as_times() -> None:
    told = Evidence("p99", 1.1, replace(ENOUGH, bound=1.5, ratio=1.0), index=4.2).sentence()
    assert told.startswith("at most 1.1 times the champion's (95% sure), 1.1 times are allowed")


def test_before_anything_was_counted_no_person_is_asked() -> None:
    why = "it is counted in whole spans of 10 minutes, and there is none yet"
    step = decided(Evidence("errors", 1.2, why=why), BOUGHT)
    assert gates(step)["no worse: errors"].sentence == why

"""How a drill's samples become the times of a rollback."""

import json
from dataclasses import replace

import pytest

from drills.judge import Measured, Outcome, Outsiders
from drills.load import Sample
from drills.rollback import LAST_GOAL, OFF_GOAL, PLAN, Trial, as_json, as_table, in_words, measure, passed
from drills.scenario import Phase, Result
from tests.unit.rollback.conftest import STATE

OUTSIDERS = Outsiders(380, 1000, 0, 0.003, 0.01, 0.01, 0.02)
FAULT = 100.0


def sample(since_fault: float, assigned: str, seconds: float) -> Sample:
    return Sample(FAULT + since_fault, "u", seconds, 200, "champion", assigned, "flag")


def result(*samples: Sample, off: float | None = 12.0) -> Result:
    measured = Measured(off, "canario-rollback", 1.0, 13.0, 0, OUTSIDERS)
    phases = (Phase("canary", 50.0, FAULT), Phase("fault", FAULT, 130.0))
    return Result(PLAN, phases, samples, measured, STATE, (), Outcome(()))


def test_time_runs_from_the_first_slow_answer_to_the_last_of_the_challenger() -> None:
    trial = measure(
        result(
            sample(-1.0, "challenger", 0.3),  # before the fault
            sample(0.5, "challenger", 0.004),  # the fault had not come through yet
            sample(1.0, "champion", 0.3),  # not the challenger's doing
            sample(2.0, "challenger", 0.25),
            sample(13.0, "challenger", 0.25),
            sample(20.0, "champion", 0.004),
        )
    )
    assert trial.off == pytest.approx(10.0)
    assert trial.last == pytest.approx(11.25)
    assert trial.passed


@pytest.mark.parametrize("off", [None, 12.0])
def test_without_a_slow_answer_or_a_rollback_there_is_no_time(off: float | None) -> None:
    slow = sample(2.0, "challenger", 0.25 if off is None else 0.004)
    trial = measure(result(slow, off=off))
    assert (trial.off, trial.last, trial.passed) == (None, None, False)


def test_the_worst_trial_counts() -> None:
    good = Trial(8.0, 9.0, "errors", ())
    late = [
        replace(good, off=OFF_GOAL + 0.1),
        replace(good, last=LAST_GOAL + 0.1),
        replace(good, faults=("x",)),
    ]
    assert passed([good, good])
    for each in late:
        assert not passed([good, each])
        assert as_table([good, each]).row_count == 5
    figures = as_json([good, late[0]], PLAN, "5s", "a machine")
    assert figures["worst"] == {"off": OFF_GOAL + 0.1, "last": 9.0}
    assert json.loads(json.dumps(figures))["passed"] is False
    missing = as_json([good, Trial(None, None, None, ())], PLAN, "5s", "a machine")
    assert missing["median"] == {"off": None, "last": None}
    assert "never" in in_words(Trial(None, None, None, ("odd",)))

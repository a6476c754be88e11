"""What was told already, where the clock is set back meanwhile."""

from datetime import timedelta

from rollback.actions.stop import Off, Stop, StopState
from rollback.decisions.memory import BLIND, FINE, REMIND, Memory
from rollback.decisions.record import Decision, Kind
from tests.unit.rollback.conftest import NOW

HOUR = timedelta(hours=1)
ALLOWED = timedelta(minutes=5)


def blind() -> Memory:
    memory = Memory("canary", "production")
    turn = {"guardrail": "slow", "before": FINE, "after": BLIND}
    memory.learn(
        Decision.model_validate(
            {"id": "1", "time": NOW, "kind": Kind.VERDICT, "flag": "canary", "environment": "production"}
            | {"turns": [turn]}
        )
    )
    return memory


def test_a_job_that_is_blind_says_so_also_where_its_clock_was_set_back() -> None:
    assert not blind().blind_too_long(ALLOWED, NOW + ALLOWED)
    assert blind().blind_too_long(ALLOWED, NOW + ALLOWED + timedelta(seconds=1))
    assert blind().blind_too_long(ALLOWED, NOW - HOUR)


def test_a_stop_that_is_not_seen_is_reminded_of_also_where_the_clock_was_set_back() -> None:
    memory = Memory("canary", "production")
    off = Off(NOW, revision=7)
    rising = Stop(StopState.RISING, off, ALLOWED, NOW, "it answers")
    memory._stop = (7, Kind.NOT_STOPPED, NOW)
    assert memory.stop_news(rising, ours=False, now=NOW + REMIND) is None
    assert memory.stop_news(rising, ours=False, now=NOW - HOUR) is Kind.NOT_STOPPED

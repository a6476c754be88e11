"""The stop from iteration to iteration, over real HTTP to a Prometheus that says what a test wants."""

from dataclasses import replace
from datetime import timedelta

import pytest

from common.prometheus import Prometheus
from flags.canary.state import CanaryState
from rollback.actions.stop import StopState, StopVerifier
from rollback.actions.turn_off import Rollback
from rollback.iteration import ExitCode, Iteration
from tests.unit.rollback.conftest import ARMS, NOW, STATE, Answer, Numbers, Server, standing_still

OFF = replace(STATE, enabled=False, changed_at=NOW - timedelta(seconds=30), revision=7)
RISING = standing_still(list(range(12)))
STILL = standing_still([9] * 12)


def verifier(server: Server, limit: int = 60) -> StopVerifier:
    return StopVerifier(
        Prometheus(server.url, read=0.2), ARMS, timedelta(seconds=5), timedelta(seconds=limit)
    )


def seen(server: Server, verifier: StopVerifier, still: Answer, done: Iteration) -> StopState | None:
    server.reply = Numbers({}, still=still)
    stop = verifier.verify(done.state, done.rollback)
    return stop.state if stop else None


def idle(state: CanaryState | None = OFF) -> Iteration:
    return Iteration(state=state, flag_error=None, dry_run=False, seconds=0.1)


def rolled_back(after: CanaryState | None = OFF, fault: str | None = None) -> Iteration:
    rollback = Rollback("slow", fault, 0.1, NOW - timedelta(seconds=30), after)
    return replace(idle(STATE), rollback=rollback)


def test_a_rollback_is_followed_by_the_iterations_after_it(server: Server) -> None:
    verifying = verifier(server)
    assert seen(server, verifying, RISING, rolled_back()) is StopState.PENDING
    assert server.asked == [], "the iteration of the rollback does not wait for Prometheus"
    assert seen(server, verifying, RISING, idle()) is StopState.PENDING
    assert seen(server, verifying, STILL, idle()) is StopState.VERIFIED
    assert seen(server, verifying, Answer(b"", 500), idle()) is StopState.VERIFIED, "not to see is no answer"


@pytest.mark.parametrize("age", [90, 3600, 3 * 86_400])
def test_a_new_process_finds_a_challenger_that_goes_on(server: Server, age: int) -> None:
    off = replace(OFF, changed_at=NOW - timedelta(seconds=age))
    server.reply = Numbers({}, still=RISING)
    stop = verifier(server, limit=20).verify(off, None)
    assert stop is not None
    assert (stop.state, stop.failed) == (StopState.RISING, True)
    done = replace(idle(off), stop=stop)
    assert (done.exit_code, done.outcome) == (ExitCode.CANNOT_ACT, "off, and not seen to stop")


def test_a_share_of_nobody_is_watched_like_a_flag_that_is_off(server: Server) -> None:
    nobody = replace(OFF, enabled=True, percent=0)
    assert seen(server, verifier(server, limit=20), RISING, idle(nobody)) is StopState.RISING


def test_users_who_are_to_get_the_challenger_are_no_alarm(server: Server) -> None:
    assert seen(server, verifier(server), RISING, idle(STATE)) is None
    assert seen(server, verifier(server), RISING, rolled_back(fault="no Unleash")) is None


def test_without_unleash_the_last_known_change_counts(server: Server) -> None:
    verifying = verifier(server, limit=20)
    assert seen(server, verifying, RISING, idle(None)) is None
    seen(server, verifying, RISING, rolled_back())
    assert seen(server, verifying, RISING, idle(None)) is StopState.RISING


@pytest.mark.parametrize(("days", "failed"), [(0, True), (3, False)])
def test_a_silent_prometheus_is_an_alarm_only_for_a_while(server: Server, days: int, failed: bool) -> None:
    server.reply = Numbers({}, still=Answer(b"", 500))
    off = replace(OFF, changed_at=NOW - timedelta(minutes=2, days=days))
    stop = verifier(server).verify(off, None)
    assert stop is not None
    assert (stop.state, stop.failed) == (StopState.UNSEEN, failed)


def test_one_iteration_waits_until_it_is_seen(server: Server) -> None:
    verifying, looks = verifier(server), []
    seen(server, verifying, RISING, rolled_back())

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            server.reply = Numbers({}, still=STILL)

    stop = verifying.wait(sleep)
    assert stop is not None
    assert (stop.state, looks) == (StopState.VERIFIED, [2.5, 2.5, 2.5])


def test_one_iteration_does_not_wait_for_ever(server: Server) -> None:
    verifying = StopVerifier(
        Prometheus(server.url), ARMS, timedelta(milliseconds=10), timedelta(milliseconds=30)
    )
    ahead = replace(OFF, changed_at=NOW + timedelta(hours=1))  # the clock of Unleash is wrong
    seen(server, verifying, RISING, rolled_back(ahead))
    stop = verifying.wait()
    assert stop is not None
    assert stop.state is StopState.UNSEEN

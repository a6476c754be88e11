"""The circuit breaker, on a clock of the test's."""

import pytest

from service.challenger.client import FAILURES, FIRST_REST_SECONDS, LONGEST_REST_SECONDS, Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[bool]) -> Breaker:
    return Breaker(changes.append, clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.admits()
        breaker.failed()


def test_it_opens_after_failures_in_a_row(breaker: Breaker, changes: list[bool]) -> None:
    fail(breaker, FAILURES - 1)
    assert breaker.admits()
    assert changes == []
    breaker.failed()
    assert not breaker.admits()
    assert changes == [True]


def test_a_success_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.succeeded()
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open


def test_after_the_rest_one_call_is_tried_and_no_more(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now = FIRST_REST_SECONDS - 0.001
    assert not breaker.admits()
    clock.now = FIRST_REST_SECONDS
    assert breaker.admits()
    assert not breaker.admits()


def test_a_trial_that_succeeds_closes_it(breaker: Breaker, clock: Clock, changes: list[bool]) -> None:
    fail(breaker, FAILURES)
    clock.now = FIRST_REST_SECONDS
    assert breaker.admits()
    breaker.succeeded()
    assert breaker.admits()
    assert breaker.admits()
    assert changes == [True, False]


def test_a_trial_that_fails_doubles_the_rest_up_to_a_limit(
    breaker: Breaker, clock: Clock, changes: list[bool]
) -> None:
    fail(breaker, FAILURES)
    rest = FIRST_REST_SECONDS
    for _ in range(8):
        clock.now += rest - 0.001
        assert not breaker.admits()
        clock.now += 0.001
        assert breaker.admits()
        breaker.failed()
        rest = min(2 * rest, LONGEST_REST_SECONDS)
    assert rest == LONGEST_REST_SECONDS
    assert changes == [True]


def test_failures_of_calls_from_before_it_opened_do_not_prolong_it(breaker: Breaker, clock: Clock) -> None:
    assert breaker.admits()
    fail(breaker, FAILURES)
    breaker.failed()
    clock.now = FIRST_REST_SECONDS
    assert breaker.admits()


def test_a_trial_that_never_reached_the_model_is_the_next_calls(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, FAILURES)
    clock.now = FIRST_REST_SECONDS
    assert breaker.admits()
    breaker.not_asked()
    assert breaker.is_open
    assert breaker.admits()
    breaker.succeeded()
    assert not breaker.is_open


def test_what_never_reached_the_model_counts_as_no_failure_in_a_row(breaker: Breaker) -> None:
    for _ in range(2 * FAILURES):
        assert breaker.admits()
        breaker.not_asked()
    assert not breaker.is_open

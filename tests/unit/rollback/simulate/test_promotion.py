"""Evidence to promote on, on made-up users: it holds for equal models, and not at the margin."""

import pytest

from rollback.simulate.promotion import METRICS, Metric, cases, play, play_all

ERRORS, P99 = METRICS[0], METRICS[-1]


def test_equal_models_pass_and_those_at_the_margin_do_not() -> None:
    equal, worse = (play(ERRORS, times, 5, 4, seed=1) for times in (1, 1.2))
    assert (equal.at_end, worse.at_end) == (4, 0)
    assert equal.hours < 2


@pytest.mark.parametrize("dispersion", [1, 20])
def test_slow_calls_need_no_users(dispersion: float) -> None:
    equal, worse = (play(P99, times, dispersion, 10, seed=1) for times in (1, 1.15))
    assert (equal.at_end, worse.ever) == (10, 0)
    assert equal.hours <= 1


def test_all_cases_are_played() -> None:
    done: list[None] = []
    few = (Metric("p99", 0.01, 1.1, by_user=False, truths=(1, 2), dispersions=(1,)),)
    found = play_all(few, 2, 1, 1, lambda: done.append(None))
    assert [(each.truth, each.at_end) for each in found] == [(1, 2), (2, 0)]
    assert len(done) == len([*cases(few)]) == 2

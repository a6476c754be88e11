"""New users by day: steady, saturating, few."""

from math import inf

import numpy as np
import pytest
from scipy.stats import binomtest

from analysis.statistics.arrivals import Arrivals, sample_ratio


def test_steady_arrivals() -> None:
    arrivals = Arrivals.steady(200)
    assert arrivals.days_until(100) == pytest.approx(0.5)
    assert arrivals.days_until(1000) == pytest.approx(5)
    assert arrivals.users_after(30) == pytest.approx(6000)


def test_those_who_come_back_are_no_new_users() -> None:
    """5,000 people, each there on a day with a chance of their own."""
    dice = np.random.default_rng(1)
    chances = dice.beta(0.4, 3, 5000)
    here = np.cumsum(dice.random((60, 5000)) < chances, axis=0) > 0
    users = here.sum(axis=1)
    arrivals = Arrivals.seen(range(1, 15), users[:14])
    assert arrivals.users_after(7) == users[6]
    assert arrivals.users_after(28) == pytest.approx(users[27], rel=0.03)
    assert arrivals.users_after(56) == pytest.approx(users[55], rel=0.06)
    assert arrivals.users_after(arrivals.days_until(2900)) == pytest.approx(2900)
    assert arrivals.days_until(10_000) == inf
    naive = Arrivals.steady(float(users[13]) / 14).days_until(float(users[27]))
    assert arrivals.days_until(float(users[27])) > 1.5 * naive > 0


def test_between_two_days() -> None:
    arrivals = Arrivals.seen([1, 2], [100, 150])
    assert arrivals.days_until(50) == pytest.approx(0.5)
    assert arrivals.days_until(125) == pytest.approx(1.5)
    assert arrivals.users_after(1.5) == pytest.approx(125)


def test_when_all_have_been_here_no_more_come() -> None:
    arrivals = Arrivals.seen([1, 2, 3, 4], [500, 500, 500, 500])
    assert arrivals.days_until(501) == inf
    assert arrivals.days_until(500) == pytest.approx(1)


@pytest.mark.parametrize(("days", "users"), [([], []), ([1.0], [0])])
def test_nobody_came(days: list[float], users: list[float]) -> None:
    arrivals = Arrivals.seen(days, users)
    assert arrivals.days_until(1) == inf
    assert arrivals.days_until(0) == 0
    assert arrivals.users_after(10) == 0


def test_reference_number_of_the_sample_ratio() -> None:
    assert sample_ratio(156, 212, 0.5).p_any_time == pytest.approx(0.0748645, abs=5e-8)
    assert sample_ratio(212, 156, 0.5).p_any_time == pytest.approx(0.0748645, abs=5e-8)


@pytest.mark.parametrize(("champion", "challenger", "planned"), [(5230, 4770, 0.5), (95_000, 5300, 0.05)])
def test_once_is_nearly_the_exact_test(champion: int, challenger: int, planned: float) -> None:
    exact = binomtest(challenger, champion + challenger, planned).pvalue
    assert sample_ratio(champion, challenger, planned).p == pytest.approx(exact, rel=0.2)


def test_a_mismatch_is_one_beyond_doubt() -> None:
    fits, off = sample_ratio(9500, 520, 0.05), sample_ratio(9500, 700, 0.05)
    assert not fits.mismatch(once=True)
    assert off.mismatch(once=True)
    assert off.mismatch(once=False)
    assert off.observed == pytest.approx(700 / 10_200)


def test_many_looks_ask_for_more_than_one() -> None:
    ratio = sample_ratio(10_340, 9_850, 0.5)
    assert ratio.p < 0.001 < ratio.p_any_time
    assert ratio.mismatch(once=True)
    assert not ratio.mismatch(once=False)


def test_without_users_there_is_no_mismatch() -> None:
    ratio = sample_ratio(0, 0, 0.2)
    assert (ratio.p, ratio.p_any_time, ratio.observed) == (1.0, 1.0, 0.2)

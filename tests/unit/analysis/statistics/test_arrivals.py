"""New users by day: steady, saturating, few."""

from math import inf

import numpy as np
import pytest

from analysis.statistics.arrivals import Arrivals


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

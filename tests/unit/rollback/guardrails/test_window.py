from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollback.guardrails.window import MOST_STEPS, Grid, TooYoung, Window, fit_grid, fit_window
from tests.unit.rollback.conftest import NOW

SCRAPE = timedelta(seconds=5)
FULL = timedelta(minutes=5)


def fit(age: float | None, hold: float | None = None) -> Window | TooYoung:
    began = None if age is None else NOW - timedelta(seconds=age)
    return fit_window(FULL, None if hold is None else timedelta(seconds=hold), SCRAPE, began, NOW)


@pytest.mark.parametrize(
    ("age", "seconds"),
    [(None, 300), (10_000, 300), (305, 300), (304.9, 299), (60, 55), (20.4, 15), (20, 15)],
)
def test_the_window_ends_one_scrape_after_the_stage_began(age: float | None, seconds: int) -> None:
    assert fit(age) == Window(timedelta(seconds=seconds), (NOW,))


@pytest.mark.parametrize("age", [19.9, 5, 0, -3600])
def test_a_stage_without_room_for_three_scrapes_is_too_young(age: float) -> None:
    assert fit(age) == TooYoung(timedelta(seconds=age), needed=timedelta(seconds=20))


def test_looks_reach_back_over_the_hold_and_lie_three_scrapes_apart() -> None:
    window = fit(None, hold=60)
    assert isinstance(window, Window)
    assert window.looks == tuple(NOW - timedelta(seconds=back) for back in (60, 45, 30, 15, 0))


@given(
    age=st.integers(min_value=0, max_value=2000),
    hold=st.none() | st.integers(min_value=1, max_value=600),
)
def test_no_look_ever_sees_what_was_before_the_stage(age: int, hold: int | None) -> None:
    window = fit(age, hold)
    if isinstance(window, TooYoung):
        assert timedelta(seconds=age) < window.needed
        return
    assert window.looks[0] - window.span >= NOW - timedelta(seconds=age) + SCRAPE
    assert window.span <= FULL
    assert window.looks[-1] - window.looks[0] >= timedelta(seconds=hold or 0)


STEP = timedelta(seconds=15)


def lay(age: float) -> Grid | TooYoung:
    return fit_grid(STEP, SCRAPE, NOW - timedelta(seconds=age), NOW)


@pytest.mark.parametrize(
    ("age", "whole", "last"), [(10, 0, 5), (19.5, 0, 14.5), (20, 1, 0), (65, 4, 0), (66, 4, 1)]
)
def test_steps_begin_one_scrape_after_the_stage_and_reach_until_now(
    age: float, whole: int, last: float
) -> None:
    grid = lay(age)
    assert isinstance(grid, Grid)
    assert (grid.start, grid.whole) == (NOW - timedelta(seconds=age - 5), whole)
    assert (grid.steps, grid.last) == (whole + 1, timedelta(seconds=last))
    assert grid.end(grid.steps - 1) == NOW


@pytest.mark.parametrize("age", [9.9, 0, -100])
def test_a_stage_in_which_nothing_was_scraped_has_no_steps(age: float) -> None:
    assert lay(age) == TooYoung(timedelta(seconds=age), timedelta(seconds=10))


def test_steps_stay_where_they_are_from_pass_to_pass() -> None:
    began = NOW - timedelta(minutes=10)
    one, other = (fit_grid(STEP, SCRAPE, began, NOW + timedelta(seconds=late)) for late in (0, 7))
    assert isinstance(one, Grid)
    assert isinstance(other, Grid)
    assert [one.end(step) for step in range(one.whole)] == [other.end(step) for step in range(one.whole)]


@pytest.mark.parametrize(("hours", "seconds"), [(24, 15), (48, 15), (50.1, 30), (24 * 90, 960)])
def test_a_long_stage_has_longer_steps_and_never_too_many(hours: float, seconds: int) -> None:
    grid = lay(hours * 3600)
    assert isinstance(grid, Grid)
    assert grid.step == timedelta(seconds=seconds)
    assert grid.whole <= MOST_STEPS

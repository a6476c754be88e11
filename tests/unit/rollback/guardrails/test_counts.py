import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.answers import Track
from rollback.guardrails.counts import add_up, count_all

GAP = np.nan


@pytest.mark.parametrize(
    ("readings", "steps"),
    [
        ([5, 7, 7, 10], [2, 0, 3]),
        ([5, 7, 1, 4], [2, 1, 3]),  # a restart: what it shows was counted since
        ([5, 7, 0, 4], [2, 0, 4]),
        ([5, GAP, GAP, 10], [0, 0, 5]),  # failed scrapes: all of it once they are back
        ([5, GAP, 2, 4], [0, 2, 2]),  # a restart unseen
        ([5, 7, GAP, GAP], [2, 0, 0]),
        ([GAP, GAP, GAP, GAP], [0, 0, 0]),
        ([GAP, 40, 42, 45], [0, 2, 3]),  # an instance that came late counted elsewhere before
        ([5], []),
    ],
)
def test_one_counter(readings: list[float], steps: list[float]) -> None:
    (counted,) = count_all([track("a", readings)])
    assert counted.steps.tolist() == steps


def track(instance: str, values: list[float], **labels: str) -> Track:
    return Track({"instance": instance, **labels}, np.array(values, dtype=np.float64))


def test_a_series_born_on_an_instance_that_was_there_counts_from_nothing() -> None:
    old, born, new = count_all(
        [
            track("a", [1, 2, 3, 4]),
            track("a", [GAP, GAP, 1, 3], outcome="bought"),
            track("b", [GAP, GAP, 70, 72], outcome="bought"),
        ]
    )
    assert old.steps.tolist() == [1, 1, 1]
    assert born.steps.tolist() == [0, 1, 2]
    assert new.steps.tolist() == [0, 0, 2]


def test_instances_are_added_up_after_their_resets() -> None:
    counted = count_all([track("a", [10, 20, 2], model="x"), track("b", [5, 5, 9], model="x")])
    total = add_up(counted, lambda labels: labels["model"] == "x")
    assert total is not None
    assert total.tolist() == [10, 6]
    assert add_up(counted, lambda labels: labels["model"] == "y") is None


@given(
    grown=st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=30),
    gaps=st.sets(st.integers(min_value=1, max_value=30)),
)
def test_whatever_is_missed_in_between_the_sum_is_right(grown: list[int], gaps: set[int]) -> None:
    values = np.concatenate(([100], 100 + np.cumsum(grown))).astype(np.float64)
    values[[gap for gap in gaps if gap < len(grown)]] = GAP  # the last reading is there
    (counted,) = count_all([Track({}, values)])
    steps = counted.steps
    assert steps.sum() == sum(grown)
    assert (steps >= 0).all()

"""What Prometheus would read, beside the long way of reading it."""

import numpy as np
import pytest

from rollback.simulate.rules import held, quantile, share_of, within
from rollback.simulate.traffic import Arm

EDGES = np.array([0.1, 0.2, 0.4])


def arm(buckets: list[list[int]]) -> Arm:
    """From calls in (0, 0.1], (0.1, 0.2], (0.2, 0.4] and above, step by step."""
    counts = np.array(buckets)
    slower = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    return Arm(slower[:, 0], np.zeros_like(slower[:, 0]), slower[:, 1:])


def test_windows_are_shorter_in_a_young_stage() -> None:
    assert within(np.array([1, 2, 3, 4]), 2).tolist() == [1, 3, 5, 7]
    assert within(np.array([1, 2]), 9).tolist() == [1, 3]


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ([0, 100, 0, 0], 0.199),  # all in one bucket: 99% of the way through it
        ([50, 50, 0, 0], 0.198),
        ([100, 0, 0, 0], 0.099),  # the lowest bucket begins at 0
        ([90, 0, 10, 0], 0.38),
        ([0, 0, 0, 5], 0.4),  # above the last edge: that edge
        ([99, 1, 0, 0], 0.1),  # the rank falls on an edge
        ([0, 0, 0, 0], None),
    ],
)
def test_the_p99_is_that_of_prometheus(buckets: list[int], expected: float | None) -> None:
    value = quantile(0.99, arm([buckets]), EDGES, 1)
    assert value == pytest.approx([float("nan") if expected is None else expected], nan_ok=True)


def test_a_quantile_is_that_of_the_window() -> None:
    steps = arm([[0, 100, 0, 0], [0, 0, 100, 0], [0, 0, 100, 0]])
    assert quantile(0.5, steps, EDGES, 2) == pytest.approx([0.15, 0.2, 0.3])


def test_shares() -> None:
    assert share_of(np.array([0, 1, 1]), np.array([0, 2, 2]), 2) == pytest.approx(
        [float("nan"), 0.5, 0.5], nan_ok=True
    )


@pytest.mark.parametrize(
    ("beyond", "looks", "expected"),
    [("..x.", 1, 2), (".xx.xxx", 3, 6), ("xx.xx", 3, None), ("xxx", 3, 2), ("x", 3, None), ("....", 1, None)],
)
def test_a_breach_must_last(beyond: str, looks: int, expected: int | None) -> None:
    assert held(np.array([each == "x" for each in beyond]), looks) == expected

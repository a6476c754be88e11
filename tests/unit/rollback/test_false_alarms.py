"""What docs/decisions/0004 says of the shipped guardrails, on a few days each; the tables rest on 200."""

import numpy as np
import pytest

from tests.unit.rollback.false_alarms import failing_day, p99, ratio_day, ratio_delay, slow_day


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(4)


def test_the_p99_is_that_of_prometheus() -> None:
    counts = np.zeros((3, 66), dtype=np.int64)
    counts[0, 30] = 100  # all in one bucket: 99% of the way through it
    counts[1, 65] = 1  # above the last edge: that edge
    lower, upper = 0.0001 * 10 ** (5 * 29 / 64), 0.0001 * 10 ** (5 * 30 / 64)
    first, last, none = p99(counts)
    assert first == pytest.approx(lower + 0.99 * (upper - lower), rel=1e-6)
    assert last == 10
    assert np.isnan(none)


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_a_good_challenger_stays_for_a_day(dice: np.random.Generator, share: float) -> None:
    assert not slow_day(dice, share, 0.1)
    assert not failing_day(dice, share, 0.01)
    assert not ratio_day(dice, share, 0.6)


def test_without_its_smallest_sample_the_ratio_would_roll_back_equal_models(
    dice: np.random.Generator,
) -> None:
    assert not any(ratio_day(dice, 0.01, 1.0) for _ in range(3))
    assert all(ratio_day(dice, 0.01, 1.0, 1) for _ in range(3))


def test_a_bad_challenger_goes(dice: np.random.Generator) -> None:
    assert slow_day(dice, 0.05, 0.3)
    assert failing_day(dice, 0.05, 0.3)
    assert ratio_delay(dice, 0.25, 1.5) < 30

"""Comparing a batch: the same judgement as that of one answer at a time."""

import numpy as np
import numpy.typing as npt
import pytest

from service.agreement import compare
from service.model import InvalidAnswerError


def batch(*rows: list[float]) -> npt.NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(-1)


def chosen(*indices: int) -> npt.NDArray[np.intp]:
    return np.array(indices, dtype=np.intp)


def test_each_row_is_compared_with_its_own() -> None:
    found = compare(batch([0.9, 0.1, 0.0], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]), chosen(0, 1, 1), 3)
    assert found.chosen.tolist() == [0, 2, 1]
    assert found.probability.tolist() == pytest.approx([0.9, 0.5, 0.8])
    assert found.valid.tolist() == [True, True, True]
    assert found.agree.tolist() == [True, False, True]


@pytest.mark.parametrize("bad", [[np.nan, 0.1], [0.1, np.inf], [-1.0, -2.0], [1.1, 0.0]])
def test_a_row_that_is_nonsense_agrees_with_nobody_and_spoils_no_other(bad: list[float]) -> None:
    for champion in (0, 1):
        found = compare(batch([0.9, 0.1], bad, [0.4, 0.6]), chosen(0, champion, 0), 2)
        assert found.valid.tolist() == [True, False, True]
        assert found.agree.tolist() == [True, False, False]


def test_rounding_above_one_is_no_nonsense() -> None:
    found = compare(batch([1.000001, 0.0]), chosen(0), 2)
    assert found.valid.tolist() == [True]
    assert found.probability.tolist() == [1.0]


@pytest.mark.parametrize("size", [0, 3, 5, 6])
def test_another_number_of_probabilities_is_refused(size: int) -> None:
    with pytest.raises(InvalidAnswerError, match=f"{size} probabilities instead of 2 for each of 2 rows"):
        compare(np.zeros(size, dtype=np.float32), chosen(0, 1), 2)

"""Comparing a batch: each row by itself."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from service.challenger.agreement import compare
from service.models.artifact import Metadata
from service.models.onnx_model import Answer, InvalidAnswerError


def classifier(classes: int) -> Metadata:
    named = [{"label": each, "name": f"class {each}"} for each in range(classes)]
    return metadata(task="classification", classes=named)


def regressor(absolute: float, relative: float) -> Metadata:
    return metadata(task="regression", tolerance={"absolute": absolute, "relative": relative})


def metadata(**more: Any) -> Metadata:
    feature = {"name": "x", "type": "number", "example": 0.0}
    about = {"format": 2, "name": "m", "version": "1", "features": [feature], "sha256": "0" * 64}
    return Metadata.model_validate(about | more)


def batch(*rows: list[float]) -> npt.NDArray[np.float32]:
    return np.array(rows, dtype=np.float32).reshape(-1)


def chosen(*indices: int) -> list[Answer]:
    return [Answer(index, f"class {index}", 0.9) for index in indices]


def test_each_row_is_compared_with_its_own() -> None:
    numbers = batch([0, 0.9, 0.1, 0.0], [2, 0.2, 0.3, 0.5], [1, 0.1, 0.8, 0.1])
    found = compare(numbers, chosen(0, 1, 1), classifier(3))
    assert found.chosen.tolist() == [0, 2, 1]
    assert found.said.tolist() == pytest.approx([0.9, 0.5, 0.8])
    assert found.valid.tolist() == [True, True, True]
    assert found.agree.tolist() == [True, False, True]


def test_a_class_that_is_not_the_most_probable_one_is_what_the_model_chose() -> None:
    found = compare(batch([1, 0.8, 0.2], [0, 0.8, 0.2]), chosen(1, 1), classifier(2))
    assert found.chosen.tolist() == [1, 0]
    assert found.said.tolist() == pytest.approx([0.2, 0.8])
    assert found.agree.tolist() == [True, False]


@pytest.mark.parametrize(
    "bad",
    [
        *([0, np.nan, 0.1], [1, 0.1, np.inf], [0, -1.0, -2.0], [0, 1.1, 0.0], [1, np.nan, 0.1]),
        *(
            [-1, 0.5, 0.5],
            [2, 0.5, 0.5],
            [0.5, 0.5, 0.5],
            [np.nan, 0.5, 0.5],
            [np.inf, 0.5, 0.5],
            [1e30, 0.5, 0.5],
        ),
    ],
)
def test_a_row_that_is_nonsense_agrees_with_nobody_and_spoils_no_other(bad: list[float]) -> None:
    for champion in (0, 1):
        found = compare(batch([0, 0.9, 0.1], bad, [1, 0.4, 0.6]), chosen(0, champion, 0), classifier(2))
        assert found.valid.tolist() == [True, False, True]
        assert found.agree.tolist() == [True, False, False]


def test_rounding_is_no_nonsense() -> None:
    found = compare(batch([0, 1.000001, -1e-7], [1, 1.000001, -1e-7]), chosen(0, 1), classifier(2))
    assert found.valid.tolist() == [True, True]
    assert found.said.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("size", [0, 3, 4, 5, 7])
def test_another_number_of_numbers_is_refused(size: int) -> None:
    with pytest.raises(InvalidAnswerError, match=f"{size} numbers instead of 3 for each of 2 rows"):
        compare(np.zeros(size, dtype=np.float32), chosen(0, 1), classifier(2))


@pytest.mark.parametrize(("absolute", "relative"), [(0.0, 0.05), (1.0, 0.0), (0.5, 0.1), (0.0, 0.0)])
def test_values_agree_within_the_tolerance(absolute: float, relative: float) -> None:
    model = regressor(absolute, relative)
    ours = [Answer(value) for value in (100.0, -100.0, 0.0, 3.0)]
    for difference in (0.0, 0.04, 0.5, 1.0, 4.0, 6.0, -6.0):
        theirs = np.array([float(each.label) + difference for each in ours], dtype=np.float32)
        found = compare(theirs, ours, model)
        expected = [
            abs(their - float(our.label)) <= absolute + relative * abs(float(our.label))
            for our, their in zip(ours, theirs.tolist(), strict=True)
        ]
        assert found.agree.tolist() == expected
        assert found.said.tolist() == theirs.tolist()


def test_a_value_that_is_no_number_agrees_with_nobody() -> None:
    found = compare(batch([np.nan], [np.inf], [1.0]), [Answer(1.0)] * 3, regressor(9.0, 0.0))
    assert found.valid.tolist() == [False, False, True]
    assert found.agree.tolist() == [False, False, True]

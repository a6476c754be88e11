"""Numbers in words: never too many digits, never a bare number where there is a unit."""

import pytest

from common.figures import count, in_unit, number, percent, seconds

NAN = float("nan")


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.0, "0%"),
        (1.0, "100%"),
        (0.2936, "29%"),
        (0.0833, "8.3%"),
        (0.1, "10%"),
        (0.9, "90%"),
        (0.973, "97.3%"),
        (0.99996, "99.9960%"),
        (0.001, "0.10%"),
        (4.34e-19, "<0.0001%"),
        (1.25, "125%"),
        (NAN, "-"),
        (None, "-"),
    ],
)
def test_a_share_is_told_in_per_cent(share: float | None, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.2936, "seconds", "294 ms"),
        (0.2, "seconds", "200 ms"),
        (1.5, "seconds", "1.5 s"),
        (0.00012, "seconds", "0.12 ms"),
        (0.2, "share", "20%"),
        (1.2, "times", "1.2 times"),
        (1234.5, "number", "1,234"),
        (NAN, "times", "-"),
    ],
)
def test_a_value_has_its_unit(value: float, unit: str, told: str) -> None:
    assert in_unit(value, unit) == told


def test_nothing_is_told_as_nothing() -> None:
    assert {count(None), number(NAN), seconds(None), in_unit(float("inf"), "seconds")} == {"-"}
    assert (count(1350.4), number(0.0)) == ("1,350", "0")

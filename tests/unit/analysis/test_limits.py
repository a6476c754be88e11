"""Limits of --fail-on."""

from math import nan

import pytest

from analysis.reports.limits import Held, Limit, hold, parse_limits
from analysis.reports.shadow_limits import SIGNS


def test_limits_are_read() -> None:
    assert parse_limits("agreement<0.95, errors>1%,p99>1.2", SIGNS) == (
        Limit("agreement", "<", 0.95),
        Limit("errors", ">", 0.01),
        Limit("p99", ">", 1.2),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no limit"),
        ("agreement", "is no limit"),
        ("agreement=0.9", "is no limit"),
        ("agreement<nan", "is no limit"),
        ("agreement<1.2.3", "is no number"),
        ("speed>1", "'speed' is none of agreement"),
        ("agreement>0.9", "would fail where all is well: write agreement<"),
        ("errors>0.1,errors>0.2", "errors: two limits"),
        ("agreement<0.9,", "is no limit"),
    ],
)
def test_what_is_no_limit(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_limits(text, SIGNS)


@pytest.mark.parametrize(
    ("limit", "figure", "breached"),
    [
        (Limit("agreement", "<", 0.95), 0.95, False),
        (Limit("agreement", "<", 0.95), 0.9499, True),
        (Limit("errors", ">", 0.01), 0.01, False),
        (Limit("errors", ">", 0.01), 0.0101, True),
        (Limit("errors", ">", 0.01), None, True),
        (Limit("errors", ">", 0.01), nan, True),
    ],
)
def test_a_figure_that_cannot_be_told_breaches(limit: Limit, figure: float | None, breached: bool) -> None:
    held = Held(limit, figure)
    assert held.breached is breached
    assert limit.name in held.sentence


def test_a_missing_figure_is_one_that_cannot_be_told() -> None:
    (held,) = hold((Limit("psi", ">", 0.2),), {})
    assert "cannot be told" in held.sentence

"""Limits of --fail-on."""

from math import nan

import pytest

from analysis.shadow.limits import CheckedLimit, ShadowLimit, check, parse_limits


def test_limits_are_read() -> None:
    assert parse_limits("agreement<0.95, errors>1%,p99>1.2") == (
        ShadowLimit("agreement", "<", 0.95),
        ShadowLimit("errors", ">", 0.01),
        ShadowLimit("p99", ">", 1.2),
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
        parse_limits(text)


@pytest.mark.parametrize(
    ("limit", "figure", "breached"),
    [
        (ShadowLimit("agreement", "<", 0.95), 0.95, False),
        (ShadowLimit("agreement", "<", 0.95), 0.9499, True),
        (ShadowLimit("errors", ">", 0.01), 0.01, False),
        (ShadowLimit("errors", ">", 0.01), 0.0101, True),
        (ShadowLimit("errors", ">", 0.01), None, True),
        (ShadowLimit("errors", ">", 0.01), nan, True),
    ],
)
def test_a_figure_that_cannot_be_told_breaches(
    limit: ShadowLimit, figure: float | None, breached: bool
) -> None:
    checked = CheckedLimit(limit, figure)
    assert checked.breached is breached
    assert limit.name in checked.sentence


def test_a_missing_figure_is_one_that_cannot_be_told() -> None:
    (checked,) = check((ShadowLimit("psi", ">", 0.2),), {})
    assert "cannot be told" in checked.sentence

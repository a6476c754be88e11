from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172_800), ("090s", 90)],
)
def test_reads_what_prometheus_writes(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "15", 15, None, "5 m", "-5m", "1.5h", "5M", "m", "0s", "5m!", "99999999999d"]
)
def test_refuses_all_else(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|no time"):
        parse_duration(text)


@given(st.integers(min_value=1, max_value=10**12))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration

"""Histogram buckets."""

from itertools import pairwise

import pytest

from common.names import latency_buckets


def test_buckets_span_a_tenth_of_a_millisecond_to_ten_seconds() -> None:
    buckets = latency_buckets()
    assert buckets[0] == pytest.approx(0.0001)
    assert buckets[-1] == pytest.approx(10)


def test_buckets_grow_by_at_most_a_factor_of_1_2() -> None:
    assert max(upper / lower for lower, upper in pairwise(latency_buckets())) <= 1.2

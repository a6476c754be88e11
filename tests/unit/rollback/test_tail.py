"""Edges for slow calls."""

import pytest

from common.names import latency_buckets
from rollback.tail import tail_edges

EDGES = latency_buckets()


@pytest.mark.parametrize(
    ("quantile", "margin", "expected"),
    [
        (0.0807, 1.0, (0.0777, 0.0777)),
        (0.0807, 1.2, (0.0777, 0.0931)),
        (0.0807, 1.01, (0.0777, 0.0931)),  # a margin is at least one bucket
        (0.0807, 1.5, (0.0777, 0.1114)),
        (0.00001, 1.2, (0.0107, 0.0129)),  # the floor
        (0.0099, 1.2, (0.0107, 0.0129)),
    ],
)
def test_the_nearest_edges(quantile: float, margin: float, expected: tuple[float, float]) -> None:
    assert tail_edges(EDGES, quantile, margin=margin, floor=0.01) == pytest.approx(expected, abs=5e-5)


def test_without_a_floor_a_quantile_below_all_edges_has_the_first() -> None:
    assert tail_edges(EDGES, 1e-6, margin=1.0) == (EDGES[0], EDGES[0])


@pytest.mark.parametrize(("quantile", "floor"), [(9.9, 0.0), (20.0, 0.0), (0.1, 11.0)])
def test_nothing_is_slower_than_the_last_edge(quantile: float, floor: float) -> None:
    with pytest.raises(ValueError, match="above the last edge"):
        tail_edges(EDGES, quantile, margin=1.2, floor=floor)

"""Edges for slow calls."""

import pytest

from common.names import latency_buckets
from rollback.guardrails.edges import slow_share, tail_edges
from rollback.simulate.traffic import Behaviour

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


def test_a_histogram_without_edges_is_no_measure() -> None:
    with pytest.raises(ValueError, match=r"no bucket but \+Inf"):
        tail_edges((), 0.0, margin=1.2)


def calls_of(model: Behaviour, edges: tuple[float, ...] = EDGES) -> dict[str, float]:
    return {f"{edge:g}": 1e6 * (1 - model.beyond(edge)) for edge in edges} | {"+Inf": 1e6}


@pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("margin", [1.05, 1.1, 1.2])
def test_a_limit_on_times_is_one_on_the_share_beyond_an_edge(sigma: float, margin: float) -> None:
    model = Behaviour(0.02, sigma, 0.01)
    found = slow_share(calls_of(model), margin=margin)
    edge = float(found.edge)
    assert 1 / 1.2 < edge / model.quantile(0.99) < 1.2  # a bucket's width
    truly = model.worse(slower=margin).beyond(edge) / model.beyond(edge)
    assert found.times == pytest.approx(truly, rel=0.08)
    assert found.in_time(found.times) == pytest.approx(margin)


def test_what_is_faster_than_the_floor_is_not_slow() -> None:
    assert float(slow_share(calls_of(Behaviour(1e-4, 0.6, 0.01)), margin=1.1, floor=0.01).edge) >= 0.01


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        ({"+Inf": 10.0}, "too few buckets"),
        ({"0.1": 0.0, "0.2": 0.0, "+Inf": 0.0}, "too few buckets"),
        ({"0.1": 10.0, "0.2": 10.0, "+Inf": 10.0}, "do not tell"),
    ],
)
def test_a_champion_without_slow_calls_tells_no_limit(calls: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        slow_share(calls, margin=1.1)

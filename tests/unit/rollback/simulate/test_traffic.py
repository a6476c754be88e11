"""Made-up traffic is as it was ordered."""

from dataclasses import replace

import numpy as np
import pytest

from rollback.simulate.traffic import EDGES, Behaviour, Bursts, Source, useful_edges

MODEL = Behaviour(median=0.02, sigma=0.6, errors=0.01)
WORSE = MODEL.worse(errors=3, slower=2, added=0.01)
SOURCE = Source(MODEL, WORSE, 0.25, 50, 15.0, useful_edges((MODEL, WORSE), (0.01,)))


def test_a_behaviour_and_a_worse_one() -> None:
    assert MODEL.quantile(0.5) == pytest.approx(0.02)
    assert MODEL.quantile(0.99) == pytest.approx(0.0808, abs=1e-4)
    assert MODEL.beyond(MODEL.quantile(0.99)) == pytest.approx(0.01)
    assert WORSE.quantile(0.99) == pytest.approx(0.1715, abs=1e-4)
    assert WORSE.errors == pytest.approx(0.03)
    assert WORSE.beyond(0.01) == 1
    assert replace(MODEL, errors=0.6).worse(errors=2).errors == 1


def test_counts_follow_the_models() -> None:
    traffic = SOURCE.play(np.random.default_rng(3), 4000)
    edges = traffic.edges.tolist()
    for arm, model, calls in ((traffic.champion, MODEL, 562.5), (traffic.challenger, WORSE, 187.5)):
        assert arm.calls.mean() == pytest.approx(calls, rel=0.01)
        assert arm.errors.sum() / arm.calls.sum() == pytest.approx(model.errors, rel=0.05)
        for number, edge in enumerate(edges):
            share = arm.slower[:, number].sum() / arm.calls.sum()
            assert share == pytest.approx(model.beyond(edge), rel=0.1, abs=1e-4)
        assert (np.diff(arm.slower, axis=1) <= 0).all()
        assert (arm.errors <= arm.calls).all()


def test_only_edges_that_matter() -> None:
    assert len(SOURCE.edges) < 30
    assert set(SOURCE.edges.tolist()) - {0.01} < set(EDGES.tolist())
    below_p99 = SOURCE.edges[SOURCE.edges < MODEL.quantile(0.99)]
    assert len(below_p99) >= 2
    sharp = Behaviour(0.02, 0.05, 0.0)
    assert (useful_edges((sharp,), ()) < sharp.quantile(0.95)).any()


@pytest.mark.parametrize("one_user", [True, False])
def test_bursts_are_bad_calls(one_user: bool) -> None:
    bursts = Bursts(size=10, an_hour=60, one_user=one_user)
    calm = replace(SOURCE, champion=replace(MODEL, errors=0), challenger=replace(MODEL, errors=0))
    traffic = replace(calm, bursts=bursts).play(np.random.default_rng(3), 4000)
    mine, theirs = traffic.challenger, traffic.champion
    assert (mine.errors + theirs.errors).sum() == pytest.approx(10 * 1000, rel=0.1)
    assert mine.errors.sum() / (mine.errors + theirs.errors).sum() == pytest.approx(0.25, abs=0.04)
    assert (mine.errors % 10 == 0).all() == one_user
    assert (mine.slower[:, -1] >= mine.errors).all()


def test_the_same_dice_give_the_same_traffic() -> None:
    one, two = (SOURCE.play(np.random.default_rng(7), 50) for _ in range(2))
    assert (one.challenger.slower == two.challenger.slower).all()
    both = one.then(two)
    assert len(both.champion.calls) == 100

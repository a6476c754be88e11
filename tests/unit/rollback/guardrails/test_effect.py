"""The difference with its interval: right numbers, and intervals that hold as often as they say."""

import numpy as np
import pytest

from common.sequential import Buckets, Counts
from rollback.guardrails.effect import Effect, at_every_look


def counts(challenger: tuple[int, int], champion: tuple[int, int], buckets: Buckets | None = None) -> Counts:
    """In two steps; calls and bad ones among them."""
    halves = [np.array([whole // 2, whole - whole // 2]) for whole in (*champion, *challenger)]
    return Counts(*halves, buckets=buckets)


def test_the_interval_of_one_moment_is_newcombes() -> None:
    found = Effect.of_shares(56 / 70, 70, 48 / 80, 80)  # his first example, method 10
    assert ends(found) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def ends(found: Effect | None) -> tuple[float, float]:
    """Of an interval that is there."""
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


@pytest.mark.parametrize("share", [-0.1, 1.2, float("nan")])
def test_what_is_no_share_has_no_interval(share: float) -> None:
    assert Effect.of_shares(share, 100, 0.1, 100) == Effect(0.1)


def test_at_every_look_it_is_wider_than_at_one() -> None:
    low, high = ends(Effect.of_shares(0.02, 5_000, 0.01, 95_000))
    least, most = ends(Effect.of_counts(counts((5_000, 100), (95_000, 950))))
    assert least < low < 0.01 < high < most


def test_where_nothing_was_bad_it_is_not_sure_of_nothing() -> None:
    low, high = ends(Effect.of_counts(counts((200, 0), (3_800, 0))))
    assert low < 0 < 0.01 < high


def test_without_calls_of_both_there_is_none() -> None:
    assert Effect.of_counts(counts((0, 0), (100, 1))) is None
    assert Effect.of_counts(counts((100, 1), (0, 0))) is None


def test_calls_that_hang_together_count_for_fewer() -> None:
    alone = ends(Effect.of_counts(counts((5_000, 100), (95_000, 950))))
    in_fours = ends(Effect.of_counts(counts((5_000, 100), (95_000, 950)), dispersion=4))
    quarter = ends(Effect.of_counts(counts((1_250, 25), (23_750, 237))))
    assert in_fours[0] < alone[0] < alone[1] < in_fours[1]
    assert in_fours == pytest.approx(quarter, abs=3e-5)
    bad = np.array([[0, 0, 0, 40], [0, 0, 40, 0]])  # all of them of few users
    users = Buckets(1, np.full((2, 4), 1_000), bad)
    by_user = ends(Effect.of_counts(counts((5_000, 100), (95_000, 950), buckets=users)))
    assert by_user[0] < alone[0] < alone[1] < by_user[1]


@pytest.mark.parametrize(("bad", "share"), [(0.01, 0.05), (0.001, 0.05), (0.1, 0.25)])
def test_of_equal_models_at_most_5_in_100_stages_ever_show_a_difference(bad: float, share: float) -> None:
    """A day at 50 requests a second, looked at every 15 s; an interval for one look fails most of them."""
    rng, runs, steps = np.random.default_rng(20), 100, 5760
    drawn = [rng.poisson(750 * part, (runs, steps)) for part in (share, 1 - share)]
    found = [np.cumsum(rng.binomial(each, bad), axis=1) for each in drawn]
    calls = [np.maximum(np.cumsum(each, axis=1), 1) for each in drawn]
    shares = [hits / runs for hits, runs in zip(found, calls, strict=True)]
    low, high = at_every_look(shares[0], calls[0], shares[1], calls[1])
    wrong = (((low > 0) | (high < 0)) & (calls[0] >= 20)).any(axis=1).sum()
    pooled = bad * (1 - bad) * (1 / calls[0] + 1 / calls[1])
    ordinary = ((np.abs(shares[0] - shares[1]) > 1.96 * np.sqrt(pooled)) & (calls[0] >= 20)).any(axis=1).sum()
    assert wrong <= 10  # of 100: 5 are expected at most, and 11 would come by chance once in 90 times
    assert ordinary > 40

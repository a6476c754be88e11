"""The reading that is valid at any time: published numbers, its guarantee, its reach."""

from collections.abc import Callable
from math import inf, log

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.metric import Kind
from analysis.statistics.effect import Sample
from analysis.statistics.power import Design, need
from analysis.statistics.proportions import Share, null_deviation
from analysis.statistics.sequential import (
    LEAST_EVENTS,
    LEAST_USERS,
    Planned,
    compare_means,
    compare_shares,
    log_e,
    mixing,
    two_sided_bound,
)

Values = NDArray[np.float64]
ALPHA = 0.05


def test_reference_numbers() -> None:
    assert two_sided_bound(100, 100, ALPHA) == pytest.approx(30.35209, abs=5e-6)


def test_the_bound_is_the_evidence_turned_round() -> None:
    """At the bound e is 1 / alpha: one over the other is what makes interval and p agree."""
    bound = two_sided_bound(50, 100, ALPHA)
    evidence = log_e(np.float64(bound / 50), np.float64(1 / 50), 1 / 100, ALPHA)
    assert evidence == pytest.approx(log(1 / ALPHA))
    assert mixing(100, ALPHA) == pytest.approx(12.6, abs=0.01)


@pytest.mark.parametrize("challenger", [1000, 1060, 1100, 1110, 1120, 1140, 1180])
def test_an_interval_leaves_out_nothing_exactly_where_p_is_small(challenger: int) -> None:
    effect = compare_shares([(Share(1140, 1200), Share(challenger, 1200))], Planned(2312, 2312, 0.0475))
    assert effect.relative is not None
    assert (0 in effect.absolute) == (0 in effect.relative) == (effect.p > ALPHA)
    assert effect.difference in effect.absolute


@pytest.mark.parametrize("mean", [10.1, 10.9, 11.3, 14.0])
def test_the_same_of_means(mean: float) -> None:
    effect = compare_means([(Sample(9000, 10, 90), Sample(500, mean, 130))], Planned(19_000, 1000, 90))
    assert effect.relative is not None
    assert (0 in effect.absolute) == (0 in effect.relative) == (effect.p > ALPHA)


def test_a_share_is_no_mean_but_nearly() -> None:
    share = compare_shares([(Share(1140, 1200), Share(1100, 1200))], Planned(2312, 2312, 0.0475))
    champion, challenger = (
        Sample(1200, each / 1200, each / 1200 * (1 - each / 1200)) for each in (1140, 1100)
    )
    mean = compare_means([(champion, challenger)], Planned(2312, 2312, 0.0475))
    assert share.p == pytest.approx(mean.p, rel=0.1)
    assert share.absolute.width == pytest.approx(mean.absolute.width, rel=0.05)


@pytest.mark.parametrize(
    ("champion", "challenger"),
    [
        (Share(950, 1000), Share(90, 99)),
        (Share(9990, 10_000), Share(500, 500)),
        (Share(0, 500), Share(0, 500)),
    ],
)
def test_too_few_say_nothing(champion: Share, challenger: Share) -> None:
    effect = compare_shares([(champion, challenger)], Planned(2312, 2312, 0.0475))
    assert (effect.p, effect.absolute.low, effect.absolute.high, effect.relative) == (1, -1, 1, None)


def test_means_of_users_who_do_not_differ_say_nothing() -> None:
    effect = compare_means([(Sample(900, 0, 0), Sample(900, 0, 0))], Planned(900, 900, 1))
    assert (effect.p, effect.absolute.high, effect.relative) == (1, inf, None)


def shares_errors(arms: NDArray[np.bool_], y: Values) -> tuple[Values, Values, NDArray[np.bool_]]:
    """Difference, variance and whether it may be read, after each user, as `compare_shares` has them."""
    n1, n0 = np.cumsum(arms, axis=-1), np.cumsum(~arms, axis=-1)
    s1, s0 = np.cumsum(arms * y, axis=-1), np.cumsum(~arms * y, axis=-1)
    n = n1 + n0
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (s1 + s0) / n
        error = pooled * (1 - pooled) * (1 / n1 + 1 / n0)
        rarer = np.minimum(pooled, 1 - pooled) * np.minimum(n1, n0)
        difference = s1 / n1 - s0 / n0
    return difference, error, (np.minimum(n1, n0) >= LEAST_USERS) & (rarer >= LEAST_EVENTS)


def test_what_is_simulated_here_is_what_is_read() -> None:
    dice = np.random.default_rng(1)
    arms, y = dice.random(4000) < 0.3, (dice.random(4000) < 0.9).astype(np.float64)
    difference, error, may = shares_errors(arms, y)
    planned = Planned(2312, 991, 0.09)
    for n in (3999, 1500):
        mine, theirs = arms[: n + 1], ~arms[: n + 1]
        champion = Share(int(y[: n + 1][theirs].sum()), int(theirs.sum()))
        challenger = Share(int(y[: n + 1][mine].sum()), int(mine.sum()))
        assert may[n]
        assert error[n] == pytest.approx(null_deviation(champion, challenger, 0.0, "diff") ** 2)
        evidence = float(log_e(difference[n], error[n], planned.error(), ALPHA))
        effect = compare_shares([(champion, challenger)], planned)
        assert effect.p == pytest.approx(min(1, np.exp(-evidence)))


@pytest.mark.parametrize(
    ("baseline", "share", "effect"),
    [(0.95, 0.5, 0.02), (0.95, 0.05, 0.02), (0.05, 0.2, 0.015), (0.5, 0.5, 0.05)],
)
def test_read_after_each_user_it_is_false_in_5_percent_at_most(
    baseline: float, share: float, effect: float
) -> None:
    """Equal models, read from the first user that may be read to twice the planned end, after each."""
    dice, runs = np.random.default_rng(2), 600
    needed = need(Design(Kind.PROPORTION, baseline, share=share), effect)
    planned = Planned(needed.champion, needed.challenger, baseline * (1 - baseline))
    ever = 0
    for _ in range(runs):
        arms = dice.random(2 * needed.total) < share
        y = (dice.random(arms.size) < baseline).astype(np.float64)
        difference, error, may = shares_errors(arms, y)
        evidence = log_e(difference[may], error[may], planned.error(), ALPHA)
        ever += bool((evidence >= log(1 / ALPHA)).any())
    assert ever / runs <= ALPHA


def lognormal(dice: np.random.Generator, users: int) -> Values:
    """One user in ten buys, for amounts that differ widely."""
    return dice.lognormal(3, 1, users) * (dice.random(users) < 0.1)


def counts(dice: np.random.Generator, users: int) -> Values:
    """Negative binomial, variance three times the mean."""
    return dice.negative_binomial(0.4, 1 / 3, users).astype(np.float64)


@pytest.mark.parametrize("share", [0.5, 0.05])
@pytest.mark.parametrize("draw", [lognormal, counts])
def test_means_too_also_of_small_arms_with_rare_values(
    draw: Callable[[np.random.Generator, int], Values], share: float
) -> None:
    """With the arms' own variances the canary of 5% is false in a sixth of these tests."""
    dice, runs, users = np.random.default_rng(3), 60, 12_000
    sample = draw(dice, 100_000)
    planned = Planned(round(users / 2 * (1 - share)), round(users / 2 * share), float(sample.var()))
    ever = 0
    for _ in range(runs):
        arms, y = dice.random(users) < share, draw(dice, users)
        for n in np.unique(np.geomspace(LEAST_USERS / share * 1.2, users, 60).astype(int)):
            mine, theirs = y[:n][arms[:n]], y[:n][~arms[:n]]
            if min(len(mine), len(theirs)) < LEAST_USERS:
                continue
            champion, challenger = (
                Sample(len(each), float(each.mean()), float(each.var(ddof=1))) for each in (theirs, mine)
            )
            if 0 not in compare_means([(champion, challenger)], planned).absolute:
                ever += 1
                break
    assert ever / runs <= ALPHA


def test_a_difference_as_large_as_planned_is_found_at_about_the_planned_end() -> None:
    dice, runs = np.random.default_rng(4), 200
    needed = need(Design(Kind.PROPORTION, 0.95), 0.02)
    planned = Planned(needed.champion, needed.challenger, 0.0475)
    ends = []
    for _ in range(runs):
        arms = dice.random(4 * needed.total) < 0.5
        y = (dice.random(arms.size) < np.where(arms, 0.93, 0.95)).astype(np.float64)
        difference, error, may = shares_errors(arms, y)
        evidence = log_e(difference[may], error[may], planned.error(), ALPHA)
        found = np.flatnonzero(evidence >= log(1 / ALPHA))
        ends.append((~may).sum() / needed.total + found[0] / needed.total if found.size else inf)
    assert np.median(ends) == pytest.approx(0.9, abs=0.15)
    assert np.quantile(ends, 0.8) < 1.75

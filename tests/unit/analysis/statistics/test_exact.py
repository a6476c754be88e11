"""The exact test, against scipy, against all tables one by one, and where it decides instead of z."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from analysis.statistics.exact import Counts, exact_p, smallest_expected
from analysis.statistics.proportions import EXACT, Share, compare, compare_strata, p_value, small
from analysis.statistics.requests import Rate, difference_p

ARM = st.tuples(st.integers(1, 60), st.floats(0, 1)).map(lambda arm: Share(round(arm[0] * arm[1]), arm[0]))
PAIR = st.tuples(ARM, ARM)


def test_few_in_a_small_arm_are_not_judged_by_z() -> None:
    """By z with its correction 0.07: none of 127 users beside 88 of 2,713."""
    effect = compare(Share(88, 2713), Share(0, 127))
    assert effect.test == EXACT
    assert effect.p == pytest.approx(0.032123, abs=1e-6)
    assert 0 not in effect.absolute
    assert difference_p(Rate(0, 127), Rate(88, 2713)) == pytest.approx(effect.p, rel=1e-9)


@given(pair=PAIR)
def test_one_pair_is_scipys(pair: tuple[Share, Share]) -> None:
    table = np.array([[each.converted, each.users - each.converted] for each in pair])
    counts = Counts(pair[0].converted, pair[1].converted, pair[0].users, pair[1].users)
    assert exact_p([counts]) == pytest.approx(fisher_exact(table).pvalue, rel=1e-6)
    did, users = sum(each.converted for each in pair), sum(each.users for each in pair)
    cells = [each.users * part / users for each in pair for part in (did, users - did)]
    assert smallest_expected([counts]) == pytest.approx(min(cells), abs=1e-9)
    assert small([pair]) == (smallest_expected([counts]) < 5)


def test_strata_are_all_tables_that_could_have_been() -> None:
    strata = [Counts(3, 2, 9, 4), Counts(1, 3, 6, 5), Counts(0, 0, 3, 2)]
    chances: dict[int, float] = {}
    for each in product(*(range(one.least, one.most + 1) for one in strata)):
        chance = 1.0
        for number, one in zip(each, strata, strict=True):
            chance *= comb(one.challenger_users, number) * comb(one.champion_users, one.did - number)
            chance /= comb(one.users, one.did)
        chances[sum(each)] = chances.get(sum(each), 0.0) + chance
    found = chances[5]
    expected = sum(chance for chance in chances.values() if chance <= found * (1 + 1e-9))
    assert exact_p(strata) == pytest.approx(expected, rel=1e-9)


@given(strata=st.lists(PAIR, min_size=1, max_size=4), alpha=st.sampled_from([0.05, 0.01]))
def test_intervals_say_what_the_test_says(strata: list[tuple[Share, Share]], alpha: float) -> None:
    effect = compare_strata(strata, alpha=alpha)
    assert effect.test.startswith(EXACT) == small(strata)
    assert effect.absolute.low <= effect.difference <= effect.absolute.high
    if abs(effect.p - alpha) > 1e-6:
        assert (0 in effect.absolute) == (effect.p > alpha)
        assert effect.relative is None or (0 in effect.relative) == (effect.p > alpha)


@pytest.mark.parametrize("users", [(60_000, 3), (3, 60_000), (50_000, 50_000)])
def test_large_arms_take_no_time_to_speak_of(users: tuple[int, int]) -> None:
    champion, challenger = (Share(min(n, 3), n) for n in users)
    assert 0 <= p_value([(champion, challenger)] * 5) <= 1


def test_equal_arms_with_few_events_are_called_different_in_no_more_than_5_in_100() -> None:
    """Of 127 users beside 2,713, at 1 to 4%; the z test without its correction is false in up to 7%."""
    dice, wrong = np.random.default_rng(1), []
    for level in (0.01, 0.02, 0.04):
        found = np.stack([dice.binomial(2713, level, 2000), dice.binomial(127, level, 2000)], axis=1)
        pairs, times = np.unique(found, axis=0, return_counts=True)
        p = [p_value([(Share(int(a), 2713), Share(int(b), 127))]) for a, b in pairs]
        wrong.append(float(times[np.array(p) <= 0.05].sum() / times.sum()))
    assert max(wrong) <= 0.06
    assert max(wrong) > 0.01  # it is not deaf

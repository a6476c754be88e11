"""Simpson's paradox, and corrections for many comparisons."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2_contingency
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.meta_analysis import combine_effects
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from analysis.statistics.effect import Sample, benjamini_hochberg, holm
from analysis.statistics.simpson import Part, heterogeneity_p, mix

Values = NDArray[np.float64]


def part(champion: tuple[int, float], challenger: tuple[int, float]) -> Part:
    """Users and mean of each arm, without a variance."""
    return Part(Sample(*champion, 0.0), Sample(*challenger, 0.0))


# Charig and others 1986: open surgery and percutaneous removal of small and of large kidney stones.
SMALL = part((270, 234 / 270), (87, 81 / 87))
LARGE = part((80, 55 / 80), (263, 192 / 263))


def test_the_kidney_stones() -> None:
    found = mix([SMALL, LARGE])
    assert found.crude == pytest.approx(273 / 350 - 289 / 350, abs=1e-12)
    assert SMALL.effect > 0
    assert LARGE.effect > 0
    assert found.adjusted > 0
    assert found.reversed
    assert found.differs
    assert found.p == pytest.approx(chi2_contingency([[270, 87], [80, 263]], correction=False)[1], abs=1e-12)


# Bickel, Hammel, O'Connell 1975: (admitted, rejected) of men and of women in the six departments of Berkeley.
BERKELEY = (
    ((512, 313), (89, 19)),
    ((353, 207), (17, 8)),
    ((120, 205), (202, 391)),
    ((138, 279), (131, 244)),
    ((53, 138), (94, 299)),
    ((22, 351), (24, 317)),
)


def _users(counts: tuple[int, int]) -> Values:
    return np.repeat([1.0, 0.0], counts)


def _parts(pairs: Sequence[tuple[Values, Values]]) -> list[Part]:
    return [
        Part(*(Sample(len(each), float(each.mean()), float(each.var(ddof=1))) for each in pair))
        for pair in pairs
    ]


def _regression(pairs: Sequence[tuple[Values, Values]]) -> tuple[Any, Any]:
    """Every cell its own mean and, by HC2, its own variance; and the columns of the cells."""
    y = np.concatenate([each for pair in pairs for each in pair])
    cell = np.repeat(np.arange(2 * len(pairs)), [len(each) for pair in pairs for each in pair])
    return OLS(y, np.eye(2 * len(pairs))[cell]).fit(cov_type="HC2"), y


def test_berkeley() -> None:
    """Fewer women are admitted; department by department, weighted alike, more are."""
    pairs = [(_users(men), _users(women)) for men, women in BERKELEY]
    found = mix(_parts(pairs))
    assert found.crude == pytest.approx(557 / 1835 - 1198 / 2691, abs=1e-12)
    assert found.adjusted > 0
    assert (found.reversed, found.differs, found.certain(0.05)) == (True, True, True)
    assert (found.opposite, found.parts) == (4, 6)  # not each of them, so it is the weights that count


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_errors_and_heterogeneity_are_statsmodels(seed: int | None) -> None:
    if seed is None:
        pairs = [(_users(men), _users(women)) for men, women in BERKELEY]
    else:
        dice = np.random.default_rng(seed)
        sizes = ((400, 90), (60, 300), (200, 210), (30, 35))
        pairs = [(dice.lognormal(1, 1, a), dice.lognormal(1.1, 1, b)) for a, b in sizes]
    parts, (fit, y) = _parts(pairs), _regression(pairs)
    found = mix(parts)
    weights = np.array([part.users for part in parts]) / len(y)
    adjusted = fit.t_test(np.ravel([(-w, w) for w in weights]))
    assert found.adjusted == pytest.approx(float(np.squeeze(adjusted.effect)), abs=1e-9)
    assert found.adjusted_error == pytest.approx(float(np.squeeze(adjusted.sd)), abs=1e-9)
    arms = [np.concatenate([pair[side] for pair in pairs]) for side in (0, 1)]
    crude = CompareMeans(DescrStatsW(arms[1]), DescrStatsW(arms[0]))
    assert found.crude_error == pytest.approx(crude.std_meandiff_separatevar, abs=1e-9)
    effects = [part.effect for part in parts]
    variances = [part.error for part in parts]
    # Cochran's Q is the Wald test of all interactions: each effect less the first one is nothing.
    contrasts = np.zeros((len(parts) - 1, 2 * len(parts)))
    contrasts[:, :2] = (1, -1)
    for row in range(len(parts) - 1):
        contrasts[row, 2 * row + 2 : 2 * row + 4] = (-1, 1)
    wald = fit.wald_test(contrasts, use_f=False, scalar=True)
    combined = combine_effects(np.array(effects), np.array(variances), method_re="dl").test_homogeneity()
    p = heterogeneity_p(effects, variances)
    assert p == pytest.approx(float(wald.pvalue), abs=1e-9)
    assert p == pytest.approx(float(combined.pvalue), abs=1e-9)


def test_a_reversal_within_chance_is_not_certain() -> None:
    """The kidney stones themselves: the mix is another beyond doubt, and neither figure is certain."""
    found = mix(
        [Part(*(replace(arm, variance=0.16) for arm in (p.champion, p.challenger))) for p in (SMALL, LARGE)]
    )
    assert (found.reversed, found.differs, found.certain(0.05)) == (True, True, False)


def test_a_mix_that_is_the_same_changes_nothing() -> None:
    parts = [
        part((500, 0.5), (500, 0.6)),
        part((100, 0.1), (100, 0.05)),
    ]
    found = mix(parts)
    assert found.adjusted == pytest.approx(found.crude, abs=1e-12)
    assert not found.differs
    assert not found.reversed


def test_one_part_is_no_paradox() -> None:
    assert not mix([part((10, 0.5), (20, 0.6))]).reversed


def test_a_part_with_one_arm_only() -> None:
    found = mix([part((100, 0.5), (100, 0.6)), part((100, 0.1), (0, 0.0))])
    assert found.adjusted == pytest.approx(0.1)
    assert found.crude == pytest.approx(0.6 - 0.3)
    assert found.differs


@pytest.mark.parametrize("parts", [[], [part((0, 0), (0, 0))], [part((5, 1), (0, 0))]])
def test_nothing_is_no_paradox(parts: list[Part]) -> None:
    found = mix(parts)
    assert not found.reversed
    assert not found.differs


def test_equal_effects_are_rarely_called_different() -> None:
    rng = np.random.default_rng(1)
    false = sum(heterogeneity_p(rng.normal(0.1, 0.2, 4).tolist(), [0.04] * 4) < 0.05 for _ in range(2000))
    assert false / 2000 == pytest.approx(0.05, abs=0.015)
    assert heterogeneity_p([-0.1, 0.1], [1e-4, 1e-4]) < 1e-9
    assert heterogeneity_p([0.1], [1.0]) == 1.0
    assert Part(Sample(100, 0.0, 4.0), Sample(50, 0.0, 9.0)).error == pytest.approx(0.22)


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.01, 0.04, 0.03]
    assert holm(p) == pytest.approx((0.03, 0.06, 0.06))
    assert benjamini_hochberg(p) == pytest.approx((0.03, 0.04, 0.04))
    assert holm([]) == ()

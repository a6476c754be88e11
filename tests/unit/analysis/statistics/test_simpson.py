"""Simpson's paradox, and corrections for many comparisons."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from analysis.statistics.many import benjamini_hochberg, holm
from analysis.statistics.simpson import Part, difference_variance, heterogeneity_p, mix

# Charig and others 1986: open surgery and percutaneous removal of small and of large kidney stones.
SMALL = Part(champion_users=270, challenger_users=87, champion=234 / 270, challenger=81 / 87)
LARGE = Part(champion_users=80, challenger_users=263, champion=55 / 80, challenger=192 / 263)


def test_the_kidney_stones() -> None:
    found = mix([SMALL, LARGE])
    assert found.crude == pytest.approx(273 / 350 - 289 / 350, abs=1e-12)
    assert SMALL.effect > 0
    assert LARGE.effect > 0
    assert found.adjusted > 0
    assert found.reversed
    assert found.differs
    assert found.p == pytest.approx(chi2_contingency([[270, 87], [80, 263]], correction=False)[1], abs=1e-12)


def test_a_mix_that_is_the_same_changes_nothing() -> None:
    parts = [Part(500, 500, 0.5, 0.6), Part(100, 100, 0.1, 0.05)]
    found = mix(parts)
    assert found.adjusted == pytest.approx(found.crude, abs=1e-12)
    assert not found.differs
    assert not found.reversed


def test_one_part_is_no_paradox() -> None:
    assert not mix([Part(10, 20, 0.5, 0.6)]).reversed


def test_a_part_with_one_arm_only() -> None:
    found = mix([Part(100, 100, 0.5, 0.6), Part(100, 0, 0.1, 0.0)])
    assert found.adjusted == pytest.approx(0.1)
    assert found.crude == pytest.approx(0.6 - 0.3)
    assert found.differs


@pytest.mark.parametrize("parts", [[], [Part(0, 0, 0, 0)], [Part(5, 0, 1, 0)]])
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
    assert difference_variance((4.0, 9.0), (100, 50)) == pytest.approx(0.22)


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.01, 0.04, 0.03]
    assert holm(p) == pytest.approx((0.03, 0.06, 0.06))
    assert benjamini_hochberg(p) == pytest.approx((0.03, 0.04, 0.04))
    assert holm([]) == ()

"""What a report promises: 5% false verdicts of equal models, and the power that N was planned for.

Each simulated test is read by the function that the report reads with, on aggregates as the engine hands them
over. Seeds are fixed: the bands of 4-6% and 78-82% are two standard errors of 2,000 tests.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from analysis.abtest.measure import ArmReadings
from analysis.abtest.verdict import Finding, answer, compare
from analysis.metric import Kind, Metric
from analysis.statistics.power import Design, need
from analysis.statistics.proportions import Share, p_value
from tests.unit.analysis.abtest.arms import Values, arm, arms

TESTS, POWER_TESTS = 2000, 1000
ALPHA = 0.05
Draw = Callable[[np.random.Generator, int, float], Values]


@pytest.fixture(autouse=True, scope="module")
def _no_documentation() -> Iterator[None]:
    """SciPy writes that of a distribution anew for every t test: half of the time of these."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("scipy.stats._distn_infrastructure.doccer.docformat", lambda text, _=None: text)
        yield


def shares(dice: np.random.Generator, users: int, level: float) -> Values:
    """Users who do it or do not."""
    return (dice.random(users) < level).astype(np.float64)


def amounts(dice: np.random.Generator, users: int, level: float) -> Values:
    """Log-normal, as skewed as baskets are; the deviation is 26.2."""
    return level - 20 + 20 * dice.lognormal(-0.5, 1, users)


def purchases(dice: np.random.Generator, users: int, level: float) -> Values:
    """Negative binomial of dispersion 1."""
    return dice.negative_binomial(1, 1 / (1 + level), users).astype(np.float64)


def found(draw: Draw, design: Design, effect: float, *, real: bool) -> float:
    """The share of tests of the planned size that find a difference, where there is one or is none."""
    dice, needed, verdicts = np.random.default_rng(1), need(design, effect), 0
    tests = POWER_TESTS if real else TESTS
    metric = Metric(name="m", outcome="m", kind=design.kind)
    for number in range(tests):
        both = arms(
            draw(dice, needed.champion, design.baseline),
            draw(dice, needed.challenger, design.baseline + effect * real),
            design.kind,
        )
        comparison = compare(both, design.kind, alpha=ALPHA, seed=number, replicates=999)
        verdicts += answer(comparison.effect, metric, alpha=ALPHA) is not Finding.NO_DIFFERENCE
    return verdicts / tests


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "design", "effect"),
    [
        (amounts, Design(Kind.MEAN, 20, deviation=26.2), 4),
        (purchases, Design(Kind.COUNT, 0.8, dispersion=1), 0.25),
    ],
    ids=["mean", "count"],
)
def test_means_and_counts(draw: Draw, design: Design, effect: float) -> None:
    assert 0.04 <= found(draw, design, effect, real=False) <= 0.06
    assert 0.78 <= found(draw, design, effect, real=True) <= 0.82


@pytest.mark.slow
def test_skewed_amounts_of_a_canary() -> None:
    """With the 227 users that would find the effect 6.6% would be false, nearly all of them "worse"."""
    design = Design(Kind.MEAN, 20, deviation=26.2, share=0.05, skewness=6.2)
    assert 0.04 <= found(amounts, design, 5, real=False) <= 0.06


def proportions(design: Design, change: float) -> float:
    """As `found`, for shares and an effect of .02; the verdict is that of p, see the test below."""
    dice, needed = np.random.default_rng(2), need(design, 0.02)
    tests = POWER_TESTS if change else TESTS
    champion = dice.binomial(needed.champion, design.baseline, tests)
    challenger = dice.binomial(needed.challenger, design.baseline + change, tests)
    p = [
        p_value([(Share(int(a), needed.champion), Share(int(b), needed.challenger))])
        for a, b in zip(champion, challenger, strict=True)
    ]
    return float((np.array(p) <= ALPHA).mean())


def test_shares() -> None:
    design = Design(Kind.PROPORTION, 0.95)
    assert 0.04 <= proportions(design, 0.0) <= 0.06
    assert 0.78 <= proportions(design, -0.02) <= 0.82


def test_shares_of_a_canary() -> None:
    design = Design(Kind.PROPORTION, 0.95, share=0.05)
    assert 0.03 <= proportions(design, 0.0) <= 0.06  # the correction is a cautious one for 57 exceptions
    assert 0.78 <= proportions(design, -0.02) <= 0.82


def test_the_verdict_of_a_share_is_that_of_p() -> None:
    dice = np.random.default_rng(3)
    for number in range(100):
        champion, challenger = shares(dice, 600, 0.9), shares(dice, 200, 0.86)
        effect = compare(arms(champion, challenger), Kind.PROPORTION, alpha=ALPHA, seed=number).effect
        p = p_value([(Share(int(champion.sum()), 600), Share(int(challenger.sum()), 200))])
        assert effect.p == p
        finding = answer(effect, Metric(name="m", outcome="m"), alpha=ALPHA)
        assert (finding is Finding.NO_DIFFERENCE) == (p > ALPHA) == (0 in effect.absolute)


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True], ids=["equal", "different"])
def test_a_covariate_keeps_alpha_and_adds_power(real: bool) -> None:
    """Amounts that correlate with those before by .7: half of the users do."""
    dice, needed = np.random.default_rng(4), need(Design(Kind.MEAN, 20, deviation=10), 2)
    metric, users, verdicts = Metric(name="m", outcome="m", kind=Kind.MEAN), needed.challenger // 2, 0
    tests = POWER_TESTS // 2
    for number in range(tests):
        readings = []
        for change in (0.0, 2.0 * real):
            before = dice.normal(20, 10, users)
            now = 20 + 0.7071 * (before - 20) + dice.normal(change, 7.071, users)
            readings.append(arm(now, Kind.MEAN, before))
        both = ArmReadings(readings[0], readings[1])
        comparison = compare(both, Kind.MEAN, alpha=ALPHA, seed=number, covariate=True)
        verdicts += answer(comparison.effect, metric, alpha=ALPHA) is not Finding.NO_DIFFERENCE
    share = verdicts / tests
    assert 0.76 <= share <= 0.84 if real else 0.03 <= share <= 0.07

"""The statistics, held to published numbers, to their guarantee and to slower ways of writing them down."""

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest

from common.e_process import LateStart, Values
from common.sequential import (
    AROUND_TWO,
    EVEN,
    Buckets,
    Counts,
    log_e,
    log_e_calls,
    log_e_limit,
    log_e_steps,
    log_e_totals,
)

CALLS = 750  # a step: 15 s at 50 a second
ALPHA = 0.05


def play(
    dice: np.random.Generator,
    shape: tuple[int, int],
    share: float | Values,
    champion: float | Values,
    challenger: float | Values,
) -> Counts:
    """Traffic in which each model's calls are bad with a chance of their own."""
    mine, theirs = dice.poisson(CALLS * share, shape), dice.poisson(CALLS * (1 - np.asarray(share)), shape)
    counts = (theirs, dice.binomial(theirs, champion), mine, dice.binomial(mine, challenger))
    return Counts(*(count.astype(np.float64) for count in counts))


def breached(evidence: Values, alpha: float = ALPHA) -> float:
    """The share of runs that were ever breached."""
    return float((evidence.max(axis=-1) >= log(1 / alpha)).mean())


def delay(evidence: Values, since: int = 0, alpha: float = ALPHA) -> float:
    """Median minutes from step `since` to the breach."""
    beyond = evidence >= log(1 / alpha)
    steps = np.where(beyond.any(axis=-1), beyond.argmax(axis=-1) + 1.0, np.inf)
    return float(np.median(steps) - since) / 4


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.mark.parametrize(("x", "expected"), [(30, 10.7661), (20, 2.01358)])
def test_reference_numbers(x: int, expected: float) -> None:
    assert log_e_totals(x, 990, 0.01) == pytest.approx(expected, rel=1e-5)
    one_step = Counts(*(np.array([value]) for value in (99_000.0, 990.0, 1_000.0, float(x))))
    assert log_e_calls(one_step, mixture=EVEN) == pytest.approx([expected], rel=1e-5)


def test_a_step_is_split_as_one_likes_while_the_share_is_constant(dice: np.random.Generator) -> None:
    steps = play(dice, (3, 40), 0.2, 0.01, 0.02)
    steps = Counts(np.full((3, 40), 600.0), steps.champion_bad, np.full((3, 40), 150.0), steps.challenger_bad)
    for effect in (1.0, 1.5):
        totals = [
            log_e_totals(x, y, 0.2, effect)
            for x, y in zip(steps.challenger_bad.sum(-1), steps.champion_bad.sum(-1), strict=True)
        ]
        assert log_e_calls(steps, effect=effect, mixture=EVEN)[:, -1] == pytest.approx(totals)


@pytest.mark.parametrize("steps", [3, 20, 21, 47, 200])
def test_late_starts_are_what_they_are_said_to_be(dice: np.random.Generator, steps: int) -> None:
    late = LateStart(every=10, starts=4, weight=0.4)
    counts = play(dice, (2, steps), 0.2, 0.05, 0.1)

    def since(step: int) -> Values:
        names = ("champion_total", "champion_bad", "challenger_total", "challenger_bad")
        rest = np.exp(log_e_calls(Counts(*(getattr(counts, name)[:, step:] for name in names))))
        return np.concatenate((np.ones((2, step)), rest), axis=1)

    expected = 0.6 * since(0)
    for k in range(1, 5):
        expected += 0.4 * (1 / k) / (1 + 1 / 2 + 1 / 3 + 1 / 4) * since(min(10 * k, steps))
    assert log_e_calls(counts, late=late) == pytest.approx(np.log(expected))


def test_late_starts_share_their_weight() -> None:
    assert LateStart(240, 48, 0.3).weights.sum() == pytest.approx(0.3)


@pytest.mark.parametrize("share", [0.01, 0.25])
def test_equal_models_are_seldom_rolled_back(dice: np.random.Generator, share: float) -> None:
    counts = play(dice, (300, 1440), share, 0.01, 0.01)
    assert breached(log_e(counts)) <= ALPHA
    assert breached(log_e(counts, late=LateStart(240, 48, 0.3))) <= ALPHA


def test_neither_share_nor_errors_need_stand_still(dice: np.random.Generator) -> None:
    """The share and the errors swing together: totals take that for a regression, increments do not."""
    swing = np.sin(np.linspace(0, 6 * np.pi, 1440))
    counts = play(dice, (200, 1440), 0.1 + 0.08 * swing, 0.03 + 0.02 * swing, 0.03 + 0.02 * swing)
    assert breached(log_e(counts)) <= ALPHA
    totals = [
        log_e_totals(x, y, rho)
        for x, y, rho in zip(
            counts.challenger_bad.sum(-1),
            counts.champion_bad.sum(-1),
            counts.challenger_total.sum(-1) / (CALLS * 1440),
            strict=True,
        )
    ]
    assert breached(np.array(totals)[:, None]) > 0.9


@pytest.mark.parametrize(("share", "reference"), [(0.01, 35.0), (0.05, 6.8), (0.25, 2.2)])
def test_doubled_errors_are_found_as_fast_as_the_reference_says(
    dice: np.random.Generator, share: float, reference: float
) -> None:
    counts = play(dice, (400, int(8 / share)), share, 0.01, 0.02)
    assert delay(log_e_calls(counts, mixture=EVEN)) == pytest.approx(reference, rel=0.15)
    assert delay(log_e(counts)) < 0.9 * reference


@pytest.mark.parametrize(("share", "reference"), [(0.05, 64.0), (0.25, 31.0)])
def test_a_regression_after_six_hours(dice: np.random.Generator, share: float, reference: float) -> None:
    late, began = LateStart(240, 48, 0.3), 1440
    errors = np.where(np.arange(began + 400) < began, 0.01, 0.02)
    counts = play(dice, (100, began + 400), share, 0.01, errors)
    assert delay(log_e_calls(counts, mixture=EVEN), began) == pytest.approx(reference, rel=0.15)
    assert delay(log_e(counts, late=late), began) < reference / 3


def test_an_effect_allows_for_more_errors(dice: np.random.Generator) -> None:
    counts = play(dice, (200, 960), 0.25, 0.01, 0.015)
    assert breached(log_e(counts)) > 0.9
    assert breached(log_e(counts, effect=1.5)) <= ALPHA + 0.03  # of 200 runs


def test_fewer_may_be_worse(dice: np.random.Generator) -> None:
    counts = play(dice, (50, 960), 0.25, 0.04, 0.03)
    assert breached(log_e(counts)) <= ALPHA
    assert breached(log_e(counts.swapped())) == 1


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_bursts_fool_calls_but_not_steps(dice: np.random.Generator, share: float) -> None:
    """Ten bad calls at a time, twelve times an hour, all of the same model: that of their user."""
    counts = play(dice, (60, 2880), share, 0.001, 0.001)
    bursts = dice.poisson(12 / 240, (60, 2880))
    mine = dice.binomial(bursts, share)
    champion, challenger = 10.0 * (bursts - mine), 10.0 * mine
    counts = Counts(
        counts.champion_total + champion,
        counts.champion_bad + champion,
        counts.challenger_total + challenger,
        counts.challenger_bad + challenger,
    )
    assert breached(log_e_calls(counts)) > 0.3
    assert breached(log_e_steps(counts)) <= ALPHA + 0.03  # of 60 runs
    assert breached(log_e(counts)) < 0.5 * breached(log_e_calls(counts))
    assert breached(log_e_calls(counts, dispersion=4.6)) < 0.5 * breached(log_e_calls(counts))


def test_hiccups_of_both_models_fool_nobody(dice: np.random.Generator) -> None:
    counts = play(dice, (100, 1440), 0.25, 0.001, 0.001)
    bursts = 20 * dice.poisson(6 / 240, (100, 1440))
    mine = dice.binomial(bursts, 0.25)
    counts = Counts(
        counts.champion_total,
        counts.champion_bad + bursts - mine,
        counts.challenger_total,
        counts.challenger_bad + mine,
    )
    assert breached(log_e_calls(counts)) <= ALPHA + 0.03


def test_single_bad_calls_weigh_the_same_either_way(dice: np.random.Generator) -> None:
    counts = play(dice, (5, 2000), 0.01, 0.00005, 0.0001)
    assert counts.challenger_bad.max() <= 1
    for effect in (1.0, 2.0):
        assert log_e_steps(counts, effect=effect) == pytest.approx(
            log_e_calls(counts, effect=effect), abs=0.1
        )


def test_one_step_convinces_nobody_of_much() -> None:
    """Whoever has one call in four gets all bad calls of a step by chance in one case of four, if they hang
    together."""
    one = Counts(*(np.array([value]) for value in (600.0, 0.0, 200.0, 200.0)))
    assert log_e_calls(one)[0] > 100
    assert log_e_steps(one)[0] < log(4)


def test_a_limit_without_a_champion(dice: np.random.Generator) -> None:
    calls = dice.poisson(40, (300, 960)).astype(np.float64)
    drifting = 0.005 + 0.005 * np.sin(np.linspace(0, 20, 960)) ** 2  # up to the limit, never beyond
    late = LateStart(240, 48, 0.3)
    assert breached(log_e_limit(dice.binomial(calls.astype(int), 0.01), calls, limit=0.01)) <= ALPHA
    assert (
        breached(log_e_limit(dice.binomial(calls.astype(int), drifting), calls, limit=0.01, late=late))
        <= ALPHA
    )
    doubled = log_e_limit(dice.binomial(calls.astype(int), 0.02), calls, limit=0.01, late=late)
    assert breached(doubled) == 1
    assert breached(log_e_limit(calls[:, :1], calls[:, :1], limit=0.01)) == 1  # all are slow: at once


def test_a_limit_is_a_mixture_of_likelihood_ratios() -> None:
    chances = AROUND_TWO.factors * 0.01
    ratios = AROUND_TWO.factors**3 * ((1 - chances) / 0.99) ** 97
    expected = log(float(ratios @ AROUND_TWO.weights))
    assert log_e_limit(np.array([3.0]), np.array([100.0]), limit=0.01) == pytest.approx([expected])


def test_a_limit_leaves_out_factors_that_are_no_chances() -> None:
    evidence = log_e_limit(np.array([5.0, 5.0]), np.array([10.0, 10.0]), limit=0.5)
    assert np.isfinite(evidence).all()


def test_steps_without_calls_say_nothing() -> None:
    nothing = np.zeros(5)
    for form in (log_e, log_e_calls, log_e_steps):
        assert form(Counts(nothing, nothing, nothing, nothing)) == pytest.approx(nothing, abs=1e-12)
    assert log_e_limit(nothing, nothing, limit=0.01) == pytest.approx(nothing, abs=1e-12)


def test_calls_are_no_fewer_than_the_bad_ones_among_them() -> None:
    """Asked in one step, failed in the next: without a call there is no share of the traffic."""
    one, none = np.array([1.0]), np.array([0.0])
    for form in (log_e_calls, log_e_steps):
        assert form(Counts(none, none, none, one)) == pytest.approx([0], abs=1e-12)
    assert log_e_limit(one, none, limit=0.01) == pytest.approx(log_e_limit(one, one, limit=0.01))


def test_whole_numbers_do(dice: np.random.Generator) -> None:
    counts = play(dice, (2, 9), 0.25, 0.1, 0.1)
    whole = Counts(*(np.asarray(values, dtype=np.int64) for values in counts.arms))
    assert log_e(whole) == pytest.approx(log_e(counts))


def test_the_dispersion_of_buckets_is_pearsons() -> None:
    calls, bad = np.full((2, 4), 100.0), np.array([[1.0, 1, 1, 1], [7, 1, 1, 7]])
    # After both spans: 20 of 800, so 5 of 200 are expected in each bucket, and 8, 2, 2, 8 found.
    whole = 4 * 9 / (200 * 0.025 * 0.975)
    many = Buckets(40, np.tile(calls, 15), np.tile(bad, 15))
    assert many.dispersions() == pytest.approx([1, 1, 15 * whole / 59])
    rough = 1 + sqrt(2 / 3)  # four groups do not tell it well
    assert Buckets(40, calls, bad).dispersions() == pytest.approx([1, 1, rough * whole / 3])
    # The second span by itself: 16 of 400; 4 of 100 are expected.
    assert Buckets(40, calls, bad).dispersions(1) == pytest.approx(
        [1, rough * 4 * 9 / (100 * 0.04 * 0.96) / 3]
    )
    assert Buckets(40, calls, bad).dispersions(least=5) == pytest.approx([5, 5, 5])
    nothing = np.zeros((3, 4))
    assert Buckets(40, nothing, nothing).dispersions() == pytest.approx([1, 1, 1, 1])
    assert Buckets(40, calls[:, :1], bad[:, :1]).dispersions() == pytest.approx([1, 1, 1])


def with_buckets(dice: np.random.Generator, steps: int, spread: float) -> Counts:
    """One run, and the champion's buckets in spans of 40 steps."""
    counts = play(dice, (1, steps), 0.05, 0.01, 0.02)
    calls = np.full((steps // 40, 95), 315.0)
    bad = dice.poisson(3.15 * dice.gamma(1 / spread, spread, (1, 95)), calls.shape)
    return Counts(*(each[0] for each in counts.arms), buckets=Buckets(40, calls, bad.astype(np.float64)))


def test_users_who_are_alike_are_as_many_calls(dice: np.random.Generator) -> None:
    counts = with_buckets(dice, 480, 0.5)
    same = np.zeros((12, 95))
    late = LateStart(120, 3, 0.25)
    alike = replace(counts, buckets=Buckets(40, same, same))
    assert log_e(alike, late=late) == pytest.approx(log_e_calls(counts, late=late))
    assert log_e(alike, effect=1.5, dispersion=3) == pytest.approx(
        log_e_calls(counts, effect=1.5, dispersion=3)
    )


def test_each_beginning_has_the_dispersion_of_its_own_time(dice: np.random.Generator) -> None:
    counts = with_buckets(dice, 480, 0.5)
    assert counts.buckets is not None
    late = LateStart(120, 3, 0.25)
    whole = np.exp(_users_from(counts, 0)) * 0.75
    for number, weight in enumerate(late.weights, 1):
        whole += weight * np.exp(_users_from(counts, 120 * number))
    assert log_e(counts, late=late) == pytest.approx(np.log(whole))


def _users_from(counts: Counts, begin: int) -> Values:
    """log e of a stage that begins at that step; 0 before it."""
    assert counts.buckets is not None
    spans = Buckets(40, counts.buckets.calls[begin // 40 :], counts.buckets.bad[begin // 40 :])
    rest = Counts(*(each[begin:] for each in counts.arms), buckets=spans)
    return np.concatenate((np.zeros(begin), log_e(rest)))


def test_evidence_of_calls_bounds_that_of_users(dice: np.random.Generator) -> None:
    for spread in (0.01, 0.3, 2):
        counts = with_buckets(dice, 960, spread)
        bound = np.logaddexp(0, log_e_calls(counts))
        assert (log_e(counts) <= bound + 1e-9).all()
    assert log_e(counts).max() < log_e_calls(counts).max() / 2

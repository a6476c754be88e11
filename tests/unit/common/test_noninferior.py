"""Non-inferiority: what the evidence excludes, on counts whose truth is known."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil, floor, log

import numpy as np
import pytest

from common.noninferior import ArmCounts, Comparison, Excluded, dispersions, excluded, log_e_path, offsets

SPANS, BUCKETS, SHOWN = 48, 100, 25
Make = Callable[..., Comparison]


@pytest.fixture
def dice() -> np.random.Generator:
    return np.random.default_rng(17)


@pytest.fixture
def make(dice: np.random.Generator) -> Make:
    """Eight hours at a share of 25%, in which the challenger has `times` the champion's rate."""

    def made(
        times: float = 1.0, margin: float = 1.2, rate: float = 0.01, spread: float = 0.0, calls: int = 300
    ) -> Comparison:
        prone = rate * (dice.gamma(1 / spread, spread, BUCKETS) if spread else np.ones(BUCKETS))
        total = np.full((SPANS, BUCKETS), calls)
        mine = np.arange(BUCKETS) < SHOWN
        events = dice.poisson(total * prone * np.where(mine, times, 1))
        before = ArmCounts(np.full((1, BUCKETS), 144 * calls), dice.poisson(144 * calls * prone)[None, :])
        return Comparison(
            ArmCounts(np.where(mine, 0, total), np.where(mine, 0, events)),
            ArmCounts(np.where(mine, total, 0), np.where(mine, events, 0)),
            margin,
            before if spread else None,
        )

    return made


@pytest.mark.parametrize(
    ("times", "margin", "holds"),
    [
        (1, 1.2, True),
        (1.2, 1.2, False),
        (1.5, 1.2, False),
        (0.5, 1.2, True),
        (1, 0.9, True),
        (0.9, 0.9, False),
        (0.8, 0.9, False),
        (1.3, 0.9, True),
    ],
)
@pytest.mark.parametrize("spread", [0, 0.05], ids=["alike", "buckets differ"])
def test_a_loss_is_excluded_where_there_is_less(
    make: Make, times: float, margin: float, holds: bool, spread: float
) -> None:
    found = excluded(make(times, margin, 0.05, spread), 8)
    assert found.holds is holds
    assert found.ratio == pytest.approx(times, rel=0.1)
    assert found.bound is not None
    assert found.ratio is not None
    # The bound and the condition are the same statement.
    assert (found.bound <= margin if margin > 1 else found.bound >= margin) is holds
    assert found.bound > found.ratio if margin > 1 else found.bound < found.ratio


@pytest.mark.parametrize(("margin", "worse"), [(1.2, 1.2), (0.9, 0.9)])
def test_at_the_margin_it_holds_now_and_then_at_most(make: Make, margin: float, worse: float) -> None:
    ever = sum(bool((log_e_path(make(worse, margin, 0.05, calls=60)) >= log(20)).any()) for _ in range(200))
    assert ever <= 16  # 5% of 200 are 10, and 16 come in 3 of 100 such tests at the most


def test_the_evidence_is_that_of_the_guardrails_with_the_models_turned_around() -> None:
    one = Comparison(
        ArmCounts(np.array([[700]]), np.array([[30]])), ArmCounts(np.array([[300]]), np.array([[4]])), 1.2
    )
    by_hand = [
        weight * np.exp(30 * log(factor) + 34 * log((0.7 / 1.2 + 0.3) / (factor * 0.7 / 1.2 + 0.3)))
        for factor, weight in ((1.2, 0.7), (1.2**0.5, 0.2), (1.2**1.5, 0.1))
    ]
    assert excluded(one, 1).log_e == pytest.approx(log(sum(by_hand)))
    assert log_e_path(one)[-1] == pytest.approx(log(sum(by_hand)))


def test_how_long_it_takes_until_nobody_failed_often_enough() -> None:
    """A challenger without a bad call waits for more calls, not for a person."""

    def after(hours: int, bad: int = 0) -> Excluded:
        calls = np.full((hours, 1), 500)
        events = np.full((hours, 1), bad)
        both = ArmCounts(calls, np.zeros((hours, 1))), ArmCounts(calls, events)
        return excluded(Comparison(*both, 1.2), hours, tolerance=0.001)

    first = after(1)
    assert not first.tolerated
    assert first.hours is not None
    assert after(1 + ceil(first.hours)).tolerated
    assert not after(floor(0.8 * first.hours)).tolerated
    assert after(1, bad=1).hours is None  # two of a thousand


def test_who_has_hardly_any_bad_calls_is_tolerated(make: Make) -> None:
    few = make(3, rate=0.0001)
    assert not excluded(few, 8).holds
    assert excluded(few, 8, tolerance=0.001).tolerated
    assert not excluded(
        few, 8, tolerance=0.001, bad_calls=1e4
    ).tolerated  # a user counts once, and calls often


def test_it_tells_how_long_it_takes_yet(make: Make) -> None:
    early = make(1, margin=0.97, rate=0.1, calls=20)
    found = excluded(early, 8)
    assert not found.holds
    assert found.hours is not None
    longer = make(1, margin=0.97, rate=0.1, calls=round(20 * (1 + 2 * found.hours / 8)))
    assert excluded(longer, 8).holds
    assert excluded(make(1.5, calls=20), 8).hours is None  # as it is, it will never be


def test_nothing_is_known_of_nothing() -> None:
    none = ArmCounts(np.zeros((3, 4)), np.zeros((3, 4)))
    found = excluded(Comparison(none, none, 1.2, none), 0.5, tolerance=0.001)
    assert (found.holds, found.bound, found.ratio, found.hours) == (False, None, None, None)


def test_buckets_that_differ_count_for_less_and_what_was_known_of_them_does_not(make: Make) -> None:
    alike, differ = make(rate=0.05), make(rate=0.05, spread=0.2)
    assert dispersions(alike)[-1] < 1.5
    assert dispersions(differ)[-1] > 10
    assert dispersions(differ, offsets(differ.before))[-1] < 2
    assert excluded(differ, 8).log_e > excluded(replace(differ, before=None), 8).log_e


def test_a_difference_between_the_models_is_no_dispersion(make: Make) -> None:
    assert dispersions(make(3, rate=0.05))[-1] < 1.5


def test_buckets_that_differ_by_chance_alone_are_taken_as_alike(dice: np.random.Generator) -> None:
    total = np.full((1, BUCKETS), 30_000)
    alike = offsets(ArmCounts(total, dice.poisson(total * 0.01)))
    assert np.abs(np.asarray(alike) - 1).max() < 0.05
    total[:, :5] = 0  # the challenger had these
    unknown = offsets(ArmCounts(total, dice.poisson(total * 0.01)))
    assert np.asarray(unknown)[0] == pytest.approx(1, abs=0.05)

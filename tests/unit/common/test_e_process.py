"""What is known of earlier steps saves work and changes nothing, to the bit."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.e_process import BLOCK, EProcess, Known, LateStart, Mixture, Values, smallest
from common.sequential import Buckets, Counts, log_e, log_e_limit

LATE = st.one_of(
    st.none(), st.builds(LateStart, st.sampled_from([1, 7, 60, 90]), st.integers(1, 4), st.just(0.3))
)


def made_up(dice: np.random.Generator, steps: int) -> Counts:
    theirs, mine = dice.poisson(700, steps), dice.poisson(40, steps)
    counted = theirs, dice.binomial(theirs, 0.01), mine, dice.binomial(mine, 0.02)
    return Counts(*(each.astype(np.float64) for each in counted))


def until(counts: Counts, steps: int) -> Counts:
    return Counts(*(each[:steps].copy() for each in counts.arms))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    late=LATE,
    grown=st.lists(st.integers(0, 80), min_size=2, max_size=8),
    changed=st.lists(st.one_of(st.none(), st.integers(0, 400)), min_size=8, max_size=8),
    effect=st.sampled_from([1.0, 1.5]),
    at_least=st.sampled_from([None, 0.0025]),
)
def test_it_comes_out_as_if_nothing_was_known(
    seed: int,
    late: LateStart | None,
    grown: list[int],
    changed: list[int | None],
    effect: float,
    at_least: float | None,
) -> None:
    """A stage grows, its last step is never whole, and now and then a step of before turns out otherwise."""
    dice, known, alone = np.random.default_rng(seed), Known(), Known()
    every = made_up(dice, 1 + sum(grown))
    steps = 1
    for more, step in zip(grown, changed, strict=False):
        steps += more
        counts = until(every, steps)
        counts.challenger_total[-1] //= 2
        if step is not None and step < steps:
            every.challenger_bad[step] += 1
            counts.challenger_bad[step] += 1
        found = log_e(counts, effect=effect, late=late, at_least=at_least, known=known)
        assert found.tobytes() == log_e(counts, effect=effect, late=late, at_least=at_least).tobytes()
        bad, total = counts.challenger_bad, counts.challenger_total
        found = log_e_limit(bad, total, limit=0.01, late=late, known=alone)
        assert found.tobytes() == log_e_limit(bad, total, limit=0.01, late=late).tobytes()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    late=LATE,
    grown=st.lists(st.integers(0, 150), min_size=2, max_size=6),
    changed=st.lists(st.sampled_from(["nothing", "step", "span", "bucket"]), min_size=6, max_size=6),
    quiet=st.booleans(),
)
def test_users_come_out_as_if_nothing_was_known(
    seed: int, late: LateStart | None, grown: list[int], changed: list[str], *, quiet: bool
) -> None:
    """As above; spans are over with every fourth step, and a bucket may be new."""
    dice, known, every = np.random.default_rng(seed), Known(), 4
    whole = made_up(dice, 1 + sum(grown))
    if quiet:  # what is known must not be taken for the same because nothing is counted
        whole = Counts(*(0 * each for each in whole.arms))
    spans = (1 + sum(grown)) // every
    calls = dice.poisson(30, (spans, 6)).astype(np.float64)
    bad = dice.binomial(calls.astype(np.int64), 0.05).astype(np.float64)
    steps, width = 1, 5
    for more, change in zip(grown, changed, strict=False):
        steps += more
        over = (steps - 1) // every
        if change == "step":
            whole.challenger_bad[int(dice.integers(0, steps))] += 1
        elif change == "span" and over:
            bad[int(dice.integers(0, over)), 0] += 3
        elif change == "bucket":
            width = 6
        counts = replace(
            until(whole, steps),
            buckets=Buckets(every, calls[:over, :width].copy(), bad[:over, :width].copy()),
        )
        with patch("common.sequential.USERS_BLOCK", 8):  # few steps are many blocks
            found = log_e(counts, late=late, at_least=0.001, known=known)
            assert found.tobytes() == log_e(counts, late=late, at_least=0.001).tobytes()


@pytest.mark.parametrize("change", ["effect", "at_least", "late", "dispersion"])
def test_what_is_known_of_another_question_counts_for_nothing(change: str) -> None:
    counts, known = made_up(np.random.default_rng(1), 200), Known()
    asked: dict[str, object] = {"effect": 1.0, "at_least": 0.0025, "late": None, "dispersion": 1.0}
    other = {"effect": 2.0, "at_least": None, "late": LateStart(90, 3, 0.3), "dispersion": 2.0}
    log_e(counts, **asked, known=known)  # type: ignore[arg-type]
    asked[change] = other[change]
    assert log_e(counts, **asked, known=known).tobytes() == log_e(counts, **asked).tobytes()  # type: ignore[arg-type]


class Counted:
    """Increments that tell how many steps they were asked for."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, factors: Values, bad: Values) -> Values:
        self.steps += bad.shape[-1]
        result: Values = np.log(factors) * bad
        return result


def test_only_what_is_new_is_worked_out() -> None:
    counted, known, bad = Counted(), Known(), np.ones(10 * BLOCK + 1)
    mixture = Mixture(np.array([1.5, 2.0]), np.array([0.5, 0.5]))

    def asked(steps: int) -> int:
        counted.steps = 0
        smallest([EProcess(counted, (bad[:steps].copy(),), (), mixture)], None, known)
        return counted.steps

    assert asked(9 * BLOCK + 5) == 9 * BLOCK + 5
    assert asked(9 * BLOCK + 6) == 6
    assert asked(9 * BLOCK + 6) == 6
    bad[8 * BLOCK + 3] = 2  # stored late
    assert asked(10 * BLOCK + 1) == 2 * BLOCK + 1
    bad[0] = 2
    assert asked(10 * BLOCK + 1) == 10 * BLOCK + 1

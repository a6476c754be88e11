"""Evidence to promote on, tried on made-up users: how often it holds for challengers that are equal or worse.

Users call at rates of their own and are prone to events in their own measure, as in users.py. Drawn are
calls and events by bucket of the flag's hash: user-windows of errors and outcomes, slow calls one by one.
Before the stage at 25% lie a day at 5% and one at 1%: the champion's buckets tell what users were prone to.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import inf, log
from multiprocessing import get_context
from typing import Final

import numpy as np

from common.noninferior import ALPHA, ArmCounts, Comparison, log_e_path
from rollback.guardrails.edges import slow_share
from rollback.simulate.traffic import EDGES, Behaviour, Dice, Values
from rollback.simulate.users import BUCKETS, DAY, WINDOW, Together, Users, draw_users

HOURS: Final = 48
SHOWN: Final = 25  # buckets that have the challenger
SHOWN_BEFORE: Final = (0, 1, 5)  # on the three days before
FINE: Final = 18  # windows that are spans of their own, the first three hours
CALM: Final = 6  # windows of each span after them


@dataclass(frozen=True)
class Metric:
    """What is compared.

    Attributes:
        rate: the champion's share of calls with an event.
        margin: how many times the champion's rate the challenger's may be, as the plan has it.
        by_user: a user's first event in ten minutes counts, by bucket; or each event, and no bucket is known.
        truths: what the challenger's is in truth, each a case.
        dispersions: of events over buckets after 24 h, each a case.
    """

    name: str
    rate: float
    margin: float
    by_user: bool
    truths: tuple[float, ...]
    dispersions: tuple[float, ...]


CHAMPION: Final = Behaviour(median=0.02, sigma=0.6, errors=0.01)
METRICS: Final = (
    Metric("errors", 0.01, 1.2, by_user=True, truths=(1, 1.1, 1.2), dispersions=(1, 5, 20)),
    Metric("outcome", 0.1, 0.95, by_user=True, truths=(1, 0.975, 0.95, 0.9), dispersions=(1, 5, 12)),
    Metric("outcome, narrow", 0.1, 0.97, by_user=True, truths=(1, 0.985, 0.97, 0.95), dispersions=(1, 5, 12)),
    Metric("p99", 0.01, 1.1, by_user=False, truths=(1, 1.1, 1.15), dispersions=(1, 5, 20)),
)


@dataclass(frozen=True)
class Held:
    """How often the evidence held, in so many runs of one case."""

    metric: str
    margin: float
    truth: float
    dispersion: float
    runs: int
    at_end: int
    ever: int
    hours: float
    """The median time until it first did; infinite where it mostly did not."""


def play(metric: Metric, truth: float, dispersion: float, runs: int, seed: int) -> Held:
    """Play one case."""
    at_end, ever, hours = 0, 0, []
    for run in range(runs):
        dice = np.random.default_rng([seed, run, round(1000 * truth), round(dispersion)])
        holds = log_e_path(_compared(dice, metric, truth, dispersion)) >= log(1 / ALPHA)
        at_end += bool(holds[-1])
        ever += bool(holds.any())
        hours.append(float(ENDS[holds.argmax()]) if holds.any() else inf)
    median = float(np.quantile(hours, 0.5, method="inverted_cdf"))
    return Held(metric.name, metric.margin, truth, dispersion, runs, at_end, ever, median)


def play_all(
    metrics: tuple[Metric, ...], runs: int, seed: int, processes: int, done: Callable[[], None]
) -> list[Held]:
    """Play all cases, so many runs each; `done` is called after each case."""
    asked = [(*each, runs, seed) for each in cases(metrics)]
    if processes == 1:
        return [_told(play(*each), done) for each in asked]
    # Not forked: a progress bar has a thread.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        played = [pool.submit(play, *each) for each in asked]
        return [_told(each.result(), done) for each in played]


def _told(found: Held, done: Callable[[], None]) -> Held:
    done()
    return found


def cases(metrics: tuple[Metric, ...] = METRICS) -> Iterator[tuple[Metric, float, float]]:
    """Each metric with each truth and each dispersion."""
    for metric in metrics:
        for dispersion in metric.dispersions:
            for truth in metric.truths:
                yield metric, truth, dispersion


def _lengths() -> Values:
    windows = round(HOURS * 3600 / WINDOW)
    return np.array([1] * FINE + [CALM] * ((windows - FINE) // CALM))


LENGTHS: Final = _lengths()
ENDS: Final = np.cumsum(LENGTHS) * WINDOW / 3600


def _compared(dice: Dice, metric: Metric, truth: float, dispersion: float) -> Comparison:
    margin, rate, ratio = metric.margin, metric.rate, truth
    if not metric.by_user:  # a time limit, as calls beyond an edge
        calls = {f"{edge:g}": 1 - CHAMPION.beyond(edge) for edge in EDGES.tolist()} | {"+Inf": 1.0}
        found = slow_share(calls, margin=margin)
        edge = float(found.edge)
        margin, rate = found.times, CHAMPION.beyond(edge)
        ratio = CHAMPION.worse(slower=truth).beyond(edge) / rate
    users = draw_users(dice, Together(dispersion=dispersion), rate, 50.0)
    shown = users.bucket < SHOWN
    if not metric.by_user:
        total, events = _slow(dice, users, np.where(shown, ratio, 1.0))
        sides = [(side(total), side(events)) for side in (_champions, _challengers)]
        one, other = (ArmCounts(*(each.sum(axis=1, keepdims=True) for each in side)) for side in sides)
        return Comparison(one, other, margin)
    total, events = _windows(dice, users, np.where(shown, ratio, 1.0), LENGTHS)
    days = np.full(len(SHOWN_BEFORE), round(DAY / WINDOW))
    before = _windows(dice, users, np.ones(len(shown)), days)
    of_champion = np.arange(BUCKETS) >= np.array(SHOWN_BEFORE)[:, None]
    return Comparison(
        ArmCounts(_champions(total), _champions(events)),
        ArmCounts(_challengers(total), _challengers(events)),
        margin,
        ArmCounts(*(each * of_champion for each in before)),
    )


def _champions(counts: Values) -> Values:
    return np.where(np.arange(BUCKETS) >= SHOWN, counts, 0)


def _challengers(counts: Values) -> Values:
    return np.where(np.arange(BUCKETS) < SHOWN, counts, 0)


def _windows(dice: Dice, users: Users, times: Values, lengths: Values) -> tuple[Values, Values]:
    """Calls, and user-windows with an event, in spans of so many windows: (spans, buckets) each."""
    chance = -np.expm1(-users.rate * WINDOW * np.minimum(users.prone * times, 1))
    drawn = (dice.binomial(length, chance) for length in lengths.tolist())
    events = np.array([np.bincount(users.bucket, each, BUCKETS) for each in drawn])
    return _calls(dice, users, lengths), events


def _slow(dice: Dice, users: Users, times: Values) -> tuple[Values, Values]:
    rates = np.bincount(users.bucket, users.rate * np.minimum(users.prone * times, 1), BUCKETS)
    return _calls(dice, users, LENGTHS), dice.poisson(np.outer(LENGTHS * WINDOW, rates)).astype(np.float64)


def _calls(dice: Dice, users: Users, lengths: Values) -> Values:
    rates = np.bincount(users.bucket, users.rate, BUCKETS)
    return dice.poisson(np.outer(lengths * WINDOW, rates)).astype(np.float64)

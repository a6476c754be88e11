"""How small a regression a stage can detect, and how soon, by the project's own statistics. Pure.

The evidence of common.sequential for a constant share needs totals only. Champion's bad calls are taken as
expected, the challenger's as few as in one run of five, so four runs of five are at least as quick. Held
against simulated stages in tests/unit/rollback/simulate/test_forecast.py: at most a third too careful.
"""

from dataclasses import dataclass
from math import inf, log, sqrt
from typing import Final

import numpy as np

from common.sequential import AROUND_TWO, log_e_limit, log_e_totals

UNLUCKY: Final = -0.8416  # quantile of the normal distribution below which one run of five is
LONGEST: Final = 10 * 365 * 86_400.0  # seconds; what takes longer is never
QUICKEST: Final = 30.0  # seconds: counts come in steps of 15, and what one step can prove is capped


@dataclass(frozen=True)
class Sensor:
    """A sequential guardrail, as far as detecting goes.

    Attributes:
        alpha: its part of the policy's alpha.
        late_weight: of the evidence that begins anew; what began with the stage has the rest.
        at_least: up to this share of bad calls the challenger is well, however few the champion has.
        dispersion: all counts of bad calls are divided by it.
        margin: how many times slower than the champion's slowest calls a bad one is; None where that is no
            matter of time.
    """

    alpha: float
    late_weight: float = 0.0
    at_least: float | None = None
    dispersion: float = 1.0
    margin: float | None = None

    @property
    def needed(self) -> float:
        """The log of e, of the evidence from the stage's beginning, that is a breach."""
        return -log(self.alpha) - log(1 - self.late_weight)


@dataclass(frozen=True)
class Stream:
    """Calls of both models together, and how many of the champion's are bad.

    Attributes:
        rate: calls a second.
        share: of the challenger, above 0 and below 1.
        bad: the champion's share of bad calls.
    """

    rate: float
    share: float
    bad: float


def seconds_to_detect(sensor: Sensor, stream: Stream, worse: float) -> float:
    """Until a challenger with this share of bad calls is found, in four of five runs; inf for never."""
    if not 0 < stream.share < 1 or stream.rate <= 0 or worse <= max(stream.bad, sensor.at_least or 0):
        return inf
    if _evidence(sensor, stream, worse, LONGEST) < sensor.needed:
        return inf
    low, high = 0.0, 60.0
    while _evidence(sensor, stream, worse, high) < sensor.needed:
        low, high = high, 2 * high
    while high - low > max(0.01 * high, 0.5):
        middle = (low + high) / 2
        if _evidence(sensor, stream, worse, middle) < sensor.needed:
            low = middle
        else:
            high = middle
    return max(high, QUICKEST)


def smallest(sensor: Sensor, stream: Stream, seconds: float) -> float | None:
    """The smallest share of bad calls that is found within a stage of so long; None where none is."""
    low, high = max(stream.bad, sensor.at_least or 0), 1.0
    if low >= high or seconds_to_detect(sensor, stream, high) > seconds:
        return None
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        if seconds_to_detect(sensor, stream, middle) > seconds:
            low = middle
        else:
            high = middle
    return high


def _evidence(sensor: Sensor, stream: Stream, worse: float, seconds: float) -> float:
    calls = stream.rate * stream.share * seconds
    expected = calls * min(worse, 1.0)
    found = max(expected + UNLUCKY * sqrt(expected * sensor.dispersion), 0.0) / sensor.dispersion
    champion = stream.rate * (1 - stream.share) * stream.bad * seconds / sensor.dispersion
    against_champion = log_e_totals(found, champion, stream.share, mixture=AROUND_TWO)
    if sensor.at_least is None:
        return against_champion
    bad, total = np.array([found]), np.array([calls / sensor.dispersion])
    return min(against_champion, float(log_e_limit(bad, total, limit=sensor.at_least)[-1]))

"""Arms for tests, as the engine hands them over."""

import numpy as np
from numpy.typing import NDArray
from tea_tasting.aggr import Aggregates

from analysis.abtest.measure import BEFORE, MEASURE, ArmReading, ArmReadings
from analysis.metric import Kind
from analysis.statistics.counts import ValueCounts

Values = NDArray[np.float64]


def arm(values: Values, kind: Kind, before: Values | None = None) -> ArmReading:
    """One arm of users with these values, and these from before the test."""
    before = np.zeros(len(values)) if before is None else before
    spread = np.cov(values, before)
    aggregates = Aggregates(
        len(values),
        {MEASURE: float(values.mean()), BEFORE: float(before.mean())},
        {MEASURE: float(spread[0, 0]), BEFORE: float(spread[1, 1])},
        {(BEFORE, MEASURE): float(spread[0, 1])},
    )
    return ArmReading(aggregates, ValueCounts.of(values) if kind is Kind.COUNT else None)


def arms(champion: Values, challenger: Values, kind: Kind = Kind.PROPORTION) -> ArmReadings:
    """Both arms, without anything from before."""
    return ArmReadings(arm(champion, kind), arm(challenger, kind))

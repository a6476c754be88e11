"""What many runs come to: rates with their intervals, delays with their quantiles."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from common.rate import Rate
from rollback.simulate.study import Breach


@dataclass(frozen=True)
class Delay:
    """Minutes from a regression to the breach, over all runs that were not rolled back before it."""

    runs: int
    median: float
    """Infinite where most runs saw none."""
    late: float
    """The 90th percentile."""
    missed: int
    """Runs without a breach while they were watched."""
    early: int
    """Runs that were rolled back before there was a regression; they do not count."""
    by: Counter[str]
    """How many of the breaches were of which guardrail."""


def false_rollbacks(breaches: Sequence[Breach | None]) -> tuple[Rate, Counter[str]]:
    """How many runs were rolled back at all, and how many by each guardrail at each share."""
    found = [breach for breach in breaches if breach]
    return Rate(len(found), len(breaches)), Counter(
        f"{breach.guardrail} at {100 * breach.share:g}%" for breach in found
    )


def delay(breaches: Iterable[Breach | None]) -> Delay:
    """Sum up the runs of a regression."""
    breaches = list(breaches)
    counted = [breach for breach in breaches if not breach or breach.minutes > 0]
    minutes = np.array([breach.minutes if breach else inf for breach in counted] or [inf])
    # A quantile between two runs would be infinite where only one of them saw nothing.
    median, late = np.quantile(minutes, (0.5, 0.9), method="inverted_cdf")
    return Delay(
        runs=len(counted),
        median=float(median),
        late=float(late),
        missed=sum(breach is None for breach in counted),
        early=len(breaches) - len(counted),
        by=Counter(breach.guardrail for breach in counted if breach),
    )

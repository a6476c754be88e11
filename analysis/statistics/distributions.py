"""Whether two distributions are the same, from counts that the engine made."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwo

BINS = 10  # of the population stability index, as who uses it expects


def ks_p(distance: float, first: int, second: int) -> float:
    """Chance of a Kolmogorov-Smirnov distance as great as this or greater, both samples being alike.

    The limit distribution with the effective size, as scipy.stats.ks_2samp has it for large samples. It
    takes the samples as independent. Two models that answer the same requests are not, so the true chance is
    smaller still: what it calls different is different, and what it calls alike need not be.

    Args:
        distance: the greatest distance of both cumulative distributions, 0 to 1.
        first, second: sizes of the samples.
    """
    if not first or not second:
        return 1.0
    return float(np.clip(kstwo.sf(distance, np.round(first * second / (first + second))), 0, 1))


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """Population stability index: sum of (a - e) * ln(a / e) over bins, a and e being shares.

    Half an observation is added to each bin, so that an empty one does not make it infinite.
    Custom has it that 0.1 is a small change and 0.25 a great one.

    Args:
        expected, actual: counts in the same bins.
    """
    e, a = (np.asarray(each, dtype=float) + 0.5 for each in (expected, actual))
    e, a = e / e.sum(), a / a.sum()
    return float(np.sum((a - e) * np.log(a / e)))


def merged(counts: Sequence[int], ends: Sequence[int]) -> NDArray[np.int64]:
    """Fine bins put together: up to each of `ends`, exclusive; the last of them is len(counts)."""
    cumulative = np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])
    return np.asarray(np.diff(cumulative[[0, *ends]]), dtype=np.int64)


def tenths(counts: Sequence[int], bins: int = BINS) -> tuple[int, ...]:
    """Ends of bins that hold about a tenth of `counts` each; fewer where a fine bin holds more than that."""
    cumulative = np.cumsum(np.asarray(counts, dtype=float))
    if not len(cumulative) or not cumulative[-1]:
        return (len(counts),)
    cuts = np.searchsorted(cumulative, cumulative[-1] * np.arange(1, bins) / bins) + 1
    return tuple(sorted({*(int(cut) for cut in cuts), len(counts)}))

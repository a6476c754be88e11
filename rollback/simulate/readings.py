"""What Prometheus would read off the counters at each step: sums over a window, quantiles from buckets."""

import numpy as np

from rollback.simulate.traffic import Arm, Counted, Values


def within(counts: Counted, window: int) -> Counted:
    """Sums over the last `window` steps, at each step; over fewer while the stage is younger."""
    sums = counts.cumsum(axis=0)
    result: Counted = sums.copy()
    result[window:] -= sums[:-window]
    return result


def quantile(share: float, arm: Arm, edges: Values, window: int) -> Values:
    """histogram_quantile(share, ...) over a window, at each step; NaN without calls.

    Below the first of `edges` all calls are in one bucket, so `share` must lie above it.
    """
    calls = within(arm.calls, window)
    slower = within(arm.slower, window)
    rank = (1 - share) * calls  # so many calls are slower than the quantile
    bucket = (slower > rank[:, None]).sum(axis=1)  # the first edge with no more slower calls
    at = np.arange(len(calls))
    last = edges[-1]
    upper = np.append(edges, last)[bucket]
    lower = np.append(0.0, edges)[bucket]
    outside = np.column_stack((calls, slower))[at, bucket]
    inside = outside - np.column_stack((slower, np.zeros_like(calls)))[at, bucket]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((outside - rank) / inside, 0, 1)
        result: Values = np.where(calls > 0, lower + (upper - lower) * part, np.nan)
    return result


def share_of(part: Counted, whole: Counted, window: int) -> Values:
    """The one over the other, each within the window; NaN without any."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Values = within(part, window) / within(whole, window)
    return result


def held(beyond: np.ndarray[tuple[int], np.dtype[np.bool_]], looks: int) -> int | None:
    """The first step at which `beyond` was true at the last `looks` steps; None if it never was."""
    runs = np.convolve(beyond, np.ones(looks), "valid") >= looks - 0.5
    return int(runs.argmax()) + looks - 1 if runs.any() else None

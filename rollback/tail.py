"""Which calls count as slow: edges of buckets, chosen before the stage by what the champion does."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def tail_edges(
    edges: Sequence[float], quantile: float, *, margin: float, floor: float = 0.0
) -> tuple[float, float]:
    """The edges above which a call is slow: the champion's b_k, then the challenger's b_j.

    b_k is the edge nearest to the champion's quantile, or the first one that is not below the floor. b_j is
    the edge nearest to margin * b_k, as ratios go. The first edge above it would not do: the service's edges
    grow by 1.197, so a margin of 1.2 would become 1.43, and a challenger that is 1.3 times slower pass.

    Args:
        edges: finite upper edges in seconds, ascending.
        quantile: the champion's own, in seconds.
        margin: how many times slower the challenger may be, at least 1.
        floor: faster calls are never slow, in seconds.

    Raises:
        ValueError: the champion is so slow that no edge is left for the challenger.
    """
    ladder = np.asarray(edges, dtype=np.float64)
    champion = max(_nearest(ladder, quantile), int(np.searchsorted(ladder, floor)))
    if champion < len(ladder):
        challenger = _nearest(ladder, margin * ladder[champion])
        if margin > 1:
            challenger = max(challenger, champion + 1)
        # Beyond the last edge the nearest one is no longer near, and there is no "slower than" to count.
        if challenger < len(ladder) and margin * ladder[champion] < ladder[-1] * 1.1:
            return float(ladder[champion]), float(ladder[challenger])
    raise ValueError(
        f"the champion's {quantile:g} s times {margin:g} lie above the last edge of the buckets,"
        f" {ladder[-1]:g} s: no call could count as slow"
    )


def _nearest(ladder: NDArray[np.float64], value: float) -> int:
    return int(np.argmin(np.abs(np.log(ladder / max(value, ladder[0] / 2)))))

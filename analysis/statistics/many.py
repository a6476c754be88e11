"""Corrections for many comparisons, by statsmodels."""

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: the chance of even one false alarm among them all stays below the level.

    Nothing is assumed of how the comparisons hang together, and segments do: each user is in several.
    """
    return _adjusted(p, "holm")


def benjamini_hochberg(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: of those below the level, so large a share is false, in the mean."""
    return _adjusted(p, "fdr_bh")


def interval_alpha(alpha: float, comparisons: int) -> float:
    """Of each interval, so that all of them hold together with a chance of 1 - alpha (Bonferroni).

    Holm's steps have no intervals that promise that and still say how large an effect is; so in a narrow case
    Holm finds a segment whose interval just reaches 0.
    """
    return alpha / max(comparisons, 1)


def _adjusted(p: Sequence[float], method: str) -> tuple[float, ...]:
    if not p:
        return ()
    return tuple(float(each) for each in multipletests(list(p), method=method)[1])

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


def _adjusted(p: Sequence[float], method: str) -> tuple[float, ...]:
    if not p:
        return ()
    return tuple(float(each) for each in multipletests(list(p), method=method)[1])

"""Corrections for many comparisons, by statsmodels."""

from collections.abc import Sequence

from statsmodels.stats.multitest import multipletests


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values: the chance of even one false alarm among them all stays below the level.

    Nothing is assumed of how the comparisons hang together, and segments do: each user is in several.
    """
    return _adjusted(p, "holm")


def holm_of(p: Sequence[float], family: int) -> tuple[float, ...]:
    """Holm of a family that is larger than what was compared yet: the others have p = 1.

    With p-values that are valid at any time and a family that was fixed before, it holds at all times
    together: at the first false alarm, whenever that is, p of one of m true hypotheses is below level / m,
    and the chance that one of m ever is so small is the level at most.
    """
    return holm([*p, *[1.0] * (family - len(p))])[: len(p)]


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

"""Calls of both models by how they went: by bucket of a histogram, or bad and good. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.names import Model
from common.selector import Matcher
from rollback.counts import Counted, add_up
from rollback.kinds.selector import Selector
from rollback.tally import ALL

Labels = Mapping[str, str]
Groups = NDArray[np.int64]
"""Calls in each step and group, (steps, groups). A call is in one group only."""


@dataclass(frozen=True)
class Family:
    """Calls of one kind, in groups from good to bad or the other way round."""

    labels: tuple[Labels, ...]
    """For each group the labels, without the model, of the counter of this group and those before it."""
    groups: Mapping[Model, Groups]
    cumulative: bool = True
    """False where each group has a counter of its own."""

    def between(self, first: int, end: int) -> "Family":
        """The same in some of the steps."""
        return replace(self, groups={model: each[first:end] for model, each in self.groups.items()})

    def calls(self, model: Model) -> NDArray[np.int64]:
        """All calls of a model in each step."""
        total: NDArray[np.int64] = self.groups[model].sum(axis=1)
        return total

    def counted(self) -> list[Counted]:
        """As the job would count them: a series for each model and counter."""
        return [
            Counted({**labels, "model": model.value}, column.astype(np.float64))
            for model, groups in self.groups.items()
            for labels, column in zip(
                self.labels, (groups.cumsum(axis=1) if self.cumulative else groups).T, strict=True
            )
        ]


def histogram(counted: Sequence[Counted], name: str) -> Family | None:
    """The buckets of a histogram, from fast to slow; None where Prometheus has none."""
    bucket = Selector(f"{name}_bucket")
    mine = [each for each in counted if bucket.fits(each.labels)]
    les = sorted({each.labels.get("le", "") for each in mine} - {""}, key=float)
    if not les or les[-1] != ALL:
        return None
    groups = {}
    for model in Model:
        up_to = [_sum(mine, model, Selector(bucket.name, (Matcher("le", "=", le),)).fits) for le in les]
        # A scrape is no moment: a bucket may be read a call earlier than the next one.
        counts = np.maximum.accumulate(np.column_stack(up_to), axis=1)
        groups[model] = np.diff(counts, axis=1, prepend=0)
    return Family(tuple({"__name__": bucket.name, "le": le} for le in les), groups)


def pair(counted: Sequence[Counted], bad: Selector, total: Selector) -> Family | None:
    """Bad calls, then good ones, of two counters; None where one of them is missing."""
    failed = next((each.labels for each in counted if bad.fits(each.labels)), None)
    good = next(
        (each.labels for each in counted if total.fits(each.labels) and not bad.fits(each.labels)), None
    )
    if failed is None or good is None:
        return None
    groups = {}
    for model in Model:
        bads, every = _sum(counted, model, bad.fits), _sum(counted, model, total.fits)
        groups[model] = np.column_stack((bads, np.maximum(every - bads, 0)))
    labels = tuple({name: each[name] for name in each if name != "model"} for each in (failed, good))
    return Family(labels, groups, cumulative=not total.fits(failed))


def _sum(counted: Sequence[Counted], model: Model, fits: Callable[[Labels], bool]) -> NDArray[np.int64]:
    steps = add_up(counted, lambda labels: labels.get("model") == model and fits(labels))
    if steps is None:
        return np.zeros(len(counted[0].steps), dtype=np.int64)
    return np.rint(steps).astype(np.int64)

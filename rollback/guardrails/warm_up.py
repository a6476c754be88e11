"""What of a stage is left out of comparisons of latency, since the challenger had just started.

A model is slow while its caches and pools are cold, and the champion beside it was started long ago. The
signal `started` tells when each instance's challenger started last: where it rises there was a start. That
step and those of the warm-up after it are left out of both models' counts, of this instance alone; of all
instances where the counts do not tell them apart. A challenger that starts again and again must not hide
behind that, so only so much is left out: see `bounded`.

Hard limits know nothing of it, nor do errors: what a crash costs falls into the steps around the next start.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from common.arms import Arms
from common.durations import format_duration
from common.prometheus import Prometheus, PrometheusError, Unreachable
from common.selector import quoted
from rollback.guardrails.counts import Counted, Values
from rollback.guardrails.past import Past
from rollback.guardrails.window import Grid

AT_ONCE: Final = 3
"""So many warm-ups are left out however young the stage is, ..."""
PART: Final = 0.1
"""... and this part of the stage beside them."""
PART_OF_ALL: Final = 0.5
"""The same for windows, which begin after the warm-up of any instance: these start one after the other."""

Steps = NDArray[np.bool_]
"""Which steps, (steps,)."""


def started(values: Values) -> Steps:
    """In which steps a start was seen, from the times of the last start at n + 1 moments, NaN where unknown.

    A series that is there at the first moment tells nothing; one that comes later is of an instance that has
    just started. After a gap the same time is the same start.
    """
    known = np.where(np.isnan(values), 0.0, values)
    rises: Steps = known[1:] > np.maximum.accumulate(known)[:-1]
    return rises


def steps_of(lasts: timedelta, step: timedelta) -> int:
    """How many steps after that of a start a warm-up takes."""
    return -(-lasts // step)


def warm_steps(starts: Steps, after: int) -> Steps:
    """The steps of `starts`, and so many `after` each."""
    begun = np.concatenate((np.zeros(after + 1), np.cumsum(starts, dtype=np.float64)))
    warm: Steps = begun[after + 1 :] > begun[: len(starts)]
    return warm


def bounded(warm: Steps, after: int, part: float = PART) -> Steps:
    """What of the warm-ups may be left out: AT_ONCE of them and `part` of the stage so far.

    Whether a step is left out depends on no later one, so that what was counted once stays so.
    """
    most = AT_ONCE * (after + 1) + part * np.arange(1, len(warm) + 1)
    return warm & (np.cumsum(warm) <= most)


@dataclass(frozen=True)
class LeftOut:
    """What a verdict left out, to be told with it."""

    seconds: float = 0.0
    """In which some instance was warming up."""
    starts: int = 0
    last: datetime | None = None
    """When the last of these starts was seen."""
    too_often: bool = False
    """Whether a warm-up was counted, since the challenger starts again and again."""
    unknown: str | None = None
    """Why it is not known when the challenger started, so that nothing is left out."""

    def __str__(self) -> str:
        if self.unknown:
            return f"warm-up counted, {self.unknown}"
        if self.last is None:
            return ""
        after = f"{self.starts} starts, the last" if self.starts > 1 else "the start"
        told = f"{format_duration(timedelta(seconds=round(self.seconds)))} of warm-up left out after {after}"
        told += f" at {self.last.astimezone(UTC):%H:%M} UTC"
        return f"{told}, and not all, for it starts too often" if self.too_often else told

    @property
    def as_evidence(self) -> dict[str, Any]:
        """In JSON's types."""
        return {**self.__dict__, "last": self.last.isoformat() if self.last else None}

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> Self:
        """The same from evidence. Raises KeyError, TypeError, ValueError: it is none."""
        last = written["last"]
        return cls(**{**written, "last": last and datetime.fromisoformat(last)})


NOTHING: Final = LeftOut()


@dataclass(frozen=True)
class WarmUps:
    """The warm-ups of one stage."""

    told: LeftOut
    by_instance: Mapping[str, Steps] = field(default_factory=dict)
    """What is left out of each instance's counts."""
    over: datetime | None = None
    """When the last warm-up of any instance is over, for what is counted over a window; None where there was
    none, or too many."""

    def leave_out(self, counted: Sequence[Counted]) -> list[Counted]:
        """The counts without what the instances counted while they were warming up."""
        known = {_instance(each.labels) for each in counted}
        elsewhere = [steps for instance, steps in self.by_instance.items() if instance not in known]
        return [self._but_warm(each, elsewhere) for each in counted]

    def _but_warm(self, counted: Counted, elsewhere: Sequence[Steps]) -> Counted:
        mine = self.by_instance.get(_instance(counted.labels))
        out = [*elsewhere] if mine is None else [mine, *elsewhere]
        if not any(steps.any() for steps in out):
            return counted
        return replace(counted, steps=np.where(np.any(out, axis=0), 0.0, counted.steps))


def lead(lasts: timedelta, step: timedelta) -> int:
    """How many steps before the stage starts matter to it."""
    return steps_of(lasts, step) + 1


def warm_ups(lasts: timedelta, grid: Grid, times: Mapping[str, Values]) -> WarmUps:
    """What is left out of a stage.

    Args:
        lasts: how long the challenger warms up after a start.
        grid: the steps of the stage.
        times: of the last start, by instance: at the ends of `lead` steps before the grid, at its beginning
            and at the end of each of its steps.
    """
    after, before = steps_of(lasts, grid.step), lead(lasts, grid.step)
    by_instance, moments, any_warm = {}, [], np.zeros(grid.steps, np.bool_)
    too_often = False
    for instance, values in times.items():
        starts = started(values)
        warm = warm_steps(starts, after)
        left = bounded(warm[before:], after)
        if left.any():
            by_instance[instance] = left
        too_often |= bool((warm[before:] & ~left).any())
        any_warm |= warm[before:]
        # Workers of one instance start within seconds of each other, and that is one start.
        first = starts & ~np.concatenate(([False], warm[:-1]))
        moments += [
            grid.end(at) if at >= 0 else grid.start + (at + 1) * grid.step
            for at in (int(each) - before for each in np.flatnonzero(first))
            if left[max(at, 0) : at + after + 1].any()
        ]
    seconds = np.full(grid.steps, grid.step.total_seconds())
    seconds[-1] = grid.last.total_seconds()
    union = np.any([*by_instance.values(), np.zeros(grid.steps, np.bool_)], axis=0)
    told = LeftOut(
        seconds=float(seconds[union].sum()),
        starts=len(moments),
        last=max(moments, default=None),
        too_often=too_often,
    )
    return WarmUps(told, by_instance, _over(grid, any_warm, after))


def _over(grid: Grid, warm: Steps, after: int) -> datetime | None:
    found = np.flatnonzero(warm)
    if not len(found) or not bounded(warm, after, PART_OF_ALL)[found[-1]]:
        return None
    return grid.end(int(found[-1]))


def _instance(labels: Mapping[str, str]) -> str:
    return labels.get("instance", "")


def starts_query(arms: Arms) -> str | None:
    """PromQL: when each instance's challenger was started last; None where the rollout does not name it."""
    if not arms.signals.started:
        return None
    # The start time of a process has no label that tells the models apart.
    mine = quoted(f"{re.escape(arms.challenger)}|")
    return f"max by (instance) ({arms.of(arms.signals.started, f'{arms.label}=~{mine}')})"


def read_warm_ups(  # noqa: PLR0913, PLR0917 - each of another kind
    prometheus: Prometheus, arms: Arms, lasts: timedelta, grid: Grid, now: Mapping[str, float], past: Past
) -> WarmUps:
    """What comparisons of latency leave out of a stage.

    Where the starts cannot be read that is nothing, and is told: the other guardrails go on.

    Args:
        prometheus: whom to ask.
        arms: whose starts.
        lasts: how long the challenger warms up after each.
        grid: the steps of the stage.
        now: by instance, what the query gave at the grid's end.
        past: what was read before.

    Raises:
        Unreachable: Prometheus does not answer at all.
    """
    query = starts_query(arms)
    if query is None:
        return WarmUps(LeftOut(unknown="for want of the signal `started`"))
    before = lead(lasts, grid.step)
    points = before + grid.whole + 1
    try:
        tracks = past.matrix(prometheus, query, grid.start - before * grid.step, grid.step, points)
    except Unreachable:
        raise
    except PrometheusError as error:
        return WarmUps(LeftOut(unknown=f"for its starts cannot be read: {error}"))
    if not tracks and not now:
        return WarmUps(LeftOut(unknown=f"for Prometheus has no series of {arms.signals.started}"))
    read = {track.labels.get("instance", ""): track.values for track in tracks}
    nothing = np.full(points, np.nan)
    return warm_ups(
        lasts,
        grid,
        {
            instance: np.append(read.get(instance, nothing), now.get(instance, np.nan))
            for instance in read.keys() | now.keys()
        },
    )

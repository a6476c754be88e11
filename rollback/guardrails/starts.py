"""When the challenger was started, as Prometheus knows it, and what of a stage is therefore left out."""

import re
from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from common.arms import Arms
from common.prometheus import Prometheus, PrometheusError, Unreachable
from common.selector import quoted
from rollback.guardrails.past import Past
from rollback.guardrails.warm_up import LeftOut, WarmUps, lead, warm_ups
from rollback.guardrails.window import Grid


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

"""How much bad calls of one's own traffic hang together: which row of docs/statistics.md it is in."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from common.answers import MARK, marked
from common.arms import Arms
from common.durations import format_duration
from common.names import Model
from common.prometheus import Prometheus
from rollback.guardrails.counts import count_all
from rollback.guardrails.measure import read_buckets
from rollback.guardrails.tally import SeriesPlan, bucket_selector, in_buckets
from rollback.guardrails.window import Grid

LONGEST: Final = timedelta(hours=24)
"""Dispersion grows with time, and the worlds have theirs after a day."""
FEWEST: Final = 500
"""Bad user-windows, below which nothing can be told: five a bucket."""
ROWS: Final = {
    "independent": 1.0,
    "dispersion-2": 1.9,
    "dispersion-5": 4.7,
    "dispersion-10": 7.6,
    "dispersion-20": 15.0,
}
"""What the worlds of `rollback simulate` have after 24 h of user-windows."""


@dataclass(frozen=True)
class Together:
    """What the champion's users tell.

    Attributes:
        span: how much of history.
        dispersion: of bad user-windows over the buckets, after that time.
        windows: so many were bad.
        bad_calls: bad calls for each of them; 1 where no user fails twice within ten minutes.
    """

    span: timedelta
    dispersion: float
    windows: int
    bad_calls: float

    @property
    def row(self) -> str:
        """The world that is like it."""
        return min(ROWS, key=lambda name: abs(np.log(ROWS[name] / self.dispersion)))

    def fields(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "hours": self.span / timedelta(hours=1),
            "dispersion": self.dispersion,
            "bad_user_windows": self.windows,
            "errors_per_bad_user_window": self.bad_calls,
            "like_world": self.row if self.windows >= FEWEST else None,
        }

    def __str__(self) -> str:
        span = format_duration(self.span)
        if self.windows < FEWEST:
            return (
                f"Only {self.windows} bad user-windows in {span}: too few to tell how errors hang together."
            )
        told = f"Users differ {self.dispersion:.2g} times as much as chance over {span}"
        errors = f"{self.bad_calls:.2g} errors a bad user-window"
        return f"{told}, {errors}: as in `simulate --world {self.row}` (docs/statistics.md)."


def look(
    prometheus: Prometheus, arms: Arms, since: datetime, until: datetime, step: timedelta
) -> Together | None:
    """The last day of that time; None where the rollout's service counts no users. Raises PrometheusError."""
    users, errors = arms.signals.user_windows, arms.signals.errors
    if users is None or errors is None:
        return None
    span = min(until - since, LONGEST)
    grid = Grid(until - span, step, span // step, until)
    plan = SeriesPlan(arms.signals.calls, users.bad, buckets=users.buckets)
    query = bucket_selector([plan], arms)
    if query is None or not grid.spans:
        return None
    found = count_all(arms.told(read_buckets(prometheus, query, grid)))
    buckets = in_buckets(users.buckets, found, grid)
    champion = arms.only(Model.CHAMPION)
    asked = [
        marked(f"sum(increase({arms.of(each, champion)}[{format_duration(span)}]))", name)
        for name, each in (("calls", errors), ("users", users.bad))
    ]
    numbers = {one.labels[MARK]: one.value for one in prometheus.vector(" or ".join(asked), until)}
    windows = float(buckets.bad.sum())
    ratio = numbers.get("calls", 0.0) / numbers["users"] if numbers.get("users") else 1.0
    return Together(span, float(buckets.dispersions()[-1]), round(windows), max(ratio, 1.0))

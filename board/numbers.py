"""What Prometheus says now: the readings that the plan's gates need, and the numbers of both models."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from board.series import LATELY, OF_NOW, Queries, named
from common.answers import Sample
from common.arms import Arms
from common.names import Model, Recorded
from common.prometheus import Prometheus, PrometheusError
from flags.rollout.readings import Readings
from flags.rollout.situation import Rollout, Situation, position_of

LONGEST: Final = timedelta(days=15)  # that Prometheus keeps
ONE_HOUR: Final = timedelta(hours=1)  # looked at where Unleash could not say when the stage began


@dataclass(frozen=True)
class Numbers:
    """One look at Prometheus.

    Attributes:
        readings: what the plan rests on; without a fault.
        since: from when on requests and outcomes are counted.
        now: by name (board.series) and model; "" where a number is of no model.
        outcomes: what users did since then, by model and outcome.
        lately: what rates are of.
    """

    readings: Readings
    since: datetime
    now: dict[tuple[str, str], float]
    outcomes: dict[tuple[str, str], float]
    lately: timedelta = LATELY
    unseen: str | None = None
    """Of which arm no call was counted although users have the challenger; and what the label is instead."""

    def of(self, name: str, model: str = "") -> float | None:
        """A number as it is now; None where there is none, as of a model that nobody calls."""
        return self.now.get((name, model))


def read_numbers(rollout: Rollout, seen: Situation | None, queries: Queries | None = None) -> Numbers:
    """Ask Prometheus four to seven times.

    Args:
        seen: what Unleash says; None where it has not answered yet.
        queries: how the rollout's service is asked; by default as one that is alone.

    Raises:
        PrometheusError: it could not be asked.
    """
    assert rollout.prometheus is not None  # noqa: S101 - the settings of the board demand it
    now = datetime.now(UTC)
    began = position_of(rollout.plan, seen).began if seen else now - ONE_HOUR
    since = max(began, now - LONGEST)
    readings = rollout.measure(seen) if seen else Readings()
    if readings.fault:
        raise PrometheusError(readings.fault)
    if readings.version_since:
        since = max(since, readings.version_since)
    queries = queries or Queries(rollout.arms)
    found = {key: one.value for key, one in named(finite(rollout.prometheus.vector(queries.now())))}
    if rest := queries.worked_out(OF_NOW, {name for name, _ in found}):
        found |= {key: one.value for key, one in named(finite(rollout.prometheus.vector(rest)))}
    quiet = not found.get((Recorded.REQUEST_RATE, Model.CHALLENGER))
    return Numbers(
        readings,
        since,
        found,
        _outcomes(rollout.prometheus, queries, max(now - since, timedelta(seconds=1))),
        queries.lately,
        _unseen(rollout.prometheus, queries.arms) if quiet and seen and seen.canary.exposed else None,
    )


def _unseen(prometheus: Prometheus, arms: Arms) -> str | None:
    calls = prometheus.vector(f"count by ({arms.label}) ({arms.of(arms.signals.calls)})")
    return arms.unseen({one.labels.get(arms.label, "") for one in calls})


def _outcomes(prometheus: Prometheus, queries: Queries, age: timedelta) -> dict[tuple[str, str], float]:
    query, outcomes = queries.outcomes(age), queries.arms.signals.outcomes
    if query is None or outcomes is None:
        return {}
    found = queries.arms.told(finite(prometheus.vector(query)))
    return {(one.labels.get("model", ""), one.labels.get(outcomes.label, "")): one.value for one in found}


def finite(found: Iterable[Sample]) -> Iterable[Sample]:
    """Those that are numbers."""
    return (one for one in found if math.isfinite(one.value))

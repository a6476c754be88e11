"""What Prometheus says now: the readings that the plan's gates need, and the numbers of both models."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from common.answers import Sample
from common.names import Metric, Model, PlanMetric, Recorded
from common.prometheus import Prometheus, PrometheusError
from common.served import Arms
from flags.rollout.look import Rollout
from flags.rollout.place import place_of
from flags.rollout.situation import Readings, Situation

LONGEST: Final = timedelta(days=15)  # that Prometheus keeps
ONE_HOUR: Final = timedelta(hours=1)  # looked at where Unleash could not say when the stage began
RECORDED: Final = (
    Recorded.REQUEST_RATE,
    Recorded.LATENCY_P50,
    Recorded.LATENCY_P99,
    Recorded.ERROR_RATE,
    Recorded.AGREEMENT_RATE,
)
UP: Final = "up"  # 1 where Prometheus reaches an instance of the service, 0 where it reaches none
PLAN_SEEN: Final = "plan"  # when the plan's job was last at work


@dataclass(frozen=True)
class Numbers:
    """One look at Prometheus.

    Attributes:
        readings: what the plan rests on; without a fault.
        since: from when on requests and outcomes are counted.
        now: the recorded series by name and model; "" where a series is of no model.
        outcomes: feedback since then, by model and outcome.
    """

    readings: Readings
    since: datetime
    now: dict[tuple[str, str], float]
    outcomes: dict[tuple[str, str], float]

    def of(self, name: str, model: str = "") -> float | None:
        """A recorded series as it is now; None where it has no number, as of a model that nobody calls."""
        return self.now.get((name, model))


def read_numbers(rollout: Rollout, seen: Situation | None) -> Numbers:
    """Ask Prometheus five times.

    Args:
        seen: what Unleash says; None where it has not answered yet.

    Raises:
        PrometheusError: it could not be asked.
    """
    assert rollout.prometheus is not None  # noqa: S101 - the settings of the board demand it
    now = datetime.now(UTC)
    began = place_of(rollout.plan, seen).began if seen else now - ONE_HOUR
    since = max(began, now - LONGEST)
    readings = rollout.measure(seen) if seen else Readings()
    if readings.fault:
        raise PrometheusError(readings.fault)
    if readings.version_since:
        since = max(since, readings.version_since)
    return Numbers(
        readings,
        since,
        {
            (one.labels.get("what") or one.labels["__name__"], one.labels.get("model", "")): one.value
            for one in finite(rollout.prometheus.vector(now_query(rollout.arms)))
        },
        _outcomes(rollout.prometheus, rollout.arms, max(now - since, timedelta(seconds=1))),
    )


def now_query(arms: Arms) -> str:
    """What is recorded, and who is heard; a sample from before an outage says nothing of now."""
    heard = arms.of(Metric.FLAG_FETCHED_AGO)
    of_now = {
        Recorded.FLAG_AGE: f"{heard} and time() - timestamp({heard}) < 15",
        UP: arms.of(UP),
        PLAN_SEEN: PlanMetric.LAST,
    }
    told = (f'label_replace(max({query}), "what", "{name}", "", "")' for name, query in of_now.items())
    return " or ".join((f'{{__name__=~"{"|".join(RECORDED)}"}}', *told))


def _outcomes(prometheus: Prometheus, arms: Arms, age: timedelta) -> dict[tuple[str, str], float]:
    models = "|".join(Model)
    told = arms.of(Metric.OUTCOMES, f'model=~"{models}"')
    found = prometheus.vector(
        f"sum by (model, outcome) (increase({told}[{max(round(age.total_seconds()), 1)}s]))"
    )
    return {(one.labels.get("model", ""), one.labels.get("outcome", "")): one.value for one in finite(found)}


def finite(found: Iterable[Sample]) -> Iterable[Sample]:
    """Those that are numbers."""
    return (one for one in found if math.isfinite(one.value))

"""The job that carries out the plan: `advance` again and again, and what it tells Prometheus about itself."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge

from common.durations import format_duration
from common.errors import CanarioError
from common.logs import configure_logging
from common.metrics_port import serve
from common.names import PlanMetric
from common.schedule import Shutdown, repeat
from flags.errors import ChangedMeanwhile
from flags.rollout.advance import Outcome
from flags.rollout.decide import Kind
from flags.rollout.report import sentence
from flags.rollout.settings import RolloutJobSettings
from flags.token import LEASES, SHARES, TokenCheck, watch

FAILED: Final = "failed"

log = logging.getLogger(__name__)


class PlanMetrics:
    """What the job tells of its steps; what can be foreseen is there from the start, at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._last = Gauge(
            PlanMetric.LAST, "When the job last saw where the rollout stands (Unix time).", registry=registry
        )
        self._steps = Counter(
            PlanMetric.STEPS.removesuffix("_total"),
            "Steps by what they came to; failed: it could not tell.",
            ["kind"],
            registry=registry,
        )
        for kind in (*Kind, FAILED):
            self._steps.labels(kind)
        self._last.set(time.time())  # one that has never seen it is as blind as one that has just begun to be

    def step(self, found: Outcome) -> None:
        """It saw where the rollout stands."""
        self._steps.labels(found.step.kind.value).inc()
        self._last.set(time.time())

    def failed(self) -> None:
        """It did not."""
        self._steps.labels(FAILED).inc()


def run_job(step: Callable[[], Outcome], every: timedelta, settings: RolloutJobSettings) -> NoReturn:
    """Until SIGTERM or SIGINT. No fault of Unleash, Prometheus or the service ends it, nor does a bug."""
    configure_logging("rollout")
    registry = CollectorRegistry()
    metrics = PlanMetrics(registry)
    watch(
        TokenCheck(
            settings.unleash_url,
            settings.unleash_admin_token,
            settings.unleash_project,
            settings.unleash_environment,
            needed=(*SHARES, *(LEASES if settings.lease else ())),
        ),
        registry,
    )
    if settings.rollout_metrics_bind:
        serve(settings.rollout_metrics_bind, registry)
    shutdown = Shutdown(exit_code=0)
    shutdown.install()
    log.info("advancing", extra={"every": format_duration(every)})

    def once() -> None:
        try:
            with shutdown.held():
                found = step()
        except ChangedMeanwhile as error:
            log.info("somebody was faster", extra={"reason": str(error)})
        except CanarioError as error:
            metrics.failed()
            log.warning("no step", extra={"reason": str(error)})
        except Exception:
            metrics.failed()
            raise
        else:
            metrics.step(found)
            told = {"stage": found.step.place.name, "kind": found.step.kind.value, "told": sentence(found)}
            log.log(logging.WARNING if found.step.kind is Kind.REFUSE else logging.INFO, "step", extra=told)

    repeat(once, every)

"""The job that carries out the plans: of each rollout an iteration again and again, with log and metrics."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import Final, NoReturn, Self

from prometheus_client import CollectorRegistry, Counter, Gauge

from common.config import ConfigError, load_settings
from common.durations import format_duration
from common.errors import CanarioError
from common.every_rollout import EveryRollout, LabelledRegistry, Undisturbed, stamp_of
from common.logs import configure_logging
from common.names import PlanMetric
from common.rollouts import only
from common.schedule import Shutdown
from flags.rollout.controller import RolloutIteration, advance
from flags.rollout.decide import StepKind
from flags.rollout.report import sentence
from flags.rollout.settings import Planned, RolloutJobSettings, promoter_of
from flags.rollout.settings import every as planned_rollouts
from flags.unleash.errors import ChangedMeanwhile
from flags.unleash.token import Accounts, check_from, watch

FAILED: Final = "failed"
PROMOTION_SECONDS: Final = 95.0  # a promotion is seen through

log = logging.getLogger(__name__)


class PlanMetrics:
    """Of the job's iterations; all kinds of steps are there from the start, at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._last = Gauge(
            PlanMetric.LAST, "When the job last saw where the rollout stands (Unix time).", registry=registry
        )
        self._steps = Counter(
            PlanMetric.STEPS,
            "Iterations by the step that was decided; failed: none could be.",
            ["kind"],
            registry=registry,
        )
        for kind in (*StepKind, FAILED):
            self._steps.labels(kind)
        self._last.set(time.time())  # one that has never seen it is as blind as one that has just begun to be

    def step(self, found: RolloutIteration) -> None:
        """It saw where the rollout stands."""
        self._steps.labels(found.step.kind.value).inc()
        self._last.set(time.time())

    def failed(self) -> None:
        """It did not."""
        self._steps.labels(FAILED).inc()


def run_job(every: timedelta, name: str | None, said: Mapping[str, str]) -> NoReturn:
    """Until SIGTERM or SIGINT. No error of Unleash, Prometheus or a service ends it, nor does a bug.

    Raises:
        ConfigError: there is no rollout that could be carried out.
    """
    configure_logging("rollout")
    environment = {**os.environ, **said}
    process = load_settings(RolloutJobSettings, environment)

    def read() -> Mapping[str, Planned | ConfigError]:
        return only(dict(planned_rollouts("rollout", environment)), name)

    found = read()
    if not any(isinstance(one, Planned) for one in found.values()):
        raise ConfigError("\n".join(map(str, found.values())))
    undisturbed, shutdown, accounts = Undisturbed(), Shutdown(exit_code=0), Accounts()

    def begin(rollout: str, planned: Planned) -> PlannedWork:
        work = PlannedWork.open(planned, undisturbed.held, accounts)
        log.info("advancing", extra={"rollout": rollout, "every": format_duration(every)})
        return work

    rollouts = EveryRollout(
        read, begin, every, stamp=stamp_of(process.rollouts), broken=PlanMetric.ROLLOUT_BROKEN
    )
    rollouts.look()
    if process.rollout_metrics_bind:
        rollouts.serve(process.rollout_metrics_bind)
    shutdown.install()
    try:
        rollouts.follow()
    finally:
        undisturbed.wait(PROMOTION_SECONDS)
        rollouts.close()


@dataclass(frozen=True)
class PlannedWork:
    """The plan of one rollout, for as long as its file is there."""

    step: Callable[[], RolloutIteration]
    metrics: PlanMetrics
    registry: CollectorRegistry
    undisturbed: Callable[[], AbstractContextManager[None]]
    ended: Event = field(default_factory=Event)

    @classmethod
    def open(
        cls, planned: Planned, undisturbed: Callable[[], AbstractContextManager[None]], accounts: Accounts
    ) -> Self:
        """With a watch over its token. Raises ConfigError."""
        rollout, settings = planned.rollout(), planned.settings
        promoter = promoter_of(settings, rollout)
        registry = LabelledRegistry({"rollout": planned.name})
        made = cls(lambda: advance(rollout, promoter), PlanMetrics(registry), registry, undisturbed)
        watch(check_from(settings, accounts), registry, ended=made.ended)
        return made

    def run(self) -> None:
        """One step."""
        try:
            with self.undisturbed():
                found = self.step()
        except ChangedMeanwhile as error:
            log.info("somebody was faster", extra={"reason": str(error)})
        except CanarioError as error:
            self.metrics.failed()
            log.warning("no step", extra={"reason": str(error)})
        except Exception:
            self.metrics.failed()
            raise
        else:
            self.metrics.step(found)
            told = {"stage": found.step.position.name, "kind": found.step.kind.value, "told": sentence(found)}
            log.log(
                logging.WARNING if found.step.kind is StepKind.REFUSE else logging.INFO, "step", extra=told
            )

    def close(self) -> None:
        """The plan is not carried out any more."""
        self.ended.set()

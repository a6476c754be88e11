"""The models that serve together: the champion in this process, the challenger in its own, and shadow.

A lineup never changes. Other models make another lineup, beside the old one, and requests that begin then go
to the new one; the old one ends when its last request has long been answered.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from common.errors import CanarioError
from common.names import Model
from service.challenger.client import ChallengerClient, Worker
from service.challenger.launcher import WorkerSpec
from service.challenger.process import SupervisedWorker
from service.challenger.protocol import rows_in_a_packet
from service.challenger.shadow import Shadow, ShadowLimits
from service.metrics.models import ShadowMetrics
from service.metrics.service import ServiceMetrics
from service.models.artifact import Artifact, ArtifactError
from service.models.load import Models
from service.prediction_log.log import RecordLog
from service.remote.champion import RemoteChampion
from service.remote.worker import RemoteWorker
from service.settings import Settings

log = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024


class GivenUp(CanarioError):  # noqa: N818 - it is no error
    """Nobody wants the lineup any more that was being made."""


@dataclass(frozen=True)
class Lineup:
    """What answers requests from one change of roles to the next."""

    models: Models
    challenger: ChallengerClient | None
    shadow: Shadow | None

    @property
    def revision(self) -> int | None:
        """Of `roles.json`; None where the settings name the folders, or where not all of it is served."""
        release = None if self.models.left_out else self.models.release
        return release.revision if release else None

    @property
    def challenger_trouble(self) -> str | None:
        """Why there is no challenger to ask, although one is wanted."""
        return self.models.left_out or (self.challenger.worker.trouble if self.challenger else None)

    def close_shadow(self) -> None:
        """Work off the samples that wait; before the challenger ends, which is to answer them."""
        if self.shadow:
            self.shadow.close()

    def close_challenger(self) -> None:
        """End the challenger's process, and connections to models that run elsewhere."""
        if self.challenger:
            self.challenger.worker.close()
        if isinstance(self.models.champion, RemoteChampion):
            self.models.champion.close()


class LineupMaker:
    """Makes lineups on parts that outlive them. Use it in a worker, after the fork."""

    def __init__(
        self, settings: Settings, registry: CollectorRegistry, metrics: ServiceMetrics, record_log: RecordLog
    ) -> None:
        self._settings, self._registry = settings, registry
        self._metrics, self._record_log = metrics, record_log
        self._shadow_metrics: ShadowMetrics | None = None

    def make(self, models: Models, given_up: Callable[[], bool] | None = None) -> Lineup:
        """A lineup of `models` that is ready to answer.

        Args:
            given_up: whether the lineup is wanted no more. None: at the start of a service, which does not
                wait long for the challenger's process, and does without it; everybody gets the champion
                meanwhile.

        Raises:
            GivenUp: it is wanted no more.
            ArtifactError: the challenger's process does not come up.
        """
        if models.challenger is None:
            return Lineup(models, None, None)
        if self._settings.drill_file:
            log.warning("drills are allowed: %s can make the challenger fail", self._settings.drill_file)
        settings, metrics = self._settings, self._metrics
        worker = worker_of(
            settings,
            models.challenger,
            on_late=lambda seconds: metrics.latency.labels(Model.CHALLENGER).observe(seconds),
            on_start=metrics.challenger_started,
        )
        call_rows, batch_rows = rows_of(settings, models.challenger)
        challenger = ChallengerClient(
            worker,
            models.challenger.metadata,
            metrics,
            deadline_seconds=settings.guest_deadline_seconds,
            call_rows=call_rows,
        )
        worker.start(given_up)
        if given_up and not worker.is_up:
            worker.close()
            if given_up():
                raise GivenUp("these models are wanted no more")
            raise ArtifactError(f"{models.challenger.folder}: the challenger cannot start: {worker.trouble}")
        return Lineup(models, challenger, self._shadow(challenger, models, batch_rows))

    def _shadow(self, challenger: ChallengerClient, models: Models, rows: int) -> Shadow:
        settings = self._settings
        limits = ShadowLimits(
            queue=settings.shadow_queue,
            rows=rows,
            linger_seconds=settings.shadow_linger_ms / 1000,
            batch_seconds=settings.guest_deadline_seconds,
            hang_seconds=settings.guest_hang_seconds,
        )
        if self._shadow_metrics is None:
            self._shadow_metrics = ShadowMetrics(self._registry)
        shadow = Shadow(
            challenger.worker.call_batch, models.metadata, self._shadow_metrics, limits, self._record_log
        )
        shadow.start()
        return shadow


def rows_of(settings: Settings, challenger: Artifact) -> tuple[int, int]:
    """How many rows a call and a shadow batch may have."""
    if challenger.remote:
        return settings.max_rows, settings.shadow_batch
    most = rows_in_a_packet(challenger.metadata)
    return min(settings.max_rows, most), min(settings.shadow_batch, most)


def worker_of(
    settings: Settings,
    challenger: Artifact,
    on_late: Callable[[float], None] = lambda _: None,
    on_start: Callable[[], None] = lambda: None,
) -> Worker:
    """What asks the challenger, as `settings` want it: in a process, or where it runs.

    Args:
        on_late: called with the seconds of a call (no batch) that nobody waits for any more.
        on_start: called each time it has become ready.
    """
    patience = settings.guest_deadline_seconds / 10  # many times what a healthy call takes
    if challenger.remote:
        return RemoteWorker(
            challenger,
            challenger.remote,
            concurrency=settings.guest_concurrency,
            patience_seconds=patience,
            deadline_seconds=settings.guest_deadline_seconds,
            on_late=on_late,
            on_start=on_start,
        )
    return SupervisedWorker(_spec(settings, challenger, patience), on_late, on_start)


def _spec(settings: Settings, challenger: Artifact, patience_seconds: float) -> WorkerSpec:
    """The challenger's process as `settings` want it."""
    call_rows, batch_rows = rows_of(settings, challenger)
    return WorkerSpec(
        artifact=challenger,
        channels=settings.guest_concurrency,
        call_rows=call_rows,
        batch_rows=batch_rows,
        patience_seconds=patience_seconds,
        hang_seconds=settings.guest_hang_seconds,
        memory_bytes=memory_bytes(settings, challenger),
        folder=settings.state_dir / "challenger",
        drill_file=settings.drill_file,
    )


def memory_bytes(settings: Settings, challenger: Artifact) -> int:
    """As set, or what fits: 110 MB without a model, and 11 to 13 times its size for forests of 2 to 69 MB."""
    if settings.guest_memory_mb:
        return settings.guest_memory_mb * MEBIBYTE
    return max(1024 * MEBIBYTE, 256 * MEBIBYTE + 16 * len(challenger.onnx))

"""The models that serve together: the champion in this process, the challenger as a guest, and shadow.

A lineup never changes. Other models make another lineup, beside the old one, and requests that begin then go
to the new one; the old one ends when its last request has long been answered.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from common.errors import CanarioError
from service.artifact import Artifact, ArtifactError, Metadata
from service.assignment import Assigner
from service.guest.guest import Guest
from service.guest.sandbox import Terms
from service.guest.wire import rows_in_a_packet
from service.models import Models
from service.serving import Predictor
from service.settings import Settings
from service.shadow import Limits, Records, Shadow
from service.shadow_metrics import ShadowMetrics
from service.telemetry import Telemetry

log = logging.getLogger(__name__)

MEBIBYTE = 1024 * 1024


class GivenUp(CanarioError):  # noqa: N818 - it is no error
    """Nobody wants the lineup any more that was being made."""


@dataclass(frozen=True)
class Lineup:
    """What answers requests from one change of roles to the next."""

    models: Models
    guest: Guest | None
    shadow: Shadow | None
    predictor: Predictor

    @property
    def revision(self) -> int | None:
        """Of `roles.json`; None where the settings name the folders, or where not all of it is served."""
        release = None if self.models.left_out else self.models.release
        return release.revision if release else None

    @property
    def challenger_trouble(self) -> str | None:
        """Why there is no challenger to ask, although one is wanted."""
        return self.models.left_out or (self.guest.trouble if self.guest else None)

    def close_shadow(self) -> None:
        """Work off the samples that wait; before the guest ends, which is to answer them."""
        if self.shadow:
            self.shadow.close()

    def close_guest(self) -> None:
        """End the challenger's process."""
        if self.guest:
            self.guest.close()


class LineupMaker:
    """Makes lineups on parts that outlive them. Use it in a worker, after the fork."""

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        telemetry: Telemetry,
        assigner: Assigner,
        pairs: Records | None,
    ) -> None:
        self._settings, self._registry, self._telemetry = settings, registry, telemetry
        self._assigner, self._pairs = assigner, pairs
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
        guest = self._invite(models.challenger, given_up) if models.challenger else None
        if guest and given_up and not guest.is_up:
            guest.close()
            if given_up():
                raise GivenUp("these models are wanted no more")
            folder = models.challenger.folder if models.challenger else ""
            raise ArtifactError(f"{folder}: the challenger cannot start: {guest.trouble}")
        shadow = self._shadow(guest, models) if guest else None
        predictor = Predictor(models, guest, self._assigner, self._telemetry, shadow)
        return Lineup(models, guest, shadow, predictor)

    def _invite(self, challenger: Artifact, given_up: Callable[[], bool] | None) -> Guest:
        settings = self._settings
        if settings.drill_file:
            log.warning("drills are allowed: %s can make the challenger fail", settings.drill_file)
        terms = terms_of(settings, challenger)
        guest = Guest(challenger.metadata, terms, self._telemetry, settings.guest_deadline_seconds)
        guest.start(given_up)
        return guest

    def _shadow(self, guest: Guest, models: Models) -> Shadow:
        settings = self._settings
        limits = Limits(
            queue=settings.shadow_queue,
            rows=_batch_rows(settings, models.champion.metadata),
            linger_seconds=settings.shadow_linger_ms / 1000,
            batch_seconds=settings.guest_deadline_seconds,
            hang_seconds=settings.guest_hang_seconds,
        )
        if self._shadow_metrics is None:
            self._shadow_metrics = ShadowMetrics(self._registry)
        shadow = Shadow(guest.ask_batch, models.metadata, self._shadow_metrics, limits, self._pairs)
        shadow.start()
        return shadow


def terms_of(settings: Settings, challenger: Artifact) -> Terms:
    """What the challenger's process is granted."""
    return Terms(
        artifact=challenger,
        outputs=challenger.metadata.outputs,
        channels=settings.guest_concurrency,
        batch_rows=_batch_rows(settings, challenger.metadata),
        patience_seconds=settings.guest_deadline_seconds / 10,  # many times what a healthy call takes
        hang_seconds=settings.guest_hang_seconds,
        memory_bytes=settings.guest_memory_mb * MEBIBYTE,
        folder=settings.state_dir / "challenger",
        drill_file=settings.drill_file,
    )


def _batch_rows(settings: Settings, metadata: Metadata) -> int:
    return min(settings.shadow_batch, rows_in_a_packet(metadata))

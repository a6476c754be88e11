"""What the job keeps up in Unleash: the canary's lease, and the block of a version that was rolled back.

Both are calls of Unleash in threads, with clients of their own: no iteration waits for them, and the job's
connection stays free for a rollback.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from threading import Event
from typing import Final

from common.arms import UNVERSIONED, Arms, ServedModel
from common.config import ConfigError
from common.errors import CanarioError
from common.model_store import ModelStore
from common.names import Model
from common.prometheus import Prometheus, PrometheusError
from flags.canary.aftermath import UNKNOWN
from flags.canary.lease import renew
from flags.canary.marks import label, quarantine
from flags.unleash.admin import UnleashAdmin
from rollback.background import Background
from rollback.guardrails.verdict import Verdict
from rollback.iteration import Iteration

WAITS: Final = (0.0, 1.0, 3.0, 10.0, 30.0)  # seconds before each try to block a version
LATER: Final = 60.0  # and before all that follow: the block matters for days

_log = logging.getLogger(__name__)


@dataclass
class LeaseRenewer:
    """Puts the end of the lease off after each iteration that could measure and found no breach.

    So users have the challenger only while somebody guards it.
    """

    admin: UnleashAdmin
    flag: str
    can_measure: Callable[[], bool]
    """Whether Prometheus hears of the service; asked in the background, where nothing was judged."""
    lease: timedelta | None = None
    """How long users have the challenger without a renewal; None: leases are off."""
    lease_every: timedelta = timedelta(minutes=5)
    """How much of it may be used up before it is renewed."""
    _background: Background = field(default_factory=lambda: Background("lease"))
    _renewed: Event | None = None
    """Set when the last renewal is over."""

    def renew_if_due(self, iteration: Iteration) -> None:
        """Begin to renew the lease where this iteration vouches for the challenger. Never waits."""
        self._background.ensure_alive()  # a renewal whose thread died must not stand in the way of the next
        under_way = self._renewed is not None and not self._renewed.is_set()
        if not under_way and self.is_due(iteration, datetime.now(UTC)):
            self._renewed = self._background.do(partial(self._renew, measured=bool(iteration.verdicts)))

    def is_due(self, iteration: Iteration, now: datetime) -> bool:
        """Whether the iteration vouches for the challenger, and the lease has become short.

        At 0% it is renewed too: a share that a person raises then reaches users at once, and not after the
        next iteration.
        """
        state = iteration.state
        if self.lease is None or state is None or not state.enabled or state.lease_until is None:
            return False
        breached = any(verdict.calls_for_rollback for verdict in iteration.verdicts)
        short = state.lease_until - now < self.lease - self.lease_every
        return short and iteration.could_measure and not breached

    def _renew(self, *, measured: bool) -> None:
        try:
            if self.lease is not None and (measured or self.can_measure()):
                renew(self.admin, self.flag, datetime.now(UTC) + self.lease)
        except CanarioError as error:
            _log.warning("the lease was not renewed", extra={"error": str(error)})


@dataclass
class VersionBlocker:
    """Blocks the version that was rolled back, until it is done: else it would be given to users again."""

    admin: UnleashAdmin
    flag: str
    version: Callable[[], str | None]
    """The deployed challenger as blocks name it, where the verdict does not say; asked in the background."""
    _background: Background = field(default_factory=lambda: Background("block"))
    _closed: Event = field(default_factory=Event)

    def block(self, breach: Verdict) -> None:
        """Begin to block the version that was judged, or the deployed one. Never waits."""
        judged = breach.models.get(Model.CHALLENGER)
        known = label(judged.version, judged.sha256) if judged else None
        why = breach.measured.cause(breach.sentence)  # for the tag on the flag's page
        self._background.do(partial(self._block, why, known))

    def ensure_alive(self) -> None:
        """Go on with a block for which the machine gave no thread before."""
        self._background.ensure_alive()

    def close(self, seconds: float) -> None:
        """Give what is under way some time to end."""
        self._background.close(seconds)
        self._closed.set()

    def _block(self, why: str, judged: str | None) -> None:
        try:
            version = judged or self.version() or UNKNOWN  # another may be deployed by now
        except Exception as error:
            _log.exception("which version it is cannot be told", extra={"error": str(error)})
            version = UNKNOWN
        for wait in chain(WAITS, repeat(LATER)):
            if self._closed.wait(wait):
                return
            try:
                quarantine(self.admin, self.flag, version, why)
            except Exception as error:  # whatever it is: nobody else blocks it
                reason = {"version": version, "error": f"{type(error).__name__}: {error}"}
                _log.error("the version is NOT blocked yet", extra=reason)
            else:
                _log.warning("the version is blocked", extra={"version": version, "flag": self.flag})
                return


def served(prometheus: Prometheus, arms: Arms) -> dict[str, ServedModel]:
    """The models that Prometheus saw last, by role, while workers change from one version to the next.

    A model that left goes on as a series of value 0. Empty where Prometheus cannot tell: a decision is worth
    keeping without it.
    """
    versions = arms.signals.versions
    if versions is None:
        return {role.value: UNVERSIONED for role in Model}
    try:
        series = prometheus.raw(f"{arms.of(versions.metric)}[5m]")
    except PrometheusError:
        return {}
    seen = [(time, one.labels) for one in series for time, value in one.points if value == 1]
    return {
        role.value: arms.served(labels)
        for _, labels in sorted(seen, key=lambda one: one[0])
        if (role := arms.role(labels))
    }


def challenger(models: Path | None, prometheus: Prometheus, arms: Arms) -> str | None:
    """The challenger as blocks name it, by the models folder or Prometheus; None where unknown."""
    if models is not None:
        try:
            role = ModelStore(models).read().roles.challenger
        except ConfigError as error:
            _log.warning("the models folder cannot be read", extra={"error": str(error)})
        else:
            if role is not None:
                return label(role.version, role.sha256)
    found = served(prometheus, arms).get(Model.CHALLENGER)
    return label(found.version, found.sha256) if found else None

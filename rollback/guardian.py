"""What the job does for the rollout plan: it vouches for the exposure, and marks a version it rolled back.

The lease is put off after each pass that could measure and found no breach, so that users have the challenger
only while somebody guards it. Both are calls of Unleash in a thread: a pass waits for neither, and a client
of its own keeps the job's connection free for a rollback.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, repeat
from threading import Event
from typing import Final

from common.errors import CanarioError
from common.figures import in_unit
from common.names import Model
from flags.admin import UnleashAdmin
from flags.canary import CanaryState
from flags.lease import renew
from flags.quarantine import UNKNOWN, label, quarantine
from rollback.background import Background
from rollback.outcome import Pass, Rollback
from rollback.verdict import Verdict

WAITS: Final = (0.0, 1.0, 3.0, 10.0, 30.0)  # seconds before each try
LATER: Final = 60.0  # and before all that follow: the mark matters for days

_log = logging.getLogger(__name__)


@dataclass
class Guardian:
    """An observer of one job."""

    admin: UnleashAdmin
    flag: str
    version: Callable[[], str | None]
    """The deployed challenger as marks name it, where the verdict does not say; asked in the background."""
    can_measure: Callable[[], bool]
    """Whether Prometheus hears of the service; asked in the background, where nothing was judged."""
    lease: timedelta | None = None
    """How long users have the challenger without a renewal; None: leases are off."""
    lease_every: timedelta = timedelta(minutes=5)
    """How much of it may be used up before it is renewed."""
    _renewing: Background = field(default_factory=lambda: Background("lease"))
    _marking: Background = field(default_factory=lambda: Background("quarantine"))
    _renewed: Event | None = None
    """Set when the last renewal is over."""
    _closed: Event = field(default_factory=Event)

    def on_breach(self, breach: Verdict, state: CanaryState | None) -> None:
        pass

    def on_rollback(self, rollback: Rollback, breach: Verdict, state: CanaryState | None) -> None:  # noqa: ARG002 - as observers are told
        """Mark the version and why, also where the flag is not known to be off: it was bad all the same."""
        judged = breach.models.get(Model.CHALLENGER)
        known = label(judged.version, judged.sha256) if judged else None
        self._marking.do(partial(self._mark, in_short(breach), known))

    def on_pass(self, done: Pass) -> None:
        """Renew the lease where this pass vouches for the challenger."""
        for each in (self._renewing, self._marking):
            each.ensure_alive()  # what waits for a thread that died must not wait for the next such work
        under_way = self._renewed is not None and not self._renewed.is_set()
        if not under_way and self.is_due(done, datetime.now(UTC)):
            self._renewed = self._renewing.do(partial(self._renew, measured=bool(done.verdicts)))

    def is_due(self, done: Pass, now: datetime) -> bool:
        """Whether the pass vouches for the challenger, and the lease has become short.

        At 0% it is renewed too: a share that a person raises then reaches users at once, and not after the
        next pass.
        """
        state = done.state
        if self.lease is None or state is None or not state.enabled or state.lease_until is None:
            return False
        vouched = done.could_measure and not any(verdict.calls_for_rollback for verdict in done.verdicts)
        return vouched and state.lease_until - now < self.lease - self.lease_every

    def close(self, seconds: float) -> None:
        """Give what is under way some time to end."""
        self._marking.close(seconds)
        self._closed.set()

    def _renew(self, *, measured: bool) -> None:
        try:
            if self.lease is not None and (measured or self.can_measure()):
                renew(self.admin, self.flag, datetime.now(UTC) + self.lease)
        except CanarioError as error:
            _log.warning("the lease was not renewed", extra={"error": str(error)})

    def _mark(self, why: str, judged: str | None) -> None:
        """Until it is done: an unmarked version would be given to users again."""
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
            except Exception as error:  # whatever it is: nobody else marks it
                told = {"version": version, "error": f"{type(error).__name__}: {error}"}
                _log.error("the version is NOT in quarantine yet", extra=told)
            else:
                _log.warning("in quarantine", extra={"version": version, "flag": self.flag})
                return


def in_short(breach: Verdict) -> str:
    """Why the challenger was rolled back, for a tag of 50 characters: `errors: 12% (limit 2.0%)`."""
    if breach.value is None or breach.limit is None:
        return f"{breach.guardrail}: {breach.sentence}"
    value, limit = in_unit(breach.value, breach.unit), in_unit(breach.limit, breach.unit)
    return f"{breach.guardrail}: {value} (limit {limit})"

"""What one pass came to, and the exit code that says so."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from common.names import Model
from common.served import ServedModel
from flags.canary import CanaryState
from rollback.stop import Stop
from rollback.verdict import Status, Verdict


class ExitCode(IntEnum):
    """Exit codes of one pass; 2 is a fault of usage or configuration, found before there is a pass."""

    FINE = 0
    """Nothing is breached, or there is no data, or nobody gets the challenger."""
    BREACHED = 1
    """A guardrail was breached, and the flag is verified to be off (dry run: would have been turned off)."""
    MISCONFIGURED = 2
    CANNOT_MEASURE = 3
    """Prometheus or Unleash could not be asked, a guardrail could not be measured, or the flag is broken."""
    CANNOT_ACT = 4
    """A rollback was due, and the flag is not known to be off; or it is, and the challenger goes on."""


_WORDS = {
    ExitCode.FINE: "fine",
    ExitCode.BREACHED: "rolled back",
    ExitCode.CANNOT_MEASURE: "cannot measure",
    ExitCode.CANNOT_ACT: "cannot act",
}


@dataclass(frozen=True)
class Rollback:
    """What became of an order to turn the flag off."""

    guardrail: str
    """The guardrail whose breach asked for it."""
    fault: str | None
    """Why the flag is not known to be off; None when Unleash says that it is."""
    seconds: float
    """From the order to Unleash's word for it."""
    ordered_at: datetime | None = None
    """When the order was sent, by the clock of the job."""
    after: CanaryState | None = None
    """What Unleash said afterwards; None when it said nothing."""

    @property
    def verified(self) -> bool:
        """Tell whether Unleash says that nobody gets the challenger any more."""
        return self.fault is None


@dataclass(frozen=True)
class Pass:
    """One pass of the job."""

    state: CanaryState | None
    """The flag before the pass; None when Unleash could not be asked."""
    flag_fault: str | None
    """Why the flag is not known, or what a person must mend in it; None when all is well."""
    dry_run: bool
    seconds: float
    verdicts: tuple[Verdict, ...] = ()
    """In the order of the file; none when nobody gets the challenger."""
    rollback: Rollback | None = None
    stop: Stop | None = None
    """Whether the challenger was seen to stop; None while somebody is to get it, or nobody looked."""

    @property
    def challenger(self) -> ServedModel | None:
        """The model that was judged, as the service was seen to serve it; None where none was."""
        return next((each for one in self.verdicts if (each := one.models.get(Model.CHALLENGER))), None)

    @property
    def could_measure(self) -> bool:
        """Tell whether the flag and every guardrail could be read, as far as there was anything to judge."""
        blind = any(verdict.status is Status.CANNOT_MEASURE for verdict in self.verdicts)
        return not self.flag_fault and not blind

    @property
    def exit_code(self) -> ExitCode:
        """The gravest of what happened."""
        if self.stop is not None and self.stop.failed:
            return ExitCode.CANNOT_ACT
        if self.rollback is not None:
            return ExitCode.BREACHED if self.rollback.verified else ExitCode.CANNOT_ACT
        if any(verdict.calls_for_rollback for verdict in self.verdicts):  # only in a dry run
            return ExitCode.BREACHED
        if self.flag_fault or any(verdict.status is Status.CANNOT_MEASURE for verdict in self.verdicts):
            return ExitCode.CANNOT_MEASURE
        return ExitCode.FINE

    @property
    def summary(self) -> str:
        """The outcome in two or three words."""
        if self.stop is not None and self.stop.failed and (self.rollback is None or self.rollback.verified):
            return "off, and not seen to stop"
        if self.exit_code is ExitCode.FINE and self.state is not None and not self.state.exposed:
            return "not exposed"
        if self.exit_code is ExitCode.BREACHED and self.dry_run:
            return "would roll back"
        return _WORDS[self.exit_code]

"""One pass: read the flag, measure and judge each guardrail, take the challenger away if one is breached."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta

from common.errors import CanarioError
from common.prometheus import Prometheus
from common.selector import DEFAULT
from common.served import Arms
from flags.canary import CanaryState
from rollback.act import Canary, roll_back
from rollback.guardrails import Policy
from rollback.judging import UNKNOWN_STAGE, Judging
from rollback.observer import Observer, Silent
from rollback.outcome import Pass, Rollback
from rollback.report import rollback_fields
from rollback.verdict import Verdict

_log = logging.getLogger(__name__)


class LastOff:
    """When the flag was last seen to be off.

    Where Unleash falls silent after a rollback, the calls that asked for it are still young. They are of an
    exposure that is over, and must not ask for another.
    """

    def __init__(self) -> None:
        self._at = float("-inf")

    def note(self, state: CanaryState | None) -> None:
        """What Unleash says just now; None where it says nothing, which changes nothing."""
        if state is not None:
            self._at = float("-inf") if state.exposed else time.monotonic()

    def unknown_stage(self) -> timedelta:
        """How long ago a stage began of which Unleash does not tell; whole seconds, at least one."""
        age = max(1.0, time.monotonic() - self._at)
        return UNKNOWN_STAGE if age > UNKNOWN_STAGE.total_seconds() else timedelta(seconds=int(age))


@dataclass(frozen=True)
class Job:
    """What a pass needs; it keeps nothing from one pass to the next but when it saw the flag off."""

    policy: Policy
    prometheus: Prometheus
    canary: Canary
    selector: str = DEFAULT
    """Matchers of the service's series in Prometheus."""
    dry_run: bool = False
    """Judge, and turn nothing off."""
    undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
    """Puts off the end of the process while a rollback is under way."""
    observer: Observer = field(default_factory=Silent)
    """Told of a rollback before and after its order."""
    _off: LastOff = field(default_factory=LastOff)

    def run(self) -> Pass:
        """Make one pass. Faults of Unleash and Prometheus are part of its outcome; only a bug raises."""
        began = time.monotonic()
        state, fault = self._read_flag()
        self._off.note(state)
        if state is not None and not state.exposed:
            return Pass(state=state, flag_fault=fault, dry_run=self.dry_run, seconds=time.monotonic() - began)
        verdicts, rollback = [], None
        order = {guardrail.name: place for place, guardrail in enumerate(self.policy.guardrails)}
        arms = Arms(self.canary.flag, self.canary.environment, self.selector)
        judging = Judging(self.prometheus, self.policy, arms, state, self._off.unknown_stage())
        # A breach is acted on at once: guardrails after it, perhaps slow ones, must not hold it up.
        for verdict in judging.verdicts():
            verdicts.append(verdict)
            if verdict.calls_for_rollback and rollback is None and not self.dry_run:
                rollback = self._roll_back(verdict, state)
        return Pass(
            state=state,
            flag_fault=fault,
            verdicts=tuple(sorted(verdicts, key=lambda verdict: order[verdict.guardrail])),
            rollback=rollback,
            dry_run=self.dry_run,
            seconds=time.monotonic() - began,
        )

    def _read_flag(self) -> tuple[CanaryState | None, str | None]:
        """The flag, and what is wrong with it. Not to know it is no reason not to guard it."""
        try:
            state = self.canary.read()
        except CanarioError as error:
            return None, str(error)
        # A flag that is off with odd strategies troubles nobody. One that is gone, or has none left, is
        # perhaps not the flag that the service asks for: the job would guard nothing, and say it is fine.
        return state, state.trouble if state.exposed or not state.strategies else None

    def _roll_back(self, verdict: Verdict, state: CanaryState | None) -> Rollback:
        with self.undisturbed():
            self.observer.on_breach(verdict, state)
            rollback = roll_back(self.canary, verdict)
            self._off.note(rollback.after)
            self.observer.on_rollback(rollback, verdict, state)
            log = _log.warning if rollback.verified else _log.error
            message = "canary rolled back" if rollback.verified else "canary NOT rolled back"
            log(message, extra=rollback_fields(rollback, verdict, self.canary, state))
        return rollback

"""The challenger taken away: the flag's environment turned off, and seen to be off.

An order whose answer is lost may have been carried out all the same, so what counts is never the answer but
what Unleash says when it is asked afterwards.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from common.errors import CanarioError
from flags.admin import UnleashAdmin
from flags.canary import CanaryState, read_state, turn_off
from rollback.outcome import Rollback
from rollback.verdict import Verdict


class Canary(Protocol):
    """The flag in the one environment that the job guards."""

    @property
    def flag(self) -> str: ...

    @property
    def environment(self) -> str: ...

    def read(self) -> CanaryState:
        """What Unleash says now. Raises CanarioError."""
        ...

    def turn_off(self) -> CanaryState:
        """Turn the environment off, and answer what Unleash says then. Raises CanarioError."""
        ...


@dataclass(frozen=True)
class UnleashCanary:
    """A canary in Unleash."""

    admin: UnleashAdmin
    flag: str

    @property
    def environment(self) -> str:
        return self.admin.environment

    def read(self) -> CanaryState:
        return read_state(self.admin, self.flag)

    def turn_off(self) -> CanaryState:
        return turn_off(self.admin, self.flag)


def roll_back(canary: Canary, breach: Verdict) -> Rollback:
    """Turn the environment off and see that it is off. Safe to do again, or twice at once. Never raises."""
    ordered_at, began = datetime.now(UTC), time.monotonic()
    state = None
    try:
        state, fault = _turn_off(canary)
    except Exception as error:  # a bug here must come out as "could not act", not as a crash
        fault = f"{type(error).__name__}: {error}"
    return Rollback(breach.guardrail, fault, time.monotonic() - began, ordered_at, state)


def _turn_off(canary: Canary) -> tuple[CanaryState | None, str | None]:
    """What Unleash says afterwards, and why the flag is not known to be off."""
    try:
        state = canary.turn_off()
    except CanarioError as refusal:
        try:
            state = canary.read()
        except CanarioError:
            return None, str(refusal)
        return state, str(refusal) if state.exposed else None
    return state, f"{canary.flag} is still on in {canary.environment}" if state.exposed else None

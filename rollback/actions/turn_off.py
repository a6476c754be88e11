"""Rolls the challenger back: turns the flag's environment off, and sees that it is off.

An order whose answer is lost may have been carried out all the same, so what counts is never the answer but
what Unleash says when it is asked afterwards.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from common.errors import CanarioError
from flags.canary.exclude import ExcludedUsers, exclude
from flags.canary.feed import FollowedFlag
from flags.canary.share import read_state, turn_off
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ServerFault, UnexpectedAnswer, Unreachable
from rollback.guardrails.verdict import Verdict

QUICK_SECONDS = 5.0


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

    def exclude(self, users: ExcludedUsers) -> CanaryState:
        """Keep these users with the champion, and answer what Unleash says then. Raises CanarioError."""
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

    def exclude(self, users: ExcludedUsers) -> CanaryState:
        return exclude(self.admin, self.flag, [users])


@dataclass(frozen=True)
class FollowedCanary(UnleashCanary):
    """The same, read whole only where something happened to it: for a process that guards many."""

    followed: FollowedFlag

    def read(self) -> CanaryState:
        return self.followed.read()

    def turn_off(self) -> CanaryState:
        self.followed.forget()
        return super().turn_off()

    def exclude(self, users: ExcludedUsers) -> CanaryState:
        self.followed.forget()
        return super().exclude(users)


@dataclass(frozen=True)
class Rollback:
    """What became of an order to turn the flag off, or to exclude a segment from it."""

    guardrail: str
    """The guardrail whose breach asked for it."""
    error: str | None
    """Why the flag is not known to be off; None when Unleash says that it is."""
    seconds: float
    """From the order to Unleash's word for it."""
    ordered_at: datetime | None = None
    """When the order was sent, by the clock of the job."""
    after: CanaryState | None = None
    """What Unleash said afterwards; None when it said nothing."""
    excluded: str | None = None
    """The users who keep the champion, as country=NO; None where all do."""

    @property
    def verified(self) -> bool:
        """Tell whether Unleash says that they do not get the challenger any more."""
        return self.error is None


def roll_back(canary: Canary, breach: Verdict) -> Rollback:
    """Turn the environment off and see that it is off. Safe to do again, or twice at once. Never raises.

    An order that was lost on its way is given once more, when that costs little time; the next iteration
    gives it again in any case.
    """
    ordered_at, began = datetime.now(UTC), time.monotonic()
    state = None
    try:
        state, error, lost = _turn_off(canary)
        if lost and time.monotonic() - began < QUICK_SECONDS:
            state, error, _ = _turn_off(canary)
    except Exception as bug:  # it must come out as "could not act", not as a crash
        error = f"{type(bug).__name__}: {bug}"
    return Rollback(breach.guardrail, error, time.monotonic() - began, ordered_at, state)


def _turn_off(canary: Canary) -> tuple[CanaryState | None, str | None, bool]:
    """What Unleash says afterwards, why the flag is not known to be off, and whether the order got lost."""
    try:
        state = canary.turn_off()
    except CanarioError as refusal:
        lost = isinstance(refusal, Unreachable | ServerFault | UnexpectedAnswer)
        try:
            state = canary.read()
        except CanarioError:
            return None, str(refusal), lost
        return (state, str(refusal), lost) if state.exposed else (state, None, False)
    return state, f"{canary.flag} is still on in {canary.environment}" if state.exposed else None, False

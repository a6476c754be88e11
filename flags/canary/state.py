"""What a flag means for the canary: the rules by which its strategies are one share, and its state.

Unleash lets a user in when any active strategy matches. A share is therefore the rollout of the only active
strategy, a gradual rollout drawn by user id; anything else needs a person, and is named instead of guessed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from common.figures import moment
from flags.canary.events import in_words
from flags.canary.snapshot import Snapshot
from flags.unleash.errors import (
    FlagArchived,
    FlagError,
    FlagMissing,
    ShareUnreadable,
    StickinessUnsafe,
    StrategyAmbiguous,
    StrategyDisabled,
    StrategyMissing,
)
from flags.unleash.models import GRADUAL, Constraint, Strategy

NOT_IN: Final = "NOT_IN"


@dataclass(frozen=True)
class CanaryState:
    """What Unleash says about a canary in one environment.

    Attributes:
        exists: False where the project has no such flag, or only in its archive.
        enabled: the environment's switch.
        percent: rollout of the one gradual rollout strategy, 0 to 100; None where there is none, where it is
            not the only active one, and where it is no whole number.
        stickiness: what the share is drawn by; None where `percent` has no strategy.
        strategies: number of strategies, disabled ones included.
        constraints: conditions of that strategy, for people (`country IN NO, SE`); they narrow the share.
        segments: ids of Unleash segments that narrow it as well.
        variants: number of variants of that strategy; Canario uses none.
        trouble: a sentence why the share does not mean what it says, and what to do; None where it does.
        changed_by: user name of the last event on share, strategies, switch or the whole flag, if any.
        changed_at: its time, in UTC.
        change: its type, as `feature-strategy-update`.
        change_in_words: what it did, as `share 5% -> 25%`.
        revision: its id in Unleash's event log; a later change has a higher one.
        kept_out: users whom the constraints keep with the champion, as country=NO.
        lease_until: when users lose the challenger unless the job that guards it puts that off; None where
            the share depends on no lease.
        quarantined: versions of the challenger that must not be given to more users, sorted.
    """

    flag: str
    environment: str
    exists: bool
    archived: bool
    enabled: bool
    percent: int | None
    stickiness: str | None
    strategies: int
    constraints: tuple[str, ...]
    segments: tuple[int, ...]
    variants: int
    trouble: str | None
    changed_by: str | None
    changed_at: datetime | None
    change: str | None
    change_in_words: str | None = None
    lease_until: datetime | None = None
    quarantined: tuple[str, ...] = ()
    revision: int | None = None
    kept_out: tuple[str, ...] = ()

    @property
    def exposed(self) -> bool:
        """Whether some user is meant to get the challenger. A share that cannot be told counts as exposure.

        Whatever the lease says: when it has run out nobody gets the challenger now, but users will again as
        soon as the job renews it, so the job must go on judging. `lapsed` tells whether that is so.
        """
        return self.enabled and self.percent != 0

    @property
    def lease_left(self) -> timedelta | None:
        """What is left of the lease by the clock of this machine; None where the share depends on none."""
        return max(self.lease_until - datetime.now(UTC), timedelta()) if self.lease_until else None

    @property
    def lapsed(self) -> bool:
        """Whether the lease has run out: whatever the share, nobody gets the challenger now."""
        return self.lease_left == timedelta()

    def as_json(self) -> dict[str, Any]:
        """Fields, `exposed` and `lapsed` as JSON types."""
        fields = asdict(self) | {"exposed": self.exposed, "lapsed": self.lapsed}
        for name in ("changed_at", "lease_until"):
            fields[name] = fields[name].isoformat() if fields[name] else None
        return fields | {"quarantined": list(self.quarantined), "kept_out": list(self.kept_out)}


def state_of(shot: Snapshot) -> CanaryState:
    """The state that a snapshot shows."""
    try:
        strategy = gradual(shot) if shot.feature else None
    except (StrategyMissing, StrategyAmbiguous):
        strategy = None
    trouble, change = fault(shot), shot.last_change
    return CanaryState(
        flag=shot.flag,
        environment=shot.environment,
        exists=shot.feature is not None,
        archived=shot.archived,
        enabled=shot.enabled,
        percent=strategy.percent if strategy else None,
        stickiness=strategy.parameter("stickiness") if strategy else None,
        strategies=len(shot.strategies),
        constraints=tuple(map(str, strategy.constraints)) if strategy else (),
        segments=strategy.segments if strategy else (),
        variants=len(strategy.variants) if strategy else 0,
        trouble=str(trouble) if trouble else None,
        changed_by=change.created_by if change else None,
        changed_at=change.created_at if change else None,
        change=change.type if change else None,
        change_in_words=in_words(change) if change else None,
        lease_until=shot.lease.until if shot.lease and shot.lease.attached else None,
        quarantined=shot.quarantined,
        revision=change.id if change else None,
        kept_out=tuple(kept_out(strategy.constraints)) if strategy else (),
    )


def kept_out(constraints: Iterable[Constraint]) -> Iterator[str]:
    """Users whom these keep with the champion by a value of a property, as country=NO."""
    for one in constraints:
        if keeps_out(one):
            yield from (f"{one.context_name}={value}" for value in one.values)


def keeps_out(constraint: Constraint) -> bool:
    """Whether it keeps users out by a list of values."""
    return (constraint.operator, constraint.inverted) in {(NOT_IN, False), ("IN", True)}


def require_present(shot: Snapshot) -> None:
    """Raises FlagMissing or FlagArchived."""
    if shot.archived:
        raise FlagArchived(
            f"the flag {shot.flag} is archived, every user gets the champion: revive it in the Unleash UI"
            " (Project, Archived flags) if that is not wanted"
        )
    if not shot.feature:
        raise FlagMissing(
            f"the project {shot.project} has no flag {shot.flag}, every user gets the champion:"
            " create it by `./canario apply`"
        )


def gradual(shot: Snapshot) -> Strategy:
    """The one strategy whose rollout is the share.

    Raises:
        FlagMissing, FlagArchived: there is no flag.
        StrategyMissing: no gradual rollout. StrategyAmbiguous: it is not alone.
    """
    require_present(shot)
    candidates = shot.active or shot.strategies
    rollouts = [one for one in candidates if one.name == GRADUAL]
    if not rollouts:
        raise StrategyMissing(
            f"the flag {shot.flag} has no gradual rollout strategy in {shot.environment}"
            + (
                f", only {listed(candidates)}: replace that by one in the Unleash UI"
                if candidates
                else ": add one in the Unleash UI, or run `./canario apply`"
            )
        )
    if len(shot.active) > 1 or len(rollouts) > 1:
        raise StrategyAmbiguous(
            f"the flag {shot.flag} has {len(candidates)} strategies in {shot.environment}"
            f" ({listed(candidates)}) and lets a user in when any of them matches, so no one share says who"
            f" gets the challenger: keep one in the Unleash UI. `./canario off {shot.flag}` still works"
        )
    return rollouts[0]


def require_active(shot: Snapshot, strategy: Strategy) -> None:
    """Raises StrategyDisabled. A person switched it off, so a person switches it on."""
    if strategy.disabled:
        raise StrategyDisabled(
            f"the gradual rollout strategy of {shot.flag} in {shot.environment} is disabled:"
            " enable it in the Unleash UI"
        )


def require_sticky(shot: Snapshot, strategy: Strategy) -> None:
    """Raises StickinessUnsafe."""
    stickiness = strategy.parameter("stickiness")
    if stickiness != shot.stickiness:
        raise StickinessUnsafe(
            f"the share of {shot.flag} in {shot.environment} is drawn by {stickiness or 'nothing'} instead of"
            f" {shot.stickiness}, so users could change models from call to call: set the stickiness in the"
            " Unleash UI, or by `./canario apply` where its file has the flag; or say in the rollout's"
            " file what it is drawn by, as flag.stickiness"
        )


def require_readable(shot: Snapshot, strategy: Strategy) -> None:
    """Raises ShareUnreadable."""
    if strategy.percent is None:
        raise ShareUnreadable(
            f"the rollout of {shot.flag} in {shot.environment} is {strategy.parameter('rollout')!r}, no whole"
            f" number from 0 to 100: set it by `./canario set {shot.flag} PERCENT` or in the Unleash UI"
        )


def fault(shot: Snapshot) -> FlagError | None:
    """Why the share does not mean what it says; None where it does."""
    try:
        strategy = gradual(shot)
        require_active(shot, strategy)
        require_sticky(shot, strategy)
        require_readable(shot, strategy)
    except FlagError as error:
        return error
    return None


def blame(shot: Snapshot) -> str:
    """The last change as an aside to append to a sentence; "" where there is none."""
    change = shot.last_change
    if change is None:
        return ""
    return f" (last change: {in_words(change)} by {change.created_by} at {moment(change.created_at)})"


def listed(strategies: tuple[Strategy, ...]) -> str:
    """Strategies for people: `flexibleRollout 25%, default`."""
    return ", ".join(
        f"{one.name} {one.parameter('rollout')}%" if one.name == GRADUAL else one.name for one in strategies
    )

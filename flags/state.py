"""What a flag in Unleash means for the canary, for everybody who asks: job, service, command line."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flags.errors import StrategyAmbiguous, StrategyMissing
from flags.event_words import in_words
from flags.snapshot import Snapshot, fault, gradual


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
        return fields | {"quarantined": list(self.quarantined)}


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
        quarantined=tuple(sorted(shot.quarantined)),
        revision=change.id if change else None,
    )

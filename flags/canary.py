"""What the service's admin routes, the rollback job and the command line do with a canary.

Every change writes one field, reads the flag back, and answers what Unleash says now. People win: a share is
set because a person or a rule asked for it, a strategy that a person removed or disabled stays so.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from flags.admin import UnleashAdmin
from flags.errors import (
    ChangedMeanwhile,
    Forbidden,
    NotFound,
    NotVerified,
    Rejected,
    StrategyAmbiguous,
    StrategyDisabled,
    StrategyMissing,
)
from flags.snapshot import (
    Snapshot,
    blame,
    fault,
    gradual,
    require_active,
    require_present,
    require_sticky,
    take,
)


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
        revision: its id in Unleash's event log; a later change has a higher one.
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
    revision: int | None = None

    @property
    def exposed(self) -> bool:
        """Whether some user may get the challenger. A share that cannot be told counts as exposure."""
        return self.enabled and self.percent != 0

    def as_json(self) -> dict[str, Any]:
        """Fields and `exposed` as JSON types."""
        fields = asdict(self) | {"exposed": self.exposed}
        fields["changed_at"] = self.changed_at.isoformat() if self.changed_at else None
        return fields


def read_state(admin: UnleashAdmin, flag: str) -> CanaryState:
    """What Unleash says now. A missing flag or an odd strategy is a state here, no error.

    Raises:
        AdminError: Unleash does not answer, or not so.
        EnvironmentMissing: the project has no such environment.
    """
    return state_of(take(admin, flag))


def set_share(
    admin: UnleashAdmin, flag: str, percent: int, *, enable: bool = True, expect: int | None = None
) -> CanaryState:
    """Give the challenger `percent` of the users, and nothing else of the strategy another value.

    A share over 0 turns the environment on unless `enable` is False; 0 leaves it as it is. With `expect` the
    share is changed only from that value (Unleash compares), for callers whose decision rests on it; without,
    the last write wins.

    Raises:
        ValueError: `percent` is no whole number from 0 to 100.
        ChangedMeanwhile: the share is not `expect`.
        FlagMissing, FlagArchived, StrategyMissing, StrategyDisabled, StrategyAmbiguous, StickinessUnsafe: as
            they say; nothing was changed.
        AdminError: Unleash does not answer, or not so.
    """
    if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
        raise ValueError(f"a share is a whole number from 0 to 100, not {percent!r}")
    shot = take(admin, flag)
    strategy = gradual(shot)
    require_active(shot, strategy)
    if percent > 0:
        require_sticky(shot, strategy)
    if expect is not None and strategy.percent != expect:
        raise ChangedMeanwhile(
            f"the share of {flag} in {shot.environment} is {strategy.parameter('rollout')}%, not {expect}%"
            f"{blame(shot)}. Nothing was changed; look at it again"
        )
    if strategy.percent != percent:
        seen = None if expect is None else strategy.parameter("rollout")
        admin.change_parameter(flag, strategy.id, "rollout", str(percent), seen=seen)
    if percent > 0 and enable and not shot.enabled:
        return state_of(_switch_on(admin, shot))
    return read_state(admin, flag)


def turn_on(admin: UnleashAdmin, flag: str) -> CanaryState:
    """Turn the environment on with the strategies it has.

    Raises:
        FlagMissing, FlagArchived: there is no flag.
        StrategyMissing, StrategyDisabled: no active strategy; Unleash would add one for all users.
        ChangedMeanwhile: the strategies went away at this moment; the flag is off again.
        AdminError: Unleash does not answer, or not so.
    """
    shot = take(admin, flag)
    require_present(shot)
    if not shot.active:
        kind, advice = (StrategyDisabled, "enable one") if shot.strategies else (StrategyMissing, "add one")
        raise kind(
            f"the flag {flag} has no active strategy in {shot.environment}, and when turning it on Unleash"
            f" would add one for all users: {advice} in the Unleash UI first"
        )
    return state_of(shot if shot.enabled else _switch_on(admin, shot))


def turn_off(admin: UnleashAdmin, flag: str) -> CanaryState:
    """Take the challenger away from everybody: turn the environment off, and see that it is off.

    Works whatever the strategies are. The order is sent before anything is read, and a fault of the event log
    does not make it fail: then `changed_by` is None.

    Raises:
        FlagMissing, FlagArchived, EnvironmentMissing: there is nothing to turn off.
        NotVerified: Unleash took the order, and still says on.
        AdminError: Unleash does not answer, or not so; the flag may be on or off.
    """
    try:
        admin.switch(flag, on=False)
    except (NotFound, Rejected, Forbidden):
        require_present(take(admin, flag, history_required=False))  # the plain reason, where that is it
        raise
    shot = take(admin, flag, history_required=False)
    require_present(shot)
    if shot.enabled:
        raise NotVerified(
            f"Unleash took the order to turn {flag} off in {shot.environment}, and still says it is"
            f" on{blame(shot)}: turn it off in the Unleash UI and see who turns it on"
        )
    return state_of(shot)


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
        revision=change.id if change else None,
    )


def _switch_on(admin: UnleashAdmin, before: Snapshot) -> Snapshot:
    """Turn on, unless the strategies that were seen are gone: then Unleash made one for everybody."""
    admin.switch(before.flag, on=True)
    after = take(admin, before.flag)
    if after.enabled and not {one.id for one in before.active} & {one.id for one in after.active}:
        admin.switch(before.flag, on=False)
        raise ChangedMeanwhile(
            f"the strategies of {before.flag} in {before.environment} changed while it was turned on"
            f"{blame(after)}, so Unleash added one for all users: it is off again. Look at its strategies in"
            " the Unleash UI"
        )
    return after

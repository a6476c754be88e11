"""What the service's admin routes, the rollback job and the command line do with a canary.

Every change writes one field, reads back what came of it, and answers what Unleash says now. What does not
depend on the order is read once, before it. People win: a share is set because a person or a rule asked for
it, a strategy that a person removed or disabled stays so. A version that was rolled back gets no more users
without a reason (flags.canary.marks).
"""

from dataclasses import replace

from flags.canary.marks import refusal, resume
from flags.canary.snapshot import Snapshot, read_back, replayed_on, take
from flags.canary.state import (
    CanaryState,
    blame,
    gradual,
    require_active,
    require_present,
    require_sticky,
    state_of,
)
from flags.canary.writes import order_parameter, settle
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import (
    ChangedMeanwhile,
    Forbidden,
    NotFound,
    NotVerified,
    Rejected,
    StrategyDisabled,
    StrategyMissing,
)


def read_state(admin: UnleashAdmin, flag: str) -> CanaryState:
    """What Unleash says now. A missing flag or an odd strategy is a state here, no error.

    Raises:
        AdminError: Unleash does not answer, or not so.
        EnvironmentMissing: the project has no such environment.
    """
    return state_of(take(admin, flag))


def set_share(  # noqa: PLR0913 - each of them has a default
    admin: UnleashAdmin,
    flag: str,
    percent: int,
    *,
    enable: bool = True,
    expect: int | None = None,
    version: str | None = None,
    override: str | None = None,
) -> CanaryState:
    """Give the challenger `percent` of the users, and nothing else of the strategy another value.

    A share over 0 turns the environment on unless `enable` is False; 0 leaves it as it is. With `expect` the
    share is changed only from that value (Unleash compares), for callers whose decision rests on it; without,
    the last write wins.

    `version` is the deployed challenger's (flags.canary.marks.label), None where it is not known: then any
    blocked version counts. `override` is a person's reason to raise the share of such a one all the
    same, this once; Unleash keeps it.

    Raises:
        ValueError: `percent` is no whole number from 0 to 100, or the reason is too short.
        ChangedMeanwhile: the share is not `expect`, or a person changed it in this moment: theirs stays.
        Quarantined: this would raise the share of a blocked version.
        FlagMissing, FlagArchived, StrategyMissing, StrategyDisabled, StrategyAmbiguous, StickinessUnsafe: as
            they say; nothing was changed.
        AdminError: Unleash does not answer, or not so.
    """
    if isinstance(percent, bool) or not isinstance(percent, int) or not 0 <= percent <= 100:
        raise ValueError(f"a share is a whole number from 0 to 100, not {percent!r}")
    shot = take(admin, flag, with_log=False)
    strategy = gradual(shot)
    require_active(shot, strategy)
    if percent > 0:
        require_sticky(shot, strategy)
    if expect is not None and strategy.percent != expect:
        last = replace(shot, last_change=admin.last_change(flag))
        raise ChangedMeanwhile(
            f"the share of {flag} in {shot.environment} is {strategy.parameter('rollout')}%, not {expect}%"
            f"{blame(last)}. Nothing was changed; look at it again"
        )
    turns_on = percent > 0 and enable and not shot.enabled
    raised = strategy.percent is None or percent > strategy.percent or turns_on
    if percent > 0 and raised:
        require_no_quarantine(admin, shot, version, override)
    write = None
    if strategy.percent != percent:
        seen = None if expect is None else strategy.parameter("rollout")
        write = order_parameter(admin, flag, strategy.id, "rollout", str(percent), seen=seen)
        if turns_on and expect is not None:  # where somebody else set the share, it stays off
            settle(admin, flag, write)
            write = None
    if turns_on:
        admin.switch(flag, on=True)
    log = settle(admin, flag, write) if write else admin.log(flag)
    # Six calls are enough: where a segment was one of them, the log alone tells what came of two orders.
    after = (replayed_on if write and turns_on and shot.segmented else read_back)(admin, shot, log)
    if turns_on:
        _require_strategies(admin, shot, after)
    return state_of(after)


def turn_on(
    admin: UnleashAdmin, flag: str, *, version: str | None = None, override: str | None = None
) -> CanaryState:
    """Turn the environment on with the strategies it has. `version` and `override` as in `set_share`.

    Raises:
        Quarantined: this would give users a blocked version.
        FlagMissing, FlagArchived: there is no flag.
        StrategyMissing, StrategyDisabled: no active strategy; Unleash would add one for all users.
        ChangedMeanwhile: the strategies went away at this moment; the flag is off again.
        AdminError: Unleash does not answer, or not so.
    """
    shot = take(admin, flag, with_log=False)
    require_present(shot)
    if not shot.active:
        kind, advice = (StrategyDisabled, "enable one") if shot.strategies else (StrategyMissing, "add one")
        raise kind(
            f"the flag {flag} has no active strategy in {shot.environment}, and when turning it on Unleash"
            f" would add one for all users: {advice} in the Unleash UI first"
        )
    if shot.enabled:
        return state_of(replace(shot, last_change=admin.last_change(flag)))
    if any(one.percent != 0 for one in shot.active):
        require_no_quarantine(admin, shot, version, override)
    admin.switch(flag, on=True)
    after = read_back(admin, shot, admin.log(flag))
    _require_strategies(admin, shot, after)
    return state_of(after)


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


def require_no_quarantine(
    admin: UnleashAdmin, shot: Snapshot, version: str | None, override: str | None
) -> None:
    """Raises Quarantined; with a reason it keeps that instead, before anything is raised."""
    if refused := refusal(shot.flag, shot.quarantined, version):
        if override is None:
            raise refused
        resume(admin, shot.flag, override)


def _require_strategies(admin: UnleashAdmin, before: Snapshot, after: Snapshot) -> None:
    """Turn it off again where the strategies that were seen are gone: then Unleash made one for everybody."""
    if after.enabled and not {one.id for one in before.active} & {one.id for one in after.active}:
        admin.switch(before.flag, on=False)
        raise ChangedMeanwhile(
            f"the strategies of {before.flag} in {before.environment} changed while it was turned on"
            f"{blame(after)}, so Unleash added one for all users: it is off again. Look at its strategies in"
            " the Unleash UI"
        )

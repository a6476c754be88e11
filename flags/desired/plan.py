"""What must change in Unleash so that it holds the flags of the file: what is there, compared with it.

What people decide in the Unleash UI is kept: the share and the switch of a flag that exists, a strategy that
they disabled, a flag that they archived. The plan says so instead, with who did it and when. Carried out step
by step and stopped at any point, the next plan holds what is left.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from common.durations import format_duration
from flags.canary.lease import declined
from flags.canary.lease_segment import find
from flags.canary.marks import refusal
from flags.canary.snapshot import Snapshot, take
from flags.canary.state import blame, gradual, require_present
from flags.desired.file import DesiredFlag, load_desired
from flags.desired.steps import (
    AddStrategy,
    ApplyOptions,
    AttachLease,
    ChangeField,
    ChangeParameter,
    CreateField,
    CreateFlag,
    FlagStep,
    RemoveLease,
    SetLink,
    Switch,
    on_off,
)
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import FlagError
from flags.unleash.fields import same_page
from flags.unleash.models import Strategy


@dataclass(frozen=True)
class KeptDifference:
    """A difference that somebody made in Unleash, and that stays."""

    what: str
    unleash: str
    file: str
    by: str = ""

    def __str__(self) -> str:
        return f"{self.what}: Unleash says {self.unleash}, the file says {self.file}{self.by}"


@dataclass(frozen=True)
class FlagPlan:
    """What is due for one flag.

    Attributes:
        steps: in the order to take them; stopped after any of them, the flag exposes nobody wrongly.
        kept: differences that stay.
        conflict: why its strategies are left alone: a person must look. None where all is well.
    """

    flag: str
    steps: tuple[FlagStep, ...] = ()
    kept: tuple[KeptDifference, ...] = ()
    conflict: str | None = None


def plan(
    desired: Iterable[DesiredFlag],
    current: Mapping[str, Snapshot],
    *,
    force_share: bool = False,
    options: ApplyOptions | None = None,
) -> tuple[FlagPlan, ...]:
    """Compare each desired flag with its snapshot in `current` (every name must be there).

    `force_share` sets shares and switches to what the file says, whoever set them; a blocked version is
    given to more users only for a reason all the same.
    """
    wanted = options or ApplyOptions()
    return tuple(_flag_plan(flag, current[flag.name], force_share, wanted) for flag in desired)


def _flag_plan(flag: DesiredFlag, shot: Snapshot, force: bool, options: ApplyOptions) -> FlagPlan:
    found: list[FlagStep | KeptDifference] = []
    conflict = None
    try:
        if shot.archived:
            require_present(shot)
        found += _flag_itself(flag, shot, options)
        found += _strategy(flag, shot, force, options)
    except FlagError as error:
        conflict = str(error)
    steps = tuple(one for one in found if not isinstance(one, KeptDifference))
    refused = refusal(flag.name, shot.quarantined, options.version)
    if refused and options.override is None and any(_raises(one, shot) for one in steps):
        steps = tuple(one for one in steps if not _raises(one, shot))
        conflict = str(refused)
    kept = tuple(one for one in found if isinstance(one, KeptDifference))
    return FlagPlan(flag.name, steps=steps, kept=kept, conflict=conflict)


def _raises(step: FlagStep, shot: Snapshot) -> bool:
    """Whether more users may get the challenger after this step."""
    match step:
        case ChangeParameter(name="rollout"):
            now = next((one.percent for one in shot.strategies if one.id == step.strategy), None)
            return now is None or int(step.new) > now
        case AddStrategy():
            return step.percent > 0
        case RemoveLease():
            return shot.lease is not None and not shot.lease.left
        case Switch():
            return step.on
        case _:
            return False


def _flag_itself(flag: DesiredFlag, shot: Snapshot, options: ApplyOptions) -> Iterator[FlagStep]:
    if shot.feature is None:
        yield CreateFlag(flag.name, flag.type, flag.description)
    elif shot.feature.type != flag.type:
        yield ChangeField(flag.name, "type", shot.feature.type, flag.type)
    if shot.feature and shot.feature.description != flag.description:
        yield ChangeField(flag.name, "description", shot.feature.description, flag.description)
    links = shot.feature.links if shot.feature else ()
    for title, url in options.links:
        if not any(same_page(one.url, url) for one in links):
            old = next((one.id for one in links if one.title == title), None)
            yield SetLink(flag.name, title, url, old)


def _strategy(
    flag: DesiredFlag, shot: Snapshot, force: bool, options: ApplyOptions
) -> list[FlagStep | KeptDifference]:
    """Raises FlagError where a person must look first."""
    if shot.strategies:
        return [*_mend(flag, shot, gradual(shot), force), *_lease(flag, shot, options)]
    lease = [*_lease(flag, shot, options)]
    if shot.feature is None or shot.untouched or force:
        started: list[FlagStep | KeptDifference] = [
            AddStrategy(flag.name, flag.initial.percent, flag.stickiness),
            *lease,
        ]
        return [*started, Switch(flag.name, on=True)] if flag.initial.enabled else started
    # Whoever deleted the strategy stopped the rollout: it comes back at 0%.
    started = [AddStrategy(flag.name, 0, flag.stickiness), *lease]
    return [*started, *_share(flag, shot, "0"), *_switch(flag, shot)]


def _lease(flag: DesiredFlag, shot: Snapshot, options: ApplyOptions) -> Iterator[FlagStep | KeptDifference]:
    length = options.lease if flag.leased else None
    attached = shot.lease is not None and shot.lease.attached
    if length and shot.declined:
        yield KeptDifference("lease", "none", format_duration(length), f" ({shot.declined})")
    elif length and not attached:
        yield AttachLease(flag.name, length)
    elif attached and not length:
        yield RemoveLease(flag.name)


def _mend(
    flag: DesiredFlag, shot: Snapshot, strategy: Strategy, force: bool
) -> Iterator[FlagStep | KeptDifference]:
    def change(name: str, new: str) -> ChangeParameter:
        return ChangeParameter(flag.name, strategy.id, name, strategy.parameter(name), new)

    if strategy.parameter("stickiness") != flag.stickiness:
        yield change("stickiness", flag.stickiness)
    group = strategy.parameter("groupId")
    if group != flag.name:
        # The group seeds the draw: another one moves users from model to model, so not while any are in.
        exposed = shot.enabled and strategy.percent != 0
        yield (
            KeptDifference("group", str(group), flag.name, " (users are in)")
            if exposed
            else change("groupId", flag.name)
        )
    if force and not strategy.disabled:
        if strategy.percent != flag.initial.percent:
            yield change("rollout", str(flag.initial.percent))
        if shot.enabled != flag.initial.enabled:
            yield Switch(flag.name, on=flag.initial.enabled)
        return
    if strategy.disabled:
        yield KeptDifference("strategy", "disabled", "active", blame(shot))
    yield from _share(flag, shot, strategy.parameter("rollout") or "nothing")
    yield from _switch(flag, shot)


def _share(flag: DesiredFlag, shot: Snapshot, rollout: str) -> Iterator[KeptDifference]:
    if rollout != str(flag.initial.percent):
        yield KeptDifference("share", f"{rollout}%", f"{flag.initial.percent}%", blame(shot))


def _switch(flag: DesiredFlag, shot: Snapshot) -> Iterator[KeptDifference]:
    if shot.enabled != flag.initial.enabled:
        yield KeptDifference("switch", on_off(shot.enabled), on_off(flag.initial.enabled), blame(shot))


def plans_of(
    admin: UnleashAdmin, file: Path, force_share: bool, options: ApplyOptions
) -> tuple[FlagPlan, ...]:
    """What must change so that Unleash holds what `file` asks for. Raises ConfigError and AdminError."""
    desired = load_desired(file)
    leased = [flag.name for flag in desired.flags if flag.leased and options.lease]
    current = read_current(admin, [flag.name for flag in desired.flags], leased=leased)
    planned = plan(desired.flags, current, force_share=force_share, options=options)
    return (*_context(admin, desired.context), *planned)


def _context(admin: UnleashAdmin, wanted: Collection[str]) -> tuple[FlagPlan, ...]:
    """What is due beside the flags; nothing is said where all is there."""
    known = admin.context.names() if wanted else frozenset()
    missing = tuple(CreateField(name) for name in wanted if name not in known)
    return (FlagPlan("context", missing),) if missing else ()


def stop_at_conflict(plans: tuple[FlagPlan, ...]) -> None:
    """Raises FlagError with all that a person must decide first."""
    conflicts = [one.conflict for one in plans if one.conflict]
    if conflicts:
        raise FlagError("\n".join(conflicts))


def read_current(
    admin: UnleashAdmin, flags: Iterable[str], *, leased: Collection[str] = ()
) -> dict[str, Snapshot]:
    """What Unleash holds for each name; for the `leased` ones also whether a person took the lease off.

    Raises:
        AdminError: Unleash does not answer, or not so.
        EnvironmentMissing: the project has no such environment.
    """
    shots = {flag: take(admin, flag) for flag in flags}
    return {flag: _with_declined(admin, shot) if flag in leased else shot for flag, shot in shots.items()}


def _with_declined(admin: UnleashAdmin, shot: Snapshot) -> Snapshot:
    if not shot.strategies or (shot.lease and shot.lease.attached):
        return shot
    try:
        strategy = gradual(shot)
    except FlagError:  # the plan says so
        return shot
    segment = find(admin.segments.all(), shot.flag, shot.environment)
    return replace(shot, declined=declined(admin, shot.flag, strategy, segment) or "")

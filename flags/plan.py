"""What must change in Unleash so that it holds the desired flags: a pure function of both.

What people decide in the Unleash UI is kept: the share and the switch of a flag that exists, a strategy that
they disabled, a flag that they archived. The plan says so instead, with who did it and when.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from common.durations import format_duration
from flags.desired import DesiredFlag
from flags.errors import FlagError
from flags.models import Strategy
from flags.pages import same_page
from flags.quarantine import refusal
from flags.snapshot import Snapshot, blame, gradual, require_present
from flags.steps import (
    AddStrategy,
    AttachLease,
    ChangeField,
    ChangeParameter,
    CreateFlag,
    RemoveLease,
    SetLink,
    Step,
    Switch,
    on_off,
)


@dataclass(frozen=True)
class Wishes:
    """What is wanted beside the flags of the file.

    Attributes:
        lease: how long a leased flag's share lasts without a renewal; None: leases are off.
        links: titles and addresses for the flags' pages.
        version: the deployed challenger's (flags.quarantine.label), None where it is not known.
        override: a person's reason to give users a version in quarantine all the same.
    """

    lease: timedelta | None = None
    links: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    override: str | None = None


@dataclass(frozen=True)
class Kept:
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
    steps: tuple[Step, ...] = ()
    kept: tuple[Kept, ...] = ()
    conflict: str | None = None


def plan(
    desired: Iterable[DesiredFlag],
    current: Mapping[str, Snapshot],
    *,
    force_share: bool = False,
    wishes: Wishes | None = None,
) -> tuple[FlagPlan, ...]:
    """Compare each desired flag with its snapshot in `current` (every name must be there).

    `force_share` sets shares and switches to what the file says, whoever set them; a version in quarantine is
    given to more users only for a reason all the same.
    """
    wanted = wishes or Wishes()
    return tuple(_flag_plan(flag, current[flag.name], force_share, wanted) for flag in desired)


def _flag_plan(flag: DesiredFlag, shot: Snapshot, force: bool, wishes: Wishes) -> FlagPlan:
    found: list[Step | Kept] = []
    conflict = None
    try:
        if shot.archived:
            require_present(shot)
        found += _flag_itself(flag, shot, wishes)
        found += _strategy(flag, shot, force, wishes)
    except FlagError as error:
        conflict = str(error)
    steps = tuple(one for one in found if not isinstance(one, Kept))
    refused = refusal(flag.name, shot.quarantined, wishes.version)
    if refused and wishes.override is None and any(_raises(one, shot) for one in steps):
        steps = tuple(one for one in steps if not _raises(one, shot))
        conflict = str(refused)
    kept = tuple(one for one in found if isinstance(one, Kept))
    return FlagPlan(flag.name, steps=steps, kept=kept, conflict=conflict)


def _raises(step: Step, shot: Snapshot) -> bool:
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


def _flag_itself(flag: DesiredFlag, shot: Snapshot, wishes: Wishes) -> Iterator[Step]:
    if shot.feature is None:
        yield CreateFlag(flag.name, flag.type, flag.description)
    elif shot.feature.type != flag.type:
        yield ChangeField(flag.name, "type", shot.feature.type, flag.type)
    if shot.feature and shot.feature.description != flag.description:
        yield ChangeField(flag.name, "description", shot.feature.description, flag.description)
    links = shot.feature.links if shot.feature else ()
    for title, url in wishes.links:
        if not any(same_page(one.url, url) for one in links):
            old = next((one.id for one in links if one.title == title), None)
            yield SetLink(flag.name, title, url, old)


def _strategy(flag: DesiredFlag, shot: Snapshot, force: bool, wishes: Wishes) -> list[Step | Kept]:
    """Raises FlagError where a person must look first."""
    if shot.strategies:
        return [*_mend(flag, shot, gradual(shot), force), *_lease(flag, shot, wishes)]
    lease = [*_lease(flag, shot, wishes)]
    if shot.feature is None or shot.untouched or force:
        started: list[Step | Kept] = [AddStrategy(flag.name, flag.initial.percent, flag.stickiness), *lease]
        return [*started, Switch(flag.name, on=True)] if flag.initial.enabled else started
    # Whoever deleted the strategy stopped the rollout: it comes back at 0%.
    started = [AddStrategy(flag.name, 0, flag.stickiness), *lease]
    return [*started, *_share(flag, shot, "0"), *_switch(flag, shot)]


def _lease(flag: DesiredFlag, shot: Snapshot, wishes: Wishes) -> Iterator[Step | Kept]:
    length = wishes.lease if flag.leased else None
    attached = shot.lease is not None and shot.lease.attached
    if length and shot.declined:
        yield Kept("lease", "none", format_duration(length), f" ({shot.declined})")
    elif length and not attached:
        yield AttachLease(flag.name, length)
    elif attached and not length:
        yield RemoveLease(flag.name)


def _mend(flag: DesiredFlag, shot: Snapshot, strategy: Strategy, force: bool) -> Iterator[Step | Kept]:
    def change(name: str, new: str) -> ChangeParameter:
        return ChangeParameter(flag.name, strategy.id, name, strategy.parameter(name), new)

    if strategy.parameter("stickiness") != flag.stickiness:
        yield change("stickiness", flag.stickiness)
    group = strategy.parameter("groupId")
    if group != flag.name:
        # The group seeds the draw: another one moves users from model to model, so not while any are in.
        exposed = shot.enabled and strategy.percent != 0
        yield (
            Kept("group", str(group), flag.name, " (users are in)")
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
        yield Kept("strategy", "disabled", "active", blame(shot))
    yield from _share(flag, shot, strategy.parameter("rollout") or "nothing")
    yield from _switch(flag, shot)


def _share(flag: DesiredFlag, shot: Snapshot, rollout: str) -> Iterator[Kept]:
    if rollout != str(flag.initial.percent):
        yield Kept("share", f"{rollout}%", f"{flag.initial.percent}%", blame(shot))


def _switch(flag: DesiredFlag, shot: Snapshot) -> Iterator[Kept]:
    if shot.enabled != flag.initial.enabled:
        yield Kept("switch", on_off(shot.enabled), on_off(flag.initial.enabled), blame(shot))

"""What must change in Unleash so that it holds the desired flags: a pure function of both.

What people decide in the Unleash UI is kept: the share and the switch of a flag that exists, a strategy that
they disabled, a flag that they archived. The plan says so instead, with who did it and when.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flags.desired import DesiredFlag
from flags.errors import FlagError
from flags.models import Strategy
from flags.snapshot import Snapshot, blame, gradual, require_present


@dataclass(frozen=True)
class CreateFlag:
    """Create the flag, off everywhere and without strategies."""

    flag: str
    kind: str
    description: str

    def __str__(self) -> str:
        return f"create the {self.kind} flag"


@dataclass(frozen=True)
class AddStrategy:
    """Add a gradual rollout; the group is the flag's name."""

    flag: str
    percent: int
    stickiness: str

    def __str__(self) -> str:
        return f"add a gradual rollout of {self.percent}% by {self.stickiness}"


@dataclass(frozen=True)
class ChangeField:
    """Set a field of the flag itself."""

    flag: str
    name: str
    old: str | None
    new: str

    def __str__(self) -> str:
        return f"set its {self.name} from {self.old!r} to {self.new!r}"


@dataclass(frozen=True)
class ChangeParameter:
    """Set a parameter of the strategy with this id, if it still is `old`."""

    flag: str
    strategy: str
    name: str
    old: str | None
    new: str

    def __str__(self) -> str:
        return f"set the strategy's {self.name} from {self.old or 'nothing'} to {self.new}"


@dataclass(frozen=True)
class Switch:
    """Turn the flag on or off in the environment."""

    flag: str
    on: bool

    def __str__(self) -> str:
        return f"turn it {on_off(self.on)}"


Step = CreateFlag | AddStrategy | ChangeField | ChangeParameter | Switch


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
    desired: Iterable[DesiredFlag], current: Mapping[str, Snapshot], *, force_share: bool = False
) -> tuple[FlagPlan, ...]:
    """Compare each desired flag with its snapshot in `current` (every name must be there).

    `force_share` sets shares and switches to what the file says, whoever set them.
    """
    return tuple(_flag_plan(flag, current[flag.name], force_share) for flag in desired)


def _flag_plan(flag: DesiredFlag, shot: Snapshot, force: bool) -> FlagPlan:
    found: list[Step | Kept] = []
    conflict = None
    try:
        if shot.archived:
            require_present(shot)
        found += _flag_itself(flag, shot)
        found += _strategy(flag, shot, force)
    except FlagError as error:
        conflict = str(error)
    return FlagPlan(
        flag.name,
        steps=tuple(one for one in found if not isinstance(one, Kept)),
        kept=tuple(one for one in found if isinstance(one, Kept)),
        conflict=conflict,
    )


def _flag_itself(flag: DesiredFlag, shot: Snapshot) -> Iterator[Step]:
    if shot.feature is None:
        yield CreateFlag(flag.name, flag.type, flag.description)
        return
    if shot.feature.type != flag.type:
        yield ChangeField(flag.name, "type", shot.feature.type, flag.type)
    if shot.feature.description != flag.description:
        yield ChangeField(flag.name, "description", shot.feature.description, flag.description)


def _strategy(flag: DesiredFlag, shot: Snapshot, force: bool) -> list[Step | Kept]:
    """Raises FlagError where a person must look first."""
    if shot.strategies:
        return [*_mend(flag, shot, gradual(shot), force)]
    if shot.feature is None or shot.untouched or force:
        started: list[Step | Kept] = [AddStrategy(flag.name, flag.initial.percent, flag.stickiness)]
        return [*started, Switch(flag.name, on=True)] if flag.initial.enabled else started
    # Whoever deleted the strategy stopped the rollout: it comes back at 0%.
    return [AddStrategy(flag.name, 0, flag.stickiness), *_share(flag, shot, "0"), *_switch(flag, shot)]


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


def on_off(on: bool) -> str:
    """`on` or `off`."""
    return "on" if on else "off"

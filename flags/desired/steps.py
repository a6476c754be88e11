"""The single changes that a plan for the flags is made of: the words for each, and how it is carried out."""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from common.durations import format_duration
from flags.canary.lease import ensure_lease, remove_lease
from flags.canary.share import turn_off, turn_on
from flags.canary.writes import change_parameter
from flags.unleash.admin import UnleashAdmin


@dataclass(frozen=True)
class ApplyOptions:
    """What is wanted beside the flags of the file.

    Attributes:
        lease: how long a leased flag's share lasts without a renewal; None: leases are off.
        links: titles and addresses for the flags' pages.
        version: the deployed challenger's (flags.canary.marks.label), None where it is not known.
        override: a person's reason to give users a blocked version all the same.
    """

    lease: timedelta | None = None
    links: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    override: str | None = None


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


@dataclass(frozen=True)
class AttachLease:
    """Let the gradual rollout depend on the lease; a new one has `length` to go."""

    flag: str
    length: timedelta

    def __str__(self) -> str:
        return (
            f"let its share depend on a lease of {format_duration(self.length)} that the rollback job renews"
        )


@dataclass(frozen=True)
class RemoveLease:
    """Let nothing depend on the lease any more."""

    flag: str

    def __str__(self) -> str:
        return "let its share depend on no lease"


@dataclass(frozen=True)
class SetLink:
    """Put a link on the flag's page; `link` is the id of the one that it replaces, None for a new one."""

    flag: str
    title: str
    url: str
    link: str | None = None

    def __str__(self) -> str:
        return f"link its page to {self.url} as {self.title}"


@dataclass(frozen=True)
class CreateField:
    """Make a field of the context, on which people can set constraints in the UI."""

    name: str

    def __str__(self) -> str:
        return f"make the field {self.name}, for constraints"


FlagStep = (
    CreateField
    | CreateFlag
    | AddStrategy
    | ChangeField
    | ChangeParameter
    | Switch
    | AttachLease
    | RemoveLease
    | SetLink
)


def on_off(on: bool) -> str:
    """`on` or `off`."""
    return "on" if on else "off"


def carry_out(admin: UnleashAdmin, step: FlagStep, options: ApplyOptions | None = None) -> None:
    """Do one step of a plan that was made with these options.

    Raises:
        AdminError: Unleash does not answer, or not so.
        ChangedMeanwhile: a person was faster; what they did stays.
        FlagError: the flag is no longer as planned for.
    """
    wanted = options or ApplyOptions()
    match step:
        case CreateField():
            admin.context.create(step.name)
        case CreateFlag():
            admin.create_feature(step.flag, kind=step.kind, description=step.description)
        case AddStrategy():
            admin.add_strategy(step.flag, percent=step.percent, stickiness=step.stickiness, group=step.flag)
        case ChangeField():
            admin.change_feature(step.flag, step.name, step.new)
        case ChangeParameter():
            change_parameter(admin, step.flag, step.strategy, step.name, step.new, seen=step.old)
        case Switch(on=True):
            turn_on(admin, step.flag, version=wanted.version, override=wanted.override)
        case Switch():
            turn_off(admin, step.flag)
        case AttachLease():
            ensure_lease(admin, step.flag, step.length)
        case RemoveLease():
            remove_lease(admin, step.flag)
        case SetLink():
            admin.links.put(step.flag, step.url, step.title, instead_of=step.link)
        case _:
            assert_never(step)

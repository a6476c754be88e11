"""The single changes that a plan is made of, each with the words that tell it to people."""

from dataclasses import dataclass
from datetime import timedelta

from common.durations import format_duration


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


Step = (
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

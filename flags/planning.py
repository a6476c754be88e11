"""The plans for a file of flags: what it asks for, held against what Unleash has now."""

from pathlib import Path

from flags.admin import UnleashAdmin
from flags.apply import read_current
from flags.desired import load_context, load_desired
from flags.errors import FlagError
from flags.plan import FlagPlan, Wishes, plan
from flags.steps import CreateField


def plans_of(admin: UnleashAdmin, file: Path, force_share: bool, wishes: Wishes) -> tuple[FlagPlan, ...]:
    """What must change so that Unleash holds what `file` asks for. Raises ConfigError and AdminError."""
    desired = load_desired(file)
    leased = [flag.name for flag in desired if flag.leased and wishes.lease]
    current = read_current(admin, [flag.name for flag in desired], leased=leased)
    return (*_context(admin, file), *plan(desired, current, force_share=force_share, wishes=wishes))


def _context(admin: UnleashAdmin, file: Path) -> tuple[FlagPlan, ...]:
    """What is due beside the flags; nothing is said where all is there."""
    wanted = load_context(file)
    known = admin.context.names() if wanted else frozenset()
    missing = tuple(CreateField(name) for name in wanted if name not in known)
    return (FlagPlan("context", missing),) if missing else ()


def stop_at_conflict(plans: tuple[FlagPlan, ...]) -> None:
    """Raises FlagError with all that a person must decide first."""
    conflicts = [one.conflict for one in plans if one.conflict]
    if conflicts:
        raise FlagError("\n".join(conflicts))

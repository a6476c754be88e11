"""A new model is offered as the challenger, as often as one likes: for a job that runs each night.

It begins at once where there is nothing in the way. A rollout that is under way is never disturbed; a
challenger that nobody has met yet gives way where `supersede` says so; blocked versions stay blocked.
"""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from common.model_store import METADATA_FILE, Identity, ModelStore, read_identity
from common.release import Note, ReleaseError
from flags.canary import marks
from flags.canary.share import read_state
from flags.canary.state import CanaryState
from flags.promotion.promote import Promoter
from flags.unleash.admin import UnleashAdmin


class Outcome(IntEnum):
    """What came of it, as exit codes."""

    STARTED = 0
    NOTHING_NEW = 10
    WAITS = 11
    REFUSED = 12


@dataclass(frozen=True)
class Offer:
    """What came of it, in one sentence."""

    outcome: Outcome
    sentence: str


SUPERSEDE: Final = "--supersede replaces it"


def offer(  # noqa: PLR0913, PLR0917 - its callers name them
    promoter: Promoter,
    store: ModelStore,
    admin: UnleashAdmin,
    flag: str,
    artifact: Path,
    note: Note,
    *,
    supersede: bool = False,
    approve: bool = False,
) -> Offer:
    """Make the model in the folder `artifact` the challenger, if that disturbs nobody.

    Args:
        supersede: replace a challenger that has no share.
        approve: the plan may start with it, too.

    Raises:
        ReleaseError, AdminError, FlagError: see `Promoter.challenge`.
    """
    try:
        found = read_identity(artifact)
    except (OSError, ValidationError) as error:
        raise ReleaseError(f"{artifact / METADATA_FILE} cannot be read as a model's card: {error}") from error
    version = marks.label(found.version, found.sha256)
    state = read_state(admin, flag)
    told = f"{found.name} {version}"
    if before := _in_the_way(store, state, found, told, supersede=supersede):
        if before.outcome is Outcome.NOTHING_NEW and approve and _is_challenger(store, found):
            marks.approve_start(admin, flag, version)
        return before
    done = promoter.challenge(artifact, note)
    if approve:
        marks.approve_start(admin, flag, version)
    start = "its start is approved" if approve else "`./canario rollout begin` approves its start"
    return Offer(
        Outcome.STARTED,
        f"started: {told} is the challenger, every worker serves it after {done.seconds:.1f} s; {start}",
    )


def _is_challenger(store: ModelStore, found: Identity) -> bool:
    challenger = store.read().roles.challenger
    return challenger is not None and challenger.sha256 == found.sha256


def _in_the_way(  # noqa: PLR0911 - one return a reason
    store: ModelStore, state: CanaryState, found: Identity, told: str, *, supersede: bool
) -> Offer | None:
    """Why it is not to be the challenger now; None where it is."""
    roles = store.read().roles
    if roles.champion.sha256 == found.sha256:
        return Offer(Outcome.NOTHING_NEW, f"nothing new: {told} is the champion already")
    if marks.label(found.version, found.sha256) in state.quarantined:
        return Offer(
            Outcome.REFUSED,
            f"refused: {told} was rolled back and is blocked; bring another, or unblock it by "
            f"`./canario lift {state.flag} --reason ...`",
        )
    if _is_challenger(store, found):
        return Offer(Outcome.NOTHING_NEW, f"nothing new: {told} is the challenger already")
    if state.exposed or state.percent not in {0, None}:
        share = "a share that is not one number" if state.percent is None else f"{state.percent}%"
        return Offer(
            Outcome.WAITS, f"waits: the flag {state.flag} gives {roles.challenger or 'no challenger'} {share}"
        )
    challenger = roles.challenger
    if challenger is None or supersede:
        return None
    if marks.label(challenger.version, challenger.sha256) in state.quarantined:
        return None  # rolled back: its rollout is over
    return Offer(
        Outcome.WAITS, f"waits: {challenger} is the challenger, and no user has met it yet; {SUPERSEDE}"
    )

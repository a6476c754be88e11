"""Marks on a flag's page: tags by which people and programs say what a share alone does not.

canario-quarantine  a version of the challenger that was rolled back: no program gives it more users (blocked)
canario-rollback    why the rollback job turned the flag off, the last time
canario-lift        why somebody unblocked a version
canario-resume      why somebody let Canario go on after a rollback, or after a person's change
canario-pause       why automation leaves the share as it is until the mark is gone
canario-approve     the approval of one stage, which the value names: `25%`; or, as `25% without evidence`, of
                    what the plan cannot prove before it
canario-begin       the approval that the plan starts with one version, which the value names

A mark stops programs unless a person gives a reason. A person in the Unleash UI can raise the share all the
same, and can put marks on and take them off there; Unleash's event log tells who did.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from common.config import ConfigError
from common.measured import LONGEST
from common.model_store import METADATA_FILE, read_identity
from common.terminal import printable
from flags.canary.aftermath import UNKNOWN, ways_on
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import NotFound, Quarantined
from flags.unleash.models import Tag

QUARANTINE: Final = "canario-quarantine"
ROLLED_BACK: Final = "canario-rollback"
LIFT: Final = "canario-lift"
RESUME: Final = "canario-resume"
PAUSE: Final = "canario-pause"
APPROVE: Final = "canario-approve"
BEGIN: Final = "canario-begin"
TYPES: Final = {  # what the UI says of them, and their colour
    QUARANTINE: (
        "A version of the challenger that was rolled back: no program gives it more users",
        "#B71C1C",
    ),
    ROLLED_BACK: (
        "Why the rollback job turned the flag off, the last time; the slider does nothing while it is off",
        "#B71C1C",
    ),
    LIFT: ("Why somebody unblocked a version", "#1B5E20"),
    RESUME: ("Why somebody let Canario go on after a rollback, or after a person's change", "#1B5E20"),
    PAUSE: ("Why the rollout plan waits: no program raises the share while this is here", "#E65100"),
    APPROVE: ("A person's approval that the rollout plan starts this stage", "#1B5E20"),
    BEGIN: ("A person's approval that the rollout plan starts with this version", "#1B5E20"),
}
WITHOUT_EVIDENCE: Final = "without evidence"  # after a stage that a person answers for
SHORTEST: Final = 2  # characters of a tag's value that Unleash takes, and LONGEST
SHA_DIGITS: Final = 12


def label(version: str, sha256: str) -> str:
    """How the marks name a version: `1.4.0 0a1b2c3d4e5f`. The hash tells apart what two builds call alike."""
    digits = sha256[:SHA_DIGITS]
    return f"{_fitting(version, LONGEST - len(digits) - 1)} {digits}".rstrip()  # some services tell no hash


def named(version: str | None) -> str:
    """A version by its label, as a sentence names it."""
    return "the challenger, whose version is not known," if version == UNKNOWN else f"version {version}"


def deployed(challenger: Path) -> str:
    """The label of the model in a folder.

    Raises:
        ConfigError: the folder holds no model.
    """
    try:
        read = read_identity(challenger)
    except (OSError, ValidationError) as error:
        card = challenger / METADATA_FILE
        raise ConfigError(f"CANARIO_CHALLENGER: {card} cannot be read as a model's card: {error}") from error
    return label(read.version, read.sha256)


def tags_of(admin: UnleashAdmin, flag: str) -> tuple[Tag, ...]:
    """The marks on the flag's page; none of a flag that is not there. Raises AdminError."""
    try:
        return admin.tags.of(flag)
    except NotFound:  # deleted or archived this moment
        return ()


def values(tags: Iterable[Tag], kind: str) -> tuple[str, ...]:
    """The values of the marks of one type, sorted."""
    return tuple(sorted(tag.value for tag in tags if tag.type == kind))


def quarantine(admin: UnleashAdmin, flag: str, version: str, why: str | None = None) -> None:
    """Block a version, given by its `label`, and keep why; of reasons the page shows the last one.

    Unleash takes 50 characters of each. Doing it twice is doing it once, but for a line that tells why again.

    Raises:
        AdminError: Unleash does not answer, or not so; NotFound or Forbidden where there is no such flag.
    """
    there, mark = admin.tags.of(flag), Tag(type=QUARANTINE, value=_fitting(version))
    reasons = [] if why is None else [Tag(type=ROLLED_BACK, value=_fitting(why))]
    if new := [*([] if mark in there else [mark]), *reasons]:
        stale = [tag for tag in there if reasons and tag.type == ROLLED_BACK and tag not in reasons]
        _put(admin, flag, new, stale)


def quarantined(admin: UnleashAdmin, flag: str) -> frozenset[str]:
    """The labels of the blocked versions. Raises AdminError."""
    return frozenset(values(tags_of(admin, flag), QUARANTINE))


def lift(admin: UnleashAdmin, flag: str, reason: str, *, keep: Collection[str] = ()) -> frozenset[str]:
    """Unblock all versions for this reason, which the flag's page shows then. Returns what was unblocked.

    A person's hold is another matter, and stays (`resume`). So do blocks of the versions in `keep`.

    Raises:
        ValueError: the reason has less than two characters.
        AdminError: Unleash does not answer, or not so.
    """
    replaced = _note(admin, flag, LIFT, reason, instead_of=(QUARANTINE, ROLLED_BACK), keep=keep)
    return frozenset(values(replaced, QUARANTINE))


def resume(admin: UnleashAdmin, flag: str, reason: str) -> None:
    """Let automation raise the share again. The page keeps the last reason, the event log every one.

    Unleash takes 50 characters of it. Raises as `lift` does.
    """
    _note(admin, flag, RESUME, reason)


def pause(admin: UnleashAdmin, flag: str, reason: str) -> None:
    """Let automation leave the share as it is. Raises AdminError."""
    _put(admin, flag, [Tag(type=PAUSE, value=" ".join(reason.split())[:LONGEST].strip())])


def unpause(admin: UnleashAdmin, flag: str) -> None:
    """Take all pauses off. Raises AdminError."""
    if found := [tag for tag in admin.tags.of(flag) if tag.type == PAUSE]:
        admin.tags.change(flag, remove=found)


def approve(admin: UnleashAdmin, flag: str, stage: str) -> None:
    """Approve the start of `stage`. An older approval is given anew: only one of this stage's time counts."""
    _renew(admin, flag, Tag(type=APPROVE, value=stage))


def approve_start(admin: UnleashAdmin, flag: str, version: str) -> None:
    """Approve that the plan starts with `version`, a `label`; that of another one is over."""
    _renew(admin, flag, Tag(type=BEGIN, value=version))


def refusal(flag: str, marked: Collection[str], version: str | None) -> Quarantined | None:
    """Why the share must not be raised; None where it may. `version` is the deployed one, None: unknown."""
    if not marked or (version is not None and version not in marked and UNKNOWN not in marked):
        return None
    named = version if version in marked else " and ".join(sorted(marked))
    unknown = "" if version else ", and which version is deployed is not known here (set CANARIO_MODELS)"
    told = f"{named} was rolled back and is blocked{unknown}. Deploy another version"
    if UNKNOWN in marked:
        told = f"{UNKNOWN} was rolled back, which could be any, so that none is given to users"
    return Quarantined(f'{flag}: {told}. {ways_on(flag)} Once more all the same: --override "..."')


def _note(  # noqa: PLR0913, PLR0917 - each of its own kind
    admin: UnleashAdmin,
    flag: str,
    kind: str,
    reason: str,
    instead_of: Collection[str] = (),
    keep: Collection[str] = (),
) -> list[Tag]:
    """Put a reason in the place of the last one, and of marks `instead_of` but those of the values in `keep`.

    Answers what it replaced.
    """
    mark = Tag(type=kind, value=_fitting(reason))
    if len(mark.value) < SHORTEST:
        raise ValueError("give a reason of two letters at least: the event log of Unleash keeps it")
    stale = [
        tag
        for tag in admin.tags.of(flag)
        if tag.type in {kind, *instead_of} and tag != mark and tag.value not in keep
    ]
    _put(admin, flag, [mark], stale)
    return stale


def _renew(admin: UnleashAdmin, flag: str, mark: Tag) -> None:
    admin.tags.ensure_type(mark.type, *TYPES[mark.type])
    if stale := [tag for tag in admin.tags.of(flag) if tag.type == mark.type]:
        admin.tags.change(flag, remove=stale)  # in a step of its own, so that the log has the new one
    admin.tags.change(flag, add=[mark])


def _put(admin: UnleashAdmin, flag: str, marks: Collection[Tag], stale: Iterable[Tag] = ()) -> None:
    for kind in dict.fromkeys(mark.type for mark in marks):
        admin.tags.ensure_type(kind, *TYPES[kind])
    admin.tags.change(flag, add=marks, remove=stale)


def _fitting(text: str, longest: int = LONGEST) -> str:
    return printable(" ".join(text.split()))[:longest].strip()

"""Versions of the challenger that were rolled back: marks on the flag's page that stop the next raise.

A mark is a tag of the type `canario-quarantine` whose value names the version. While it is there, no program
raises the share for that version unless a person gives a reason; a person in the Unleash UI can, and can take
the mark off there. Reasons are marks too (`canario-resume`, `canario-lift`, and `canario-rollback` of the
rollback job), so Unleash's event log tells who gave which.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from common.config import ConfigError
from common.terminal import printable
from flags.admin import UnleashAdmin
from flags.errors import Quarantined
from flags.models import Tag
from flags.snapshot import QUARANTINE, read_quarantined

__all__ = [
    "LIFT",
    "QUARANTINE",
    "RESUME",
    "ROLLED_BACK",
    "UNKNOWN",
    "deployed",
    "label",
    "lift",
    "note_reason",
    "quarantine",
    "quarantined",
]

RESUME: Final = "canario-resume"
LIFT: Final = "canario-lift"
ROLLED_BACK: Final = "canario-rollback"
UNKNOWN: Final = "unknown version"  # was rolled back by a job that could not tell which: it could be any
SHORTEST, LONGEST = 2, 50  # characters of a tag's value that Unleash takes
SHA_DIGITS: Final = 12
TYPES: Final = {
    QUARANTINE: (
        "A version of the challenger that was rolled back: no program gives it more users",
        "#B71C1C",
    ),
    ROLLED_BACK: (
        "Why the rollback job turned the flag off, the last time; the slider does nothing while it is off",
        "#B71C1C",
    ),
    LIFT: ("Why somebody took a version out of quarantine", "#1B5E20"),
    RESUME: ("Why somebody let Canario go on after a rollback, or after a person's change", "#1B5E20"),
}


class _Card(BaseModel):
    """What a model's card says about it, as far as the mark needs it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: str
    sha256: str


def label(version: str, sha256: str) -> str:
    """How the marks name a version: `1.4.0 0a1b2c3d4e5f`. The hash tells apart what two builds call alike."""
    digits = sha256[:SHA_DIGITS]
    return f"{_fitting(version, LONGEST - len(digits) - 1)} {digits}"


def deployed(challenger: Path) -> str:
    """The label of the model in a folder.

    Raises:
        ConfigError: the folder holds no model.
    """
    card = challenger / "model.json"
    try:
        read = _Card.model_validate_json(card.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"CANARIO_CHALLENGER: {card} cannot be read as a model's card: {error}") from error
    return label(read.version, read.sha256)


def quarantine(admin: UnleashAdmin, flag: str, version: str, why: str | None = None) -> None:
    """Mark a version, given by its `label`, and keep why; of reasons the page shows the last one.

    Unleash takes 50 characters of each. Doing it twice is doing it once, but for a line that tells why again.

    Raises:
        AdminError: Unleash does not answer, or not so; NotFound or Forbidden where there is no such flag.
    """
    ensure_types(admin)
    there, mark = admin.tags.of(flag), Tag(type=QUARANTINE, value=_fitting(version, LONGEST))
    reasons = [] if why is None else [Tag(type=ROLLED_BACK, value=_fitting(why, LONGEST))]
    stale = [tag for tag in there if reasons and tag.type == ROLLED_BACK and tag not in reasons]
    if reasons or mark not in there:
        admin.tags.change(flag, add=[*([] if mark in there else [mark]), *reasons], remove=stale)


def quarantined(admin: UnleashAdmin, flag: str) -> frozenset[str]:
    """The labels of the versions in quarantine. Raises AdminError."""
    return read_quarantined(admin, flag)


def lift(admin: UnleashAdmin, flag: str, reason: str) -> frozenset[str]:
    """Take all marks off for this reason, which the flag's page shows then. Returns what was lifted.

    A person's hold is another matter, and stays (flags.people.resume).

    Raises:
        ValueError: the reason has less than two characters.
        AdminError: Unleash does not answer, or not so.
    """
    marks = [tag for tag in admin.tags.of(flag) if tag.type in (QUARANTINE, ROLLED_BACK)]
    _note(admin, flag, LIFT, reason, marks)
    return frozenset(tag.value for tag in marks if tag.type == QUARANTINE)


def note_reason(admin: UnleashAdmin, flag: str, reason: str) -> None:
    """Let the flag's page and the event log tell why Canario goes on; the page keeps the last reason only.

    Unleash takes 50 characters of it. Raises as `lift` does.
    """
    _note(admin, flag, RESUME, reason, ())


def _note(admin: UnleashAdmin, flag: str, kind: str, reason: str, lifted: Collection[Tag]) -> None:
    text = _fitting(reason, LONGEST)
    if len(text) < SHORTEST:
        raise ValueError("give a reason of two letters at least: the event log of Unleash keeps it")
    ensure_types(admin)
    mark = Tag(type=kind, value=text)
    stale = [tag for tag in admin.tags.of(flag) if tag.type == kind and tag != mark]
    admin.tags.change(flag, add=[mark], remove=[*stale, *lifted])


def ensure_types(admin: UnleashAdmin) -> None:
    """Make the types of our marks. Raises AdminError."""
    for name, (description, color) in TYPES.items():
        admin.tags.ensure_type(name, description, color)


def refusal(flag: str, marked: Collection[str], version: str | None) -> Quarantined | None:
    """Why the share must not be raised; None where it may. `version` is the deployed one, None: unknown."""
    if not marked or (version is not None and version not in marked and UNKNOWN not in marked):
        return None
    named = version if version in marked else " and ".join(sorted(marked))
    unknown = "" if version else ", and which version is deployed is not known here (set CANARIO_MODELS)"
    return Quarantined(
        f"{flag}: {named} was rolled back and is in quarantine{unknown}. Deploy another version, give a"
        f' reason by --override "...", or lift it by `python -m flags lift {flag} --reason "..."`. A person'
        " can raise the share in the Unleash UI all the same, and must turn the flag on there where it is off"
    )


def _fitting(text: str, longest: int) -> str:
    return printable(" ".join(text.split()))[:longest].strip()

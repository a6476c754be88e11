"""Marks by which people steer the rollout plan: tags on the flag's page, seen and changed in the UI as well.

canario-pause     automation leaves the share as it is until the mark is gone; the value says why
canario-approve   a person's word for one stage, which the value names: `25%`
canario-begin     a person's word that the plan may carry one version to the users, which the value names
"""

from typing import Final

from flags.admin import UnleashAdmin
from flags.models import Tag

PAUSE: Final = "canario-pause"
APPROVE: Final = "canario-approve"
BEGIN: Final = "canario-begin"
LONGEST: Final = 50  # characters of a tag's value that Unleash takes
TYPES: Final = {
    PAUSE: ("Why the rollout plan waits: no program raises the share while this is here", "#E65100"),
    APPROVE: ("A person's word that the rollout plan may begin this stage", "#1B5E20"),
    BEGIN: ("A person's word that the rollout plan may carry this version to the users", "#1B5E20"),
}


def pause(admin: UnleashAdmin, flag: str, reason: str) -> None:
    """Let automation leave the share as it is. Raises AdminError."""
    _ensure_types(admin)
    admin.tags.change(flag, add=[Tag(type=PAUSE, value=" ".join(reason.split())[:LONGEST].strip())])


def unpause(admin: UnleashAdmin, flag: str) -> bool:
    """Take all pauses off; tells whether there was one. Raises AdminError."""
    found = [tag for tag in admin.tags.of(flag) if tag.type == PAUSE]
    if found:
        admin.tags.change(flag, remove=found)
    return bool(found)


def approve(admin: UnleashAdmin, flag: str, stage: str) -> None:
    """A person's word for `stage`. An older one is given anew: only one of this stage's time counts."""
    _replace(admin, flag, Tag(type=APPROVE, value=stage))


def begin(admin: UnleashAdmin, flag: str, version: str) -> None:
    """A person's word for the rollout of `version`, as marks name it; that for another one is over."""
    _replace(admin, flag, Tag(type=BEGIN, value=version))


def _replace(admin: UnleashAdmin, flag: str, mark: Tag) -> None:
    _ensure_types(admin)
    stale = [tag for tag in admin.tags.of(flag) if tag.type == mark.type]
    if stale:
        admin.tags.change(flag, remove=stale)
    admin.tags.change(flag, add=[mark])


def _ensure_types(admin: UnleashAdmin) -> None:
    for name, (description, color) in TYPES.items():
        admin.tags.ensure_type(name, description, color)

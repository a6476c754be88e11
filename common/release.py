"""Which model has which role, as data: the content of `roles.json` in a models folder, and how it may change.

    promoted      the challenger becomes the champion, the champion is kept as the previous one
    taken_back    the previous champion serves again
    challenged    another challenger, or none
    settled       the flag has been seen at 0% since the champion changed
    restored      as before the last change, because the workers refused it

After the first two there is no challenger, and without one everybody gets the champion, whatever the flag
says: no step of a promotion can give a user anything but the old or the new model. common.model_store writes
these to disk.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from pydantic import AwareDatetime, Field

from common.config import StrictModel
from common.errors import CanarioError

KEPT_CHANGES = 20

Text = Annotated[str, Field(min_length=1, max_length=128)]
Kind = Literal["installed", "challenged", "promoted", "taken_back", "restored"]


class ReleaseError(CanarioError):
    """The models cannot change in this way now. Nothing was changed unless the text says so."""


class Entry(StrictModel):
    """One artifact: its folder in the models folder, and what it must hold."""

    folder: Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    name: Text
    version: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="Of its model.onnx.")]

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.sha256[:12]})"


class Roles(StrictModel):
    """Who serves as what.

    Attributes:
        previous: the champion before the last promotion, for an instant way back.
        settled: the flag has been seen at 0% since the champion changed; until then no new challenger.
    """

    champion: Entry
    challenger: Entry | None = None
    previous: Entry | None = None
    settled: bool = True


class Change(StrictModel):
    """One change, for people. `share` is the challenger's on which a promotion rests, in per cent."""

    kind: Kind
    time: AwareDatetime
    by: str
    reason: str = ""
    champion: str
    challenger: str | None = None
    share: int | None = None


class Release(StrictModel):
    """The content of `roles.json`.

    Attributes:
        revision: grows by one whenever another model gets a role; workers tell which one they serve.
        before: the roles before the last change, while that can still be restored.
    """

    format: Literal[1] = 1
    revision: Annotated[int, Field(ge=1)]
    roles: Roles
    before: Roles | None = None
    history: Annotated[list[Change], Field(min_length=1, max_length=KEPT_CHANGES)]

    @property
    def last(self) -> Change:
        """The last change of roles."""
        return self.history[-1]

    @property
    def needed(self) -> frozenset[str]:
        """The folders that a role or a way back points at: now and before the last change."""
        entries = [
            entry
            for roles in (self.roles, self.before)
            if roles is not None
            for entry in (roles.champion, roles.challenger, roles.previous)
        ]
        return frozenset(entry.folder for entry in entries if entry is not None)

    def last_role(self, entry: Entry) -> datetime | None:
        """When it last was given a role, or kept one, as far as the history goes back."""
        times = [one.time for one in self.history if str(entry) in (one.champion, one.challenger)]
        return max(times, default=None)


class Note(NamedTuple):
    """Who changes roles, and why."""

    by: str
    reason: str = ""


def installed(champion: Entry, challenger: Entry | None, note: Note) -> Release:
    """The first release of a models folder."""
    roles = Roles(champion=champion, challenger=challenger)
    return Release(revision=1, roles=roles, history=[_change("installed", roles, note)])


def promoted(release: Release, note: Note, share: int | None = None) -> Release:
    """Make the challenger the champion. Raises ReleaseError where there is none."""
    roles = release.roles
    if roles.challenger is None:
        raise ReleaseError(f"there is no challenger to promote; the champion is {roles.champion}")
    return _next(
        release,
        Roles(champion=roles.challenger, previous=roles.champion, settled=False),
        "promoted",
        note,
        share,
    )


def taken_back(release: Release, note: Note) -> Release:
    """Make the previous champion the champion again. Raises ReleaseError where there is none.

    The one that goes is not kept as previous: doing it twice must not bring it back.
    """
    roles = release.roles
    if roles.previous is None:
        raise ReleaseError(
            f"there is no previous champion to go back to; the champion is {roles.champion}, and it was not "
            "promoted since the last way back"
        )
    return _next(release, Roles(champion=roles.previous, settled=False), "taken_back", note)


def challenged(release: Release, challenger: Entry | None, note: Note) -> Release:
    """Give the role of the challenger to another model, or to none.

    Raises:
        ReleaseError: a promotion or a way back is not finished: the flag may still have a share that was
            meant for another model.
    """
    if challenger is not None and not release.roles.settled:
        raise ReleaseError(
            f"the last change ({release.last.kind}) is not finished: the flag has not been seen at 0% since, "
            "and a new challenger would get its share at once"
        )
    roles = release.roles.model_copy(update={"challenger": challenger})
    return _next(release, roles, "challenged", note)


def settled(release: Release) -> Release:
    """The flag has been seen at 0%. No model changes, so the revision stays."""
    roles = release.roles.model_copy(update={"settled": True})
    return release.model_copy(update={"roles": roles, "before": None})


def restored(release: Release, note: Note) -> Release:
    """As it was before the last change. Raises ReleaseError where that is not known any more."""
    if release.before is None:
        raise ReleaseError("the last change cannot be restored: it is finished")
    return _next(release, release.before, "restored", note).model_copy(update={"before": None})


def _next(release: Release, roles: Roles, kind: Kind, note: Note, share: int | None = None) -> Release:
    return Release(
        revision=release.revision + 1,
        roles=roles,
        before=release.roles,
        history=[*release.history, _change(kind, roles, note, share)][-KEPT_CHANGES:],
    )


def _change(kind: Kind, roles: Roles, note: Note, share: int | None = None) -> Change:
    return Change(
        kind=kind,
        time=datetime.now(UTC),
        by=note.by,
        reason=note.reason,
        champion=str(roles.champion),
        challenger=str(roles.challenger) if roles.challenger else None,
        share=share,
    )

"""People win: who changed what, and the rule that automation never raises what a person lowered.

All of it is read from Unleash's event log; nothing is kept elsewhere. A person's change is the new state, and
where it lowered the share, automation stays at or below it until a person raises the share, or gives a
reason to go on (`resume`). Why it is drawn so: docs/decisions/0015-people-win.md.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flags.admin import LIFE_EVENTS, SHARE_EVENTS, UnleashAdmin
from flags.errors import NotFound, UnexpectedAnswer
from flags.event_words import TAGGED, UNTAGGED
from flags.marks import APPROVE, BEGIN, PAUSE
from flags.quarantine import LIFT, QUARANTINE, RESUME, ROLLED_BACK, note_reason
from flags.replay import Change, replayed
from flags.snapshot import moment

__all__ = ["Change", "Held", "held", "history", "resume"]

EVENTS: Final = (*SHARE_EVENTS, *LIFE_EVENTS, TAGGED, UNTAGGED)
# Lower a share by their own judgement: a quarantine stands for a rollback, and the plan sets 0 when it
# promotes. The other users of Canario lower one only because a person told them to, by the command line or
# the admin routes.
LOWERS_BY_ITSELF: Final = frozenset({"canario-rollback", "canario-rollout"})
MARKS: Final = (QUARANTINE, RESUME, LIFT, ROLLED_BACK, PAUSE, APPROVE, BEGIN)


@dataclass(frozen=True)
class Held:
    """A share that a person lowered, and that automation must not raise.

    Attributes:
        limit: the most per cent of the users that automation may give the challenger.
        who, at, words: the change that says so.
    """

    limit: int
    who: str
    at: datetime
    words: str

    def refusal(self, percent: int) -> str | None:
        """Why automation must not set this share; None where it may."""
        if percent <= self.limit:
            return None
        return (
            f"{self.who} lowered it at {moment(self.at)} ({self.words}), so it stays at {self.limit}% at most"
            ' until a person raises it, or says `python -m flags rollout resume --reason "..."`'
        )


def history(admin: UnleashAdmin, flag: str, since: datetime | None = None) -> tuple[Change, ...]:
    """What was done to the flag in this environment, the oldest first; `since` leaves out what came before.

    Raises:
        AdminError: Unleash does not answer, or not so.
    """
    now = None
    with suppress(NotFound):
        environments = admin.feature(flag).environments
        now = next((one for one in environments if one.name == admin.environment), None)
    events = admin.events.of(flag, EVENTS)
    if now is not None and not events:  # what its database cannot tell, Unleash calls nothing
        raise UnexpectedAnswer(
            f"Unleash's event log tells nothing of {flag}, which exists: see the log of Unleash, try again"
        )
    changes = replayed(events, now, admin.environment)
    return tuple(one for one in changes if _ours(one) and (since is None or one.at >= since))


def held(changes: Iterable[Change]) -> Held | None:
    """What a person lowered and nobody has raised or resumed since. `changes` from the oldest on."""
    found = None
    for change in changes:
        if change.type == TAGGED and change.tag and change.tag[0] == RESUME:
            found = None
        elif change.lowered and change.who not in LOWERS_BY_ITSELF:
            found = Held(change.after.reach, change.who, change.at, change.words)
        elif change.raised and not change.is_automation:
            found = None
    return found


def resume(admin: UnleashAdmin, flag: str, reason: str) -> None:
    """A person's word that automation may raise the share again; the event log and the flag's page keep it.

    Raises:
        ValueError: the reason has less than two characters.
        AdminError: Unleash does not answer, or not so.
    """
    note_reason(admin, flag, reason)


def _ours(change: Change) -> bool:
    """Leaves out tags that are none of Canario's marks."""
    return change.tag is None or change.tag[0] in MARKS

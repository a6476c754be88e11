"""How Canario changes a strategy: one field, and then a look whether that undid what somebody else did.

Unleash has no locks: what a person saves while a patch of ours is under way is overwritten by Unleash itself.
After each write the event log tells so (flags.overwritten), and what was lost is put back, by a write that is
looked at in the same way. Who sets a field on the strength of what it was finds it as a person left it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flags.admin import UnleashAdmin
from flags.errors import ChangedMeanwhile, NotFound, NotVerified, UnexpectedAnswer
from flags.models import Event
from flags.overwritten import KINDS, Loss, Write, lost, still_lost
from flags.strategy_fields import member

LINES: Final = 100  # of the log, of which the last half minute counts
TRIES: Final = 5

log = logging.getLogger(__name__)


def change_parameter(  # noqa: PLR0913 - it has a default
    admin: UnleashAdmin, flag: str, strategy: str, parameter: str, value: str, *, seen: str | None = None
) -> None:
    """Set one parameter of one strategy, and nothing else of it.

    With `seen`, only if Unleash still has that value; otherwise the last write wins.

    Raises:
        ChangedMeanwhile: the value is no longer `seen`; what somebody set instead is there.
        NotVerified: a person's change was lost, and could not be put back.
        AdminError: Unleash does not answer, or not so.
    """
    place, since = f"/parameters/{parameter}", _last(admin, flag)
    admin.change_parameter(flag, strategy, parameter, value, seen=seen)
    write = Write(strategy, {place: value}, {} if seen is None else {place: seen}, since)
    met = _check(admin, flag, write)
    if met:
        raise ChangedMeanwhile(
            f"{met.who} changed {flag} in {admin.environment} in the moment in which {parameter} was set from"
            f" {seen} to {value} ({met.words}): it is {met.fields[place]}, as {met.who} wants it"
        )


def attach_segment(admin: UnleashAdmin, flag: str, strategy: str, segment: int) -> None:
    """Let a strategy depend on one segment more; doing it twice is doing it once. Raises as above."""
    since = _last(admin, flag)
    admin.attach_segment(flag, strategy, segment)
    _check(admin, flag, Write(strategy, {f"/segments/{segment}": True}, since=since))


def detach_segment(admin: UnleashAdmin, flag: str, strategy: str, segment: int, *, among: int) -> None:
    """Take a segment off a strategy that has `among` of them, and leave the others. Raises as above."""
    since = _last(admin, flag)
    admin.detach_segment(flag, strategy, segment, among=among)
    _check(admin, flag, Write(strategy, {f"/segments/{segment}": None}, since=since))


def change_constraints(
    admin: UnleashAdmin,
    flag: str,
    strategy: str,
    constraints: Sequence[Mapping[str, Any]],
    *,
    seen: Sequence[Mapping[str, Any]],
) -> None:
    """Give a strategy other conditions than those that were `seen`, and nothing else. Raises as above."""
    since = _last(admin, flag)
    admin.change_constraints(flag, strategy, constraints, seen=seen)
    old, new = ({member("constraints", one) for one in each} for each in (seen, constraints))
    moved = dict.fromkeys(new - old, True) | dict.fromkeys(old - new)
    _check(admin, flag, Write(strategy, moved, since=since))


def put_back(admin: UnleashAdmin, flag: str, by: str) -> str | None:
    """What the program `by` has undone and not put back, because it was ended in between; None: nothing.

    Raises:
        NotVerified: it could not be put back.
        AdminError: Unleash does not answer, or not so.
    """
    lines = _lines(admin, flag)
    loss = still_lost(lines, by)
    if loss is None:
        return None
    _put_back(admin, flag, loss)
    _check(admin, flag, Write(loss.strategy, loss.fields, since=lines[-1].id, puts_back=True))
    return f"what {loss.who} had set was put back, which Unleash had overwritten: {loss.words}"


def _check(admin: UnleashAdmin, flag: str, write: Write) -> Loss | None:
    """Put back what a write has undone. Returns what was changed of the very fields that it set."""
    met = None
    for number in range(TRIES):
        lines = _lines(admin, flag)
        if write.since and not lines:  # what its database cannot tell, Unleash calls nothing
            raise UnexpectedAnswer(
                f"{flag} was changed, and Unleash's event log tells nothing of it, so that it is not known"
                " whether a person's change was overwritten: look at the flag in the Unleash UI"
            )
        loss = lost(lines, write)
        if loss is None:
            return met
        if number == 0 and loss.conflict:
            met = loss
        _put_back(admin, flag, loss)
        write = Write(write.strategy, loss.fields, since=lines[-1].id, puts_back=True)
    raise NotVerified(
        f"somebody changes {flag} in {admin.environment} again and again while Canario does: look at its"
        " strategy in the Unleash UI"
    )


def _put_back(admin: UnleashAdmin, flag: str, loss: Loss) -> None:
    log.warning("Unleash overwrote a change of %s on %s (%s): putting it back", loss.who, flag, loss.words)
    try:
        admin.put_back(flag, loss.strategy, loss.patch)
    except NotFound:  # a person has removed the strategy, which is the last word
        log.warning("the strategy of %s is gone", flag)


def _lines(admin: UnleashAdmin, flag: str) -> tuple[Event, ...]:
    return admin.events.of(flag, KINDS, limit=LINES)


def _last(admin: UnleashAdmin, flag: str) -> int:
    """Id of the last line about the flag's strategies; what comes after it has met the write."""
    line = admin.events.last(KINDS, flag=flag)
    return line.id if line else 0

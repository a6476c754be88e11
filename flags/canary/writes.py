"""How Canario changes a strategy: one field, and then a look whether that undid what somebody else did.

Unleash has no locks: what a person saves while a patch of ours is under way is overwritten by Unleash
itself. After each write the event log tells so (flags.canary.overwritten), and what was lost is put back,
by a write that is looked at in the same way. Which line is the write's own is known by Unleash's answer to
it, so that nothing need be read before it. Who sets a field on the strength of what it was finds it as a
person left it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from flags.canary.overwritten import KINDS, Loss, Write, lost, still_lost
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile, NotFound, NotVerified, UnexpectedAnswer
from flags.unleash.fields import fields, member
from flags.unleash.models import Event

TRIES: Final = 5

log = logging.getLogger(__name__)


def change_parameter(  # noqa: PLR0913 - it has a default
    admin: UnleashAdmin, flag: str, strategy: str, parameter: str, value: str, *, seen: str | None = None
) -> tuple[Event, ...]:
    """Set one parameter of one strategy, and nothing else of it; answer what the log says then.

    With `seen`, only if Unleash still has that value; otherwise the last write wins.

    Raises:
        ChangedMeanwhile: the value is no longer `seen`; what somebody set instead is there.
        NotVerified: a person's change was lost, and could not be put back.
        AdminError: Unleash does not answer, or not so.
    """
    return settle(admin, flag, order_parameter(admin, flag, strategy, parameter, value, seen=seen))


def order_parameter(  # noqa: PLR0913 - it has a default
    admin: UnleashAdmin, flag: str, strategy: str, parameter: str, value: str, *, seen: str | None = None
) -> Write:
    """The same but for the look at what it has undone, which is left to `settle`. Raises as above."""
    place = f"/parameters/{parameter}"
    answer = admin.change_parameter(flag, strategy, parameter, value, seen=seen)
    return Write(strategy, {place: value}, {} if seen is None else {place: seen}, fields(answer.root))


def attach_segment(admin: UnleashAdmin, flag: str, strategy: str, segment: int) -> None:
    """Let a strategy depend on one segment more; doing it twice is doing it once. Raises as above."""
    answer = admin.attach_segment(flag, strategy, segment)
    settle(admin, flag, Write(strategy, {f"/segments/{segment}": True}, answer=fields(answer.root)))


def detach_segment(admin: UnleashAdmin, flag: str, strategy: str, segment: int, *, among: int) -> None:
    """Take a segment off a strategy that has `among` of them, and leave the others. Raises as above."""
    answer = admin.detach_segment(flag, strategy, segment, among=among)
    settle(admin, flag, Write(strategy, {f"/segments/{segment}": None}, answer=fields(answer.root)))


def change_constraints(
    admin: UnleashAdmin,
    flag: str,
    strategy: str,
    constraints: Sequence[Mapping[str, Any]],
    *,
    seen: Sequence[Mapping[str, Any]],
) -> None:
    """Give a strategy other conditions than those that were `seen`, and nothing else. Raises as above."""
    answer = admin.change_constraints(flag, strategy, constraints, seen=seen)
    old, new = ({member("constraints", one) for one in each} for each in (seen, constraints))
    moved = dict.fromkeys(new - old, True) | dict.fromkeys(old - new)
    settle(admin, flag, Write(strategy, moved, answer=fields(answer.root)))


def put_back(admin: UnleashAdmin, flag: str, by: str) -> str | None:
    """What the program `by` has undone and not put back, because it was ended in between; None: nothing.

    Raises:
        NotVerified: it could not be put back.
        AdminError: Unleash does not answer, or not so.
    """
    lines = admin.log(flag)
    loss = still_lost(lines, by)
    if loss is None:
        return None
    settle(admin, flag, _put_back(admin, flag, loss, lines))
    return f"what {loss.who} had set was put back, which Unleash had overwritten: {loss.words}"


def settle(admin: UnleashAdmin, flag: str, write: Write) -> tuple[Event, ...]:
    """Put back what a write has undone, and answer what the log says then.

    Raises:
        ChangedMeanwhile: somebody had changed the very field that it set, and has their value again.
        NotVerified, AdminError: as `change_parameter`.
    """
    first, met = write, None
    for number in range(TRIES):
        lines = admin.log(flag)
        # What its database cannot tell, Unleash calls nothing.
        if not any(line.type in KINDS for line in lines):
            raise UnexpectedAnswer(
                f"{flag} was changed, and Unleash's event log tells nothing of it, so that it is not known"
                " whether a person's change was overwritten: look at the flag in the Unleash UI"
            )
        loss = lost(lines, write)
        if loss is None:
            break
        if number == 0 and loss.conflict:
            met = loss
        write = _put_back(admin, flag, loss, lines)
    else:
        raise NotVerified(
            f"somebody changes {flag} in {admin.environment} again and again while Canario does: look at its"
            " strategy in the Unleash UI"
        )
    if met is None:
        return lines
    ((place, seen),) = first.seen.items()
    raise ChangedMeanwhile(
        f"{met.who} changed {flag} in {admin.environment} in the moment in which"
        f" {place.rpartition('/')[2]} was set from {seen} to {first.fields[place]} ({met.words}): it is"
        f" {met.fields[place]}, as {met.who} wants it"
    )


def _put_back(admin: UnleashAdmin, flag: str, loss: Loss, lines: Sequence[Event]) -> Write:
    log.warning("Unleash overwrote a change of %s on %s (%s): putting it back", loss.who, flag, loss.words)
    try:
        admin.put_back(flag, loss.strategy, loss.patch)
    except NotFound:  # a person has removed the strategy, which is the last word
        log.warning("the strategy of %s is gone", flag)
    since = max(line.id for line in lines if line.type in KINDS)
    return Write(loss.strategy, loss.fields, since=since, puts_back=True)

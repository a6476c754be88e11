"""A stack that people use, before and after a drill: what stands in its way, and the flag as it was found."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.errors import CanarioError
from common.model_store import ModelStore
from drills.target import Target
from flags.admin import UnleashAdmin
from flags.canary import CanaryState, read_state, set_share, turn_off, turn_on
from flags.marks import BEGIN, PAUSE
from flags.models import Tag
from flags.people import held, history, resume
from flags.quarantine import LIFT, QUARANTINE, ROLLED_BACK, TYPES
from stack.api import Stack

WHY = "it was a drill"
MARK_SECONDS = 10.0  # the job marks the version in the background, moments after the flag is off
NEEDED = ("unleash", "prometheus", "service", "rollback")
OURS = frozenset({"canario-flags", "canario-rollback"})
HERE = "python3 -m stack exec python -m flags"

Tell = Callable[[str], None]


class InTheWayError(CanarioError):
    """A drill would not show what it is to show; the text has a line for each reason, and what helps."""


def require_free_way(stack: Stack, target: Target) -> None:
    """Look, in a second, whether the drill can work.

    Raises:
        InTheWayError: it cannot, or would disturb a rollout.
        AdminError: Unleash does not answer.
    """
    found = [*_of_stack(stack), *_of_flag(target)]
    if found:
        raise InTheWayError("\n".join(["this stands in its way:", *(f"  - {each}" for each in found)]))


def _of_stack(stack: Stack) -> Iterator[str]:
    running = {each.name for each in stack.status() if each.pid}
    for name in NEEDED:
        if name not in running:
            yield f"{name} does not run: `make up`"
    try:
        release = ModelStore(stack.site.home.models).read()
    except CanarioError as error:
        yield f"{error}: `make up`"
    else:
        if release.roles.challenger is None:
            yield f"there is no challenger: `{HERE} models challenger FOLDER`"


def _of_flag(target: Target) -> Iterator[str]:
    state, page = read_state(target.admin, target.flag), _page(target)
    if state.trouble:
        yield state.trouble
        return
    for each in state.constraints:
        yield f"{target.flag} is only for users where {each}: take the constraint off at {page}"
    lease = 1 if state.lease_until is not None else 0
    if len(state.segments) > lease:  # the lease is one
        yield f"{target.flag} is only for users of a segment: take it off the strategy at {page}"
    marks = {(each.type, each.value) for each in target.admin.tags.of(target.flag)}
    begun = sorted(value for kind, value in marks if kind == BEGIN)
    if begun and not any(kind == PAUSE for kind, _ in marks) and state.exposed:
        pause = f'`{HERE} rollout pause --reason "a drill"`'
        yield f"the rollout of {begun[0]} is under way, and the plan would raise the share meanwhile: {pause}"


def _page(target: Target) -> str:
    return f"{target.admin.url}/projects/{target.admin.project}/features/{target.flag}"


@dataclass(frozen=True)
class Found:
    """A flag before a drill."""

    state: CanaryState
    was_held: bool

    @classmethod
    def of(cls, admin: UnleashAdmin, flag: str) -> "Found":
        """Raises AdminError."""
        return cls(read_state(admin, flag), held(history(admin, flag)) is not None)

    def bring_back(self, admin: UnleashAdmin, *, rolled_back: bool) -> None:
        """Share, switch, blocked versions and holds. What a person changed meanwhile stays.

        Args:
            rolled_back: the job took the challenger away, so that its mark is to come.

        Raises:
            InTheWayError: somebody changed the flag. AdminError, FlagError: it cannot be brought back.
        """
        before, flag = self.state, self.state.flag
        self._lift(admin, wait=MARK_SECONDS if rolled_back else 0.0)
        now = read_state(admin, flag)
        if (now.percent, now.enabled) != (before.percent, before.enabled):
            if now.changed_by not in OURS:
                words = now.change_in_words or now.change
                raise InTheWayError(f"{now.changed_by} changed {flag} meanwhile ({words}), and that stays")
            if not before.enabled:
                turn_off(admin, flag)
            if before.percent is not None and now.percent != before.percent:
                set_share(admin, flag, before.percent, enable=False, expect=now.percent, override=WHY)
            if before.enabled:
                turn_on(admin, flag, override=WHY)
        if not self.was_held and held(history(admin, flag)):
            resume(admin, flag, WHY)

    def _lift(self, admin: UnleashAdmin, *, wait: float) -> None:
        """Take off the marks that the drill brought, and only those."""
        end = time.monotonic() + wait
        while True:
            tags = admin.tags.of(self.state.flag)
            new = [
                each for each in tags if each.type == QUARANTINE and each.value not in self.state.quarantined
            ]
            if new or self.state.quarantined or time.monotonic() >= end:
                break
            time.sleep(0.2)
        if new:
            admin.tags.ensure_type(LIFT, *TYPES[LIFT])
            stale = [each for each in tags if each.type in {LIFT, ROLLED_BACK}]
            admin.tags.change(self.state.flag, add=[Tag(type=LIFT, value=WHY)], remove=[*new, *stale])


def as_typed(found: Found) -> str:
    """What a person types to have the flag as it was."""
    before = found.state
    switch = "on" if before.enabled else "off"
    return (
        f'{HERE} lift {before.flag} --reason "{WHY}"; {HERE} set {before.flag} {before.percent}'
        f" --no-enable; {HERE} {switch} {before.flag}"
    )


@contextmanager
def as_found(target: Target, tell: Tell) -> Iterator[None]:
    """The flag as it was found, also after a failure, Ctrl-C, SIGTERM and a closed terminal."""
    found = Found.of(target.admin, target.flag)
    ends = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
    try:
        yield
    finally:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)  # no second Ctrl-C cuts it short
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        try:
            target.switch_fault_off()
            now = read_state(target.admin, target.flag)
            found.bring_back(target.admin, rolled_back=now.changed_by == target.job)
            tell(f"{target.flag} is as it was found: {_told(found.state)}")
        except CanarioError as error:
            tell(f"{target.flag} is NOT as it was found: {error}. To have it so: {as_typed(found)}")
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _told(state: CanaryState) -> str:
    lift = f'`{HERE} lift {state.flag} --reason "..."` would lift it'
    blocked = f"; {', '.join(state.quarantined)} was blocked before: {lift}" if state.quarantined else ""
    return f"{'on' if state.enabled else 'off'}, {state.percent}%, no version blocked by it{blocked}"

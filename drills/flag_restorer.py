"""Flags as they were found: what the demo and the story change is brought back, whatever happens in between.

A change is in the notebook before it is made, so that the next run can bring back what one that was killed
has left. A change by somebody else meanwhile stays, and what to type to have the flag as found is told.
"""

import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from common.errors import CanarioError
from drills.notes import FlagNotes, Notebook, Notes, Run, opened
from drills.target import HERE, Target, require_free_way
from flags.canary.exclude import ExcludedUsers, exclude, include
from flags.canary.history import held, history
from flags.canary.marks import QUARANTINE, lift, resume, values
from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.canary.state import CanaryState
from stack.api import Stack

WHY = "it was a drill"
TRAFFIC = "traffic"
MARK_SECONDS = 10.0  # the job marks the version in the background, moments after the flag is off
OURS = frozenset({"canario-flags", "canario-rollback", None})  # the job renews the safety timeout

Tell = Callable[[str], None]


class LeftBehindError(CanarioError):
    """What an earlier run has left cannot be brought back."""


class ChangedByOthersError(CanarioError):
    """Somebody else changed the flag, and that stays."""


@dataclass
class Restored:
    """What came of bringing back.

    Attributes:
        told: a sentence for all that is not as it was found.
        failed: whether something could not be brought back, so that it is worth another attempt.
    """

    told: list[str] = field(default_factory=list)
    failed: bool = False


class FlagRestorer:
    """Changes flags for a run, and brings them back."""

    def __init__(self, target: Target, notebook: Notebook, notes: Notes) -> None:
        self._target, self._admin = target, target.admin
        self._notebook, self._notes = notebook, notes

    def share(self, name: str, percent: int) -> None:
        """Give the flag this share. An earlier run may have left the version blocked."""
        flag = self._notes.flags[name]
        self._note(name, ours=percent, before=flag.percent if flag.ours is None else flag.ours)
        set_share(self._admin, name, percent, override=WHY)

    def exclude(self, name: str, countries: Collection[str]) -> None:
        """Keep these countries with the champion. Raises FlagError, AdminError."""
        self._note(name, excluded=tuple(sorted(countries)))
        exclude(self._admin, name, _users(countries))

    def changed_by_others(self, name: str) -> str | None:
        """Who turned the flag off or changed its share since the run's last change; None: nobody."""
        state, ours = read_state(self._admin, name), self._notes.flags[name].ours
        if state.percent == ours and (state.enabled or ours == 0):
            return None
        return f"{state.changed_by} changed {name}: {state.change_in_words or state.change}"

    def restore(self, stack: Stack) -> Restored:
        """Bring back what the run changed. Never raises CanarioError."""
        done = Restored()
        self._target.switch_fault_off()
        for name, flag in self._notes.flags.items():
            if flag.ours is None and not flag.excluded:
                continue
            # The constraint after the share, so that nobody gets the challenger by it for a moment.
            for back in (self._restore_share, self._include):
                try:
                    back(name, flag)
                except CanarioError as error:
                    done.failed |= not isinstance(error, ChangedByOthersError)
                    done.told.append(
                        f"{name} is NOT as it was found: {error}. As found: {self._as_typed(name)}"
                    )
        if self._notes.traffic and not _runs(stack, TRAFFIC):
            try:
                stack.start(TRAFFIC)
            except CanarioError as error:
                done.told.append(f"the sample traffic does not start again: {error}")
                done.failed = True
        if not done.failed:
            self._notebook.clear()
        return done

    def as_found(self) -> Iterator[str]:
        """A sentence for each flag once it is brought back."""
        for name, flag in self._notes.flags.items():
            lift = f'`{HERE} lift {name} --reason "..."` would lift it'
            blocked = f"; {', '.join(flag.blocked)} was blocked before: {lift}" if flag.blocked else ""
            switch = "on" if flag.enabled else "off"
            yield f"{name} is as it was found: {switch}, {flag.percent}%, no version blocked by it{blocked}"
        if self._notes.traffic:
            yield "The sample traffic goes on."

    def _note(self, name: str, **changes: object) -> None:
        flag = self._notes.flags[name].model_copy(update=changes)
        self._notes = self._notes.model_copy(update={"flags": self._notes.flags | {name: flag}})
        self._notebook.write(self._notes)

    def _restore_share(self, name: str, flag: FlagNotes) -> None:
        """Blocked versions, switch, share and hold. Raises ChangedByOthersError, FlagError, AdminError."""
        if flag.ours is None:
            return
        state = read_state(self._admin, name)
        if self._notes.rolled_back_by:
            self._lift(name, flag, wait=MARK_SECONDS if self._is_rolled_back(state) else 0.0)
        if (state.percent, state.enabled) != (flag.percent, flag.enabled):
            self._require_ours(state, flag)
            if state.enabled and not flag.enabled:
                turn_off(self._admin, name)
            if state.percent != flag.percent:
                set_share(self._admin, name, flag.percent, enable=False, expect=state.percent, override=WHY)
            if flag.enabled and not state.enabled:
                turn_on(self._admin, name, override=WHY)
        if not flag.was_held and held(history(self._admin, name)):
            resume(self._admin, name, WHY)

    def _is_rolled_back(self, state: CanaryState) -> bool:
        return not state.enabled and state.changed_by == self._notes.rolled_back_by

    def _require_ours(self, state: CanaryState, flag: FlagNotes) -> None:
        """Raises ChangedByOthersError: what the flag is now, neither the run nor its rollback made."""
        shares = {flag.ours, flag.before}  # killed in the middle of a change, it left the one before
        turned_off = flag.enabled and not state.enabled and not self._is_rolled_back(state)
        if state.changed_by not in OURS or state.percent not in shares or turned_off:
            words = state.change_in_words or state.change
            raise ChangedByOthersError(
                f"{state.changed_by} changed {state.flag} meanwhile ({words}), so it stays as it is"
            )

    def _lift(self, name: str, flag: FlagNotes, *, wait: float) -> None:
        """Take off the marks that the run's rollback brought, and only those."""
        end = time.monotonic() + wait
        while not {*values(self._admin.tags.of(name), QUARANTINE)} - {*flag.blocked}:
            if flag.blocked or time.monotonic() >= end:
                return
            time.sleep(0.2)
        lift(self._admin, name, WHY, keep=flag.blocked)

    def _include(self, name: str, flag: FlagNotes) -> None:
        """Take our constraint off. Raises FlagError, AdminError."""
        if flag.excluded:
            include(self._admin, name, _users(flag.excluded), override=WHY)

    def _as_typed(self, name: str) -> str:
        """What a person types to have the flag as it was."""
        flag = self._notes.flags[name]
        lift = f'{HERE} lift {name} --reason "{WHY}"; ' if self._notes.rolled_back_by else ""
        users = " ".join(map(str, _users(flag.excluded)))
        let_in = f"; {HERE} include {name} {users}" if users else ""
        switch = "on" if flag.enabled else "off"
        return f"{lift}{HERE} set {name} {flag.percent} --no-enable; {HERE} {switch} {name}{let_in}"


@contextmanager
def flags_restored(  # noqa: PLR0913 - each of another kind
    stack: Stack,
    target: Target,
    tell: Tell,
    run: Run,
    *,
    names: tuple[str, ...],
    silent: bool = False,
    rolled_back_by: str | None = None,
) -> Iterator[FlagRestorer]:
    """Flags to change; brought back at the end, also of a failure, Ctrl-C, SIGTERM and a closed terminal.

    First comes back what an earlier run that was killed has left.

    Args:
        names: of the flags.
        silent: stop the sample traffic meanwhile.
        rolled_back_by: the user whose rollback is part of the run, and brought back too.

    Raises:
        NotesError, ConfigError: another run is under way, or notes cannot be kept or read.
        LeftBehindError: what was left cannot be brought back now.
        InTheWayError, FlagError: the run would not show what it is to show; nothing was changed.
        AdminError: Unleash does not answer.
    """
    with opened(notes_folder(stack)) as notebook:
        bring_back(stack, target, notebook, tell)
        require_free_way(stack, target)
        notes = Notes(
            run=run,
            begun=datetime.now(UTC),
            traffic=silent and _runs(stack, TRAFFIC),
            rolled_back_by=rolled_back_by,
            flags={name: FlagNotes.found(target.admin, name) for name in names},
        )
        notebook.write(notes)
        restorer = FlagRestorer(target, notebook, notes)
        ends = (signal.SIGTERM, signal.SIGHUP)  # a closed terminal is one, too
        before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
        try:
            if notes.traffic:
                stack.stop(TRAFFIC)
            yield restorer
        finally:
            # To bring back takes a moment, and nobody's second Ctrl-C shall cut it short.
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in ends:
                signal.signal(number, signal.SIG_IGN)
            for each in restorer.restore(stack).told or restorer.as_found():
                tell(each)
            for number, handler in before.items():
                signal.signal(number, handler)


def bring_back(stack: Stack, target: Target, notebook: Notebook, tell: Tell) -> bool:
    """What a run that was killed has left; whether there was anything.

    Raises:
        LeftBehindError: it cannot be brought back now.
        ConfigError: its notes cannot be read.
    """
    left = notebook.left()
    if left is None:
        return False
    tell(f"The {left.run} of {left.begun:%Y-%m-%d %H:%M} UTC was killed in its middle; its changes go back:")
    restorer = FlagRestorer(target, notebook, left)
    done = restorer.restore(stack)
    if done.failed:
        raise LeftBehindError(f"{'. '.join(done.told)}. What it had found is in {notebook.path}")
    for each in done.told or restorer.as_found():
        tell(each)
    return True


def notes_folder(stack: Stack) -> Path:
    """Where the notes of the stack's runs lie, and the pages of its stories."""
    return stack.site.home.data / "story"


def _users(countries: Collection[str]) -> list[ExcludedUsers]:
    return [ExcludedUsers("country", each) for each in sorted(countries)]


def _runs(stack: Stack, program: str) -> bool:
    return any(each.name == program and each.pid for each in stack.status())

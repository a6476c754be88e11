"""The flag as it was found: what the demo changes is brought back, whatever happens in between.

A change is in the notebook before it is made, so that the next run can bring back what one that was killed
has left. A change by somebody else meanwhile stays, and what to type to have the flag as found is told.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from common.errors import CanarioError
from drills.notes import FlagNotes, Notebook, Notes, opened
from drills.target import HERE, Target, require_free_way
from flags.canary.history import held, history
from flags.canary.marks import QUARANTINE, lift, resume, values
from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.canary.state import CanaryState
from stack.api import Stack

WHY = "it was a drill"
MARK_SECONDS = 10.0  # the job marks the version in the background, moments after the flag is off
OURS = frozenset({"canario-flags", "canario-rollback", None})  # the job renews the safety timeout

Tell = Callable[[str], None]


class LeftBehindError(CanarioError):
    """What an earlier run has left cannot be brought back."""


class ChangedByOthersError(CanarioError):
    """Somebody else changed the flag, and that stays."""


@dataclass(frozen=True)
class Restored:
    """What came of bringing back, in a sentence; `failed`: it is worth another attempt."""

    told: str
    failed: bool = False


class FlagRestorer:
    """Changes the flag for a run, and brings it back."""

    def __init__(self, target: Target, notebook: Notebook, notes: Notes) -> None:
        self._target, self._admin, self._flag = target, target.admin, target.flag
        self._notebook, self._notes = notebook, notes

    def share(self, percent: int) -> None:
        """Give the flag this share. An earlier run may have left the version blocked."""
        notes = self._notes
        before = notes.found.percent if notes.ours is None else notes.ours
        self._notes = notes.model_copy(update={"ours": percent, "before": before})
        self._notebook.write(self._notes)
        set_share(self._admin, self._flag, percent, override=WHY)

    def restore(self) -> Restored:
        """Bring back what the run changed, its rollback too. Never raises CanarioError."""
        self._target.switch_fault_off()
        try:
            self._restore_flag()
        except CanarioError as error:
            told = f"{self._flag} is NOT as it was found: {error}. As found: {self._as_typed()}"
            done = Restored(told, failed=not isinstance(error, ChangedByOthersError))
        else:
            done = Restored(self._as_found())
        if not done.failed:
            self._notebook.clear()
        return done

    def _as_found(self) -> str:
        found = self._notes.found
        lift = f'`{HERE} lift {self._flag} --reason "..."` would lift it'
        blocked = f"; {', '.join(found.blocked)} was blocked before: {lift}" if found.blocked else ""
        switch = "on" if found.enabled else "off"
        return (
            f"{self._flag} is as it was found: {switch}, {found.percent}%, no version blocked by it{blocked}"
        )

    def _restore_flag(self) -> None:
        """Blocked versions, switch, share and hold. Raises ChangedByOthersError, FlagError, AdminError."""
        found, name = self._notes.found, self._flag
        if self._notes.ours is None:
            return
        state = read_state(self._admin, name)
        self._lift(wait=MARK_SECONDS if self._is_rolled_back(state) else 0.0)
        if (state.percent, state.enabled) != (found.percent, found.enabled):
            self._require_ours(state)
            if state.enabled and not found.enabled:
                turn_off(self._admin, name)
            if state.percent != found.percent:
                set_share(self._admin, name, found.percent, enable=False, expect=state.percent, override=WHY)
            if found.enabled and not state.enabled:
                turn_on(self._admin, name, override=WHY)
        if not found.was_held and held(history(self._admin, name)):
            resume(self._admin, name, WHY)

    def _is_rolled_back(self, state: CanaryState) -> bool:
        return not state.enabled and state.changed_by == self._target.job

    def _require_ours(self, state: CanaryState) -> None:
        """Raises ChangedByOthersError: what the flag is now, neither the run nor its rollback made."""
        shares = {self._notes.ours, self._notes.before}  # killed in the middle of a change, it left this
        turned_off = self._notes.found.enabled and not state.enabled and not self._is_rolled_back(state)
        if state.changed_by not in OURS or state.percent not in shares or turned_off:
            words = state.change_in_words or state.change
            raise ChangedByOthersError(
                f"{state.changed_by} changed {state.flag} meanwhile ({words}), so it stays as it is"
            )

    def _lift(self, *, wait: float) -> None:
        """Take off the marks that the run's rollback brought, and only those."""
        end, blocked = time.monotonic() + wait, self._notes.found.blocked
        while not {*values(self._admin.tags.of(self._flag), QUARANTINE)} - {*blocked}:
            if blocked or time.monotonic() >= end:
                return
            time.sleep(0.2)
        lift(self._admin, self._flag, WHY, keep=blocked)

    def _as_typed(self) -> str:
        """What a person types to have the flag as it was."""
        name, found = self._flag, self._notes.found
        switch = "on" if found.enabled else "off"
        lift = f'{HERE} lift {name} --reason "{WHY}"'
        return f"{lift}; {HERE} set {name} {found.percent} --no-enable; {HERE} {switch} {name}"


@contextmanager
def flag_restored(stack: Stack, target: Target, tell: Tell) -> Iterator[FlagRestorer]:
    """A flag to change; brought back at the end, also of a failure, Ctrl-C, SIGTERM and a closed terminal.

    First comes back what an earlier run that was killed has left.

    Raises:
        NotesError, ConfigError: another run is under way, or notes cannot be kept or read.
        LeftBehindError: what was left cannot be brought back now.
        InTheWayError, FlagError: the run would not show what it is to show; nothing was changed.
        AdminError: Unleash does not answer.
    """
    with opened(notes_folder(stack)) as notebook:
        bring_back(target, notebook, tell)
        require_free_way(stack, target)
        notes = Notes(begun=datetime.now(UTC), found=FlagNotes.of(target.admin, target.flag))
        notebook.write(notes)
        restorer = FlagRestorer(target, notebook, notes)
        ends = (signal.SIGTERM, signal.SIGHUP)  # a closed terminal is one, too
        before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
        try:
            yield restorer
        finally:
            # To bring back takes a moment, and nobody's second Ctrl-C shall cut it short.
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
            for number in ends:
                signal.signal(number, signal.SIG_IGN)
            tell(restorer.restore().told)
            for number, handler in before.items():
                signal.signal(number, handler)


def bring_back(target: Target, notebook: Notebook, tell: Tell) -> bool:
    """What a run that was killed has left; whether there was anything.

    Raises:
        LeftBehindError: it cannot be brought back now.
        ConfigError: its notes cannot be read.
    """
    left = notebook.left()
    if left is None:
        return False
    tell(f"The demo of {left.begun:%Y-%m-%d %H:%M} UTC was killed in its middle; its changes go back:")
    done = FlagRestorer(target, notebook, left).restore()
    if done.failed:
        raise LeftBehindError(f"{done.told}. What it had found is in {notebook.path}")
    tell(done.told)
    return True


def notes_folder(stack: Stack) -> Path:
    """Where the notes of the stack's demos lie."""
    return stack.site.home.data / "demo"

"""The flags as they were found, whatever happens in between; a change by somebody else meanwhile stays."""

import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from common.errors import CanarioError
from drills.story.notes import FlagNotes, Notebook, Notes
from drills.story.tools import Tools
from drills.target import Target
from flags.admin import UnleashAdmin
from flags.canary import read_state, set_share, turn_off
from flags.errors import FlagError
from flags.people import held, history, resume
from stack.api import Stack

WHY = "the story of make story"
SHADOW = "shadow"
TRAFFIC = "traffic"
AS_FOUND = "The flags are as they were found, and the sample traffic goes on."


class LeftBehindError(CanarioError):
    """What an earlier story has left cannot be brought back."""


@dataclass
class Restored:
    """What came of bringing back.

    Attributes:
        told: a sentence for all that is not as it was found.
        failed: whether something could not be brought back, so that it is worth another attempt.
    """

    told: list[str] = field(default_factory=list)
    failed: bool = False


class Keeper:
    """Changes flags for the story, and brings them back; a change is in the notebook before it is made."""

    def __init__(self, admin: UnleashAdmin, tools: Tools, notebook: Notebook, notes: Notes) -> None:
        self._admin, self._tools, self._notebook, self._notes = admin, tools, notebook, notes

    @classmethod
    def found(
        cls, admin: UnleashAdmin, tools: Tools, notebook: Notebook, names: tuple[str, ...], *, traffic: bool
    ) -> Self:
        """Of the flags as they are now.

        Raises:
            FlagError: a flag's share does not mean what it says, so that the story would tell nonsense.
            AdminError: Unleash does not answer, or not so.
            NotesError: they cannot be kept.
        """
        flags = {name: _read(admin, name) for name in names}
        notes = Notes(begun=datetime.now(UTC), traffic=traffic, flags=flags)
        notebook.write(notes)
        return cls(admin, tools, notebook, notes)

    def share(self, name: str, percent: int) -> None:
        """Give the flag this share. An earlier drill may have put the version in quarantine."""
        flag = self._notes.flags[name]
        self._note(name, ours=percent, before=flag.percent if flag.ours is None else flag.ours)
        set_share(self._admin, name, percent, override=WHY)

    def exclude(self, name: str, countries: Collection[str]) -> None:
        """Keep these countries with the champion. Raises ToolError."""
        self._note(name, excluded=tuple(sorted(countries)))
        self._tools.flags("exclude", name, *_users(countries))

    def taken_away(self, name: str) -> str | None:
        """Who turned the flag off or changed its share since the story's last change; None: nobody."""
        state, ours = read_state(self._admin, name), self._notes.flags[name].ours
        if state.percent == ours and (state.enabled or ours == 0):
            return None
        return f"{state.changed_by} changed {name}: {state.change_in_words or state.change}"

    def restore(self, stack: Stack) -> Restored:
        """Bring back what the story changed. Never raises CanarioError."""
        done = Restored()
        for name in self._notes.flags:
            # The constraint after the share, so that nobody gets the challenger by it for a moment.
            for back in (self._restore, self._include):
                done.told.extend(back(name, done))
        if self._notes.traffic and not _runs(stack, TRAFFIC):
            try:
                stack.start(TRAFFIC)
            except CanarioError as error:
                done.told.append(f"the sample traffic does not start again: {error}")
                done.failed = True
        if not done.failed:
            self._notebook.clear()
        return done

    def _note(self, name: str, **changes: object) -> None:
        flag = self._notes.flags[name].model_copy(update=changes)
        self._notes = self._notes.model_copy(update={"flags": self._notes.flags | {name: flag}})
        self._notebook.write(self._notes)

    def _restore(self, name: str, done: Restored) -> Iterator[str]:
        flag = self._notes.flags[name]
        if flag.ours is None:
            return
        back = f"python3 -m stack exec python -m flags set {name} {flag.percent}"
        try:
            state = read_state(self._admin, name)
            as_found = (state.percent, state.enabled) == (flag.percent, flag.enabled)
            shares = {flag.ours, flag.before}  # killed in the middle of a change, it left the one before
            if not as_found and (
                state.percent not in shares or not (state.enabled or not state.percent or not flag.enabled)
            ):
                words = state.change_in_words or state.change
                yield f"{state.changed_by} changed {name}: {words}, so it stays as it is. As found: {back}"
                return
            if not flag.enabled:
                turn_off(self._admin, name)
            if state.percent != flag.percent:
                set_share(self._admin, name, flag.percent, enable=False, expect=state.percent, override=WHY)
            if not flag.was_held and held(history(self._admin, name)):
                resume(self._admin, name, WHY)
        except CanarioError as error:
            done.failed = True
            yield f"{name} was not brought back ({error}). As it was found: {back}"

    def _include(self, name: str, done: Restored) -> Iterator[str]:
        """Take our constraint off."""
        if countries := self._notes.flags[name].excluded:
            try:
                self._tools.flags("include", name, *_users(countries), "--override", WHY)
            except CanarioError as error:
                done.failed = True
                yield f"{name} still has the constraint of the story ({error}): take it off in Unleash"


def _read(admin: UnleashAdmin, name: str) -> FlagNotes:
    state = read_state(admin, name)
    if state.percent is None or state.trouble or state.constraints:
        why = state.trouble or (
            f"its share is narrowed by {', '.join(state.constraints)}"
            if state.constraints
            else "it has no one gradual rollout"
        )
        raise FlagError(f"the flag {name} cannot be used for the story: {why}. Mend it in Unleash first")
    was_held = held(history(admin, name)) is not None
    return FlagNotes(percent=state.percent, enabled=state.enabled, was_held=was_held)


def _users(countries: Collection[str]) -> list[str]:
    """As `flags exclude` takes them."""
    return [f"country={each}" for each in sorted(countries)]


def _runs(stack: Stack, program: str) -> bool:
    return any(each.name == program and each.pid for each in stack.status())


def bring_back(
    target: Target, stack: Stack, tools: Tools, notebook: Notebook, tell: Callable[[str], None]
) -> bool:
    """What a story that was killed has left; whether there was anything.

    Raises:
        LeftBehindError: it cannot be brought back now.
        ConfigError: its notes cannot be read.
    """
    left = notebook.left()
    if left is None:
        return False
    tell(f"The story of {left.begun:%Y-%m-%d %H:%M} UTC was killed in its middle. First its changes go back:")
    done = Keeper(target.admin, tools, notebook, left).restore(stack)
    if done.failed:
        raise LeftBehindError(f"{'. '.join(done.told)}. What it had found is in {notebook.path}")
    for each in done.told or [AS_FOUND]:
        tell(each)
    return True


@contextmanager
def kept(
    target: Target, stack: Stack, tools: Tools, notebook: Notebook, tell: Callable[[str], None]
) -> Iterator[Keeper]:
    """The canary and shadow flags to change; brought back at the end, also of Ctrl-C, SIGTERM and failures.

    The sample traffic is silent meanwhile: the story is about its own users.

    Raises:
        FlagError, AdminError, NotesError: see Keeper; nothing was changed.
    """
    had_traffic = _runs(stack, TRAFFIC)
    keeper = Keeper.found(target.admin, tools, notebook, (target.flag, SHADOW), traffic=had_traffic)
    ends = (signal.SIGTERM, signal.SIGHUP)  # a closed terminal is one, too
    before = {number: signal.signal(number, signal.default_int_handler) for number in ends}
    try:
        if had_traffic:
            stack.stop(TRAFFIC)
        yield keeper
    finally:
        # To bring back takes a moment, and nobody's second Ctrl-C shall cut it short.
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        for each in keeper.restore(stack).told or [AS_FOUND]:
            tell(each)
        for number, handler in before.items():
            signal.signal(number, handler)

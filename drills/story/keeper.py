"""The flags as they were found, whatever happens in between; a change by somebody else meanwhile stays."""

import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from common.errors import CanarioError
from drills.story.tools import Tools
from drills.target import Target
from flags.admin import UnleashAdmin
from flags.canary import CanaryState, read_state, set_share, turn_off
from flags.errors import FlagError
from flags.people import held, history, resume
from stack.api import Stack

WHY = "the story of make story"
SHADOW = "shadow"
TRAFFIC = "traffic"


@dataclass
class Flag:
    """One flag during the story.

    Attributes:
        found: as it was.
        was_held: a person had lowered it, and nobody had raised it since.
        ours: the share that the story gave it last; None before it gave any.
        excluded: countries that the story keeps with the champion.
    """

    found: CanaryState
    was_held: bool
    ours: int | None = None
    excluded: frozenset[str] = frozenset()


class Keeper:
    """Changes flags for the story, and brings them back."""

    def __init__(self, admin: UnleashAdmin, names: tuple[str, ...], tools: Tools) -> None:
        """Raises:
        FlagError: a flag's share does not mean what it says, so that the story would tell nonsense.
        AdminError: Unleash does not answer, or not so.
        """
        self._admin, self._tools = admin, tools
        self._flags = {name: self._read(name) for name in names}

    def share(self, name: str, percent: int) -> None:
        """Give the flag this share. An earlier drill may have put the version in quarantine."""
        set_share(self._admin, name, percent, override=WHY)
        self._flags[name].ours = percent

    def exclude(self, name: str, countries: Collection[str]) -> None:
        """Keep these countries with the champion. Raises ToolError."""
        self._flags[name].excluded = frozenset(countries)
        self._tools.flags("exclude", name, *_users(countries))

    def taken_away(self, name: str) -> str | None:
        """Who turned the flag off or changed its share since the story's last change; None: nobody."""
        state, ours = read_state(self._admin, name), self._flags[name].ours
        if state.percent == ours and (state.enabled or ours == 0):
            return None
        return f"{state.changed_by} changed {name}: {state.change_in_words or state.change}"

    def restore(self) -> list[str]:
        """Bring back what the story changed; a sentence for all that did not. Never raises CanarioError."""
        each = (self._restore, self._include)
        return [sentence for name in self._flags for back in each for sentence in back(name)]

    def _read(self, name: str) -> Flag:
        state = read_state(self._admin, name)
        if state.percent is None or state.trouble or state.constraints:
            why = state.trouble or (
                f"its share is narrowed by {', '.join(state.constraints)}"
                if state.constraints
                else "it has no one gradual rollout"
            )
            raise FlagError(f"the flag {name} cannot be used for the story: {why}. Mend it in Unleash first")
        return Flag(state, held(history(self._admin, name)) is not None)

    def _restore(self, name: str) -> Iterator[str]:
        flag = self._flags[name]
        if flag.ours is None:
            return
        found, back = flag.found, f"python3 -m stack exec python -m flags set {name} {flag.found.percent}"
        try:
            other = self.taken_away(name)
            if other:
                yield f"{other}, so it stays as it is now. As it was found: {back}"
                return
            if not found.enabled:
                turn_off(self._admin, name)
            set_share(self._admin, name, found.percent or 0, enable=False, expect=flag.ours, override=WHY)
            if not flag.was_held and held(history(self._admin, name)):
                resume(self._admin, name, WHY)
        except CanarioError as error:
            yield f"{name} was not brought back ({error}). As it was found: {back}"

    def _include(self, name: str) -> Iterator[str]:
        """Take our constraint off, after the share, so that nobody gets the challenger by it for a moment."""
        if countries := self._flags[name].excluded:
            try:
                self._tools.flags("include", name, *_users(countries), "--override", WHY)
            except CanarioError as error:
                yield f"{name} still has the constraint of the story ({error}): take it off in Unleash"


def _users(countries: Collection[str]) -> list[str]:
    """As `flags exclude` takes them."""
    return [f"country={each}" for each in sorted(countries)]


@contextmanager
def kept(target: Target, stack: Stack, tools: Tools, tell: Callable[[str], None]) -> Iterator[Keeper]:
    """The canary and shadow flags to change; brought back at the end, also of Ctrl-C, SIGTERM and failures.

    The sample traffic is silent meanwhile: the story is about its own users.

    Raises:
        FlagError, AdminError: see Keeper; nothing was changed.
    """
    keeper = Keeper(target.admin, (target.flag, SHADOW), tools)
    had_traffic = any(each.name == TRAFFIC and each.pid for each in stack.status())
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if had_traffic:
            stack.stop(TRAFFIC)
        yield keeper
    finally:
        ctrl_c = signal.signal(signal.SIGINT, signal.SIG_IGN)  # to bring back takes a moment
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        troubles = keeper.restore()
        if had_traffic:
            try:
                stack.start(TRAFFIC)
            except CanarioError as error:
                troubles.append(f"the sample traffic does not start again: {error}")
        for each in troubles or ["The flags are as they were found, and the sample traffic goes on."]:
            tell(each)
        signal.signal(signal.SIGINT, ctrl_c)
        signal.signal(signal.SIGTERM, before)

"""One iteration over one route: read it, decide, write it, read it back, tell.

Nothing is remembered but what was written last, by which a person's edit is known from a change of the flag.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any, Final, Protocol

from flags.mesh.errors import Conflict, NotTaken
from flags.mesh.routes import Edits
from flags.mesh.wanted import Wanted
from flags.mesh.weights import Weights

ATTEMPTS: Final = 5
TOLD_EVERY_SECONDS: Final = 60.0  # where somebody undoes each change, as a tool does that applies Git


class Cause(StrEnum):
    """Why weights were changed."""

    SHARE = "share"  # the flag says something else than before
    EDIT = "edit"  # somebody else had changed them
    ENDPOINTS = "endpoints"  # an arm has no ready endpoints, or has some again


@dataclass(frozen=True)
class Reading:
    """A route as it is.

    Attributes:
        weights: of each rule that has both arms.
        by: who changed it last, as far as that can be told.
        document: what was read, to be changed and put back.
        obstacle: why requests cannot be copied in it; "" where they can, or none are to be.
    """

    weights: tuple[Weights, ...]
    by: str = ""
    document: Any = field(default=None, repr=False, compare=False)
    obstacle: str = ""


@dataclass(frozen=True)
class Ready:
    """Ready endpoints of both arms; None where they are not counted.

    Attributes:
        fault: why they could not be counted, where they should be.
    """

    champion: int | None = None
    challenger: int | None = None
    fault: str | None = None


class Route(Protocol):
    """What holds weights."""

    @property
    def title(self) -> str:
        """For people."""

    @property
    def edits(self) -> Edits:
        """What is done about somebody else's change."""

    def read(self) -> Reading:
        """As it is now. Raises RouteError."""

    def write(self, seen: Reading, weights: tuple[Weights, ...]) -> Reading:
        """Change `seen` to these weights; what was then stored.

        Raises:
            Conflict: somebody changed it since it was read. RouteError: nothing is known to be written.
        """

    def ready(self) -> Ready:
        """Endpoints of both arms. Raises nothing."""

    def tell(self, reason: str, note: str, *, warning: bool) -> None:
        """Where people look who look at the route. Raises nothing."""


@dataclass
class Memory:
    """What is remembered of a route."""

    wanted: Wanted | None = None
    written: tuple[Weights, ...] = ()
    edit: tuple[Weights, ...] = ()
    """The edit that was reported last, and stays."""
    obstacle: str = ""
    told: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What the weights should be, and why they are not as the flag says.

    Attributes:
        edited: rules that somebody else changed since they were written.
        obstacle: what keeps users from the challenger, or the weights from the flag; "" where nothing does.
    """

    weights: tuple[Weights, ...]
    cause: Cause
    edited: tuple[Weights, ...] = ()
    obstacle: str = ""


@dataclass(frozen=True)
class Step:
    """What one iteration came to. `change` is None where nothing was to be done."""

    weights: tuple[Weights, ...]
    change: Cause | None = None
    edited: bool = False
    obstacle: str = ""
    told: str = ""


def decide(
    seen: Reading, wanted: Wanted, memory: Memory, ready: Callable[[], Ready], edits: Edits
) -> Decision:
    """What the weights should be. Asks for endpoints only where somebody may get the challenger.

    Raises:
        RouteError: the weights leave no room for both arms.
    """
    before = {one.rule: one for one in memory.written}
    edited = tuple(one for one in seen.weights if one.rule in before and _differ(before[one.rule], one))
    target = tuple(one.at(wanted.percent, wanted.mirror) for one in seen.weights)
    cause, no_copies = Cause.SHARE, seen.obstacle if wanted.mirror else ""
    same_flag = memory.wanted is not None and _shares(memory.wanted) == _shares(wanted)
    if edited and same_flag:
        cause = Cause.EDIT
        if edits is Edits.REPORT and wanted.percent:
            target = seen.weights
    if not any(one.challenger for one in target):
        return Decision(target, cause, edited, no_copies)
    found = ready()
    if found.challenger == 0:
        none = tuple(one.at(0, wanted.mirror) for one in seen.weights)
        return Decision(
            none, Cause.ENDPOINTS, edited, "the challenger has no ready endpoints: it gets no weight"
        )
    obstacle = found.fault or ""
    if found.champion == 0 and wanted.percent < 100:
        obstacle = "the champion has no ready endpoints: the challenger gets no more weight than it has"
    if obstacle:
        target = tuple(
            replace(now, mirror=new.mirror) if new.challenger > now.challenger else new
            for now, new in zip(seen.weights, target, strict=True)
        )
        return Decision(target, cause, edited, obstacle)
    if memory.obstacle and cause is Cause.SHARE and same_flag:
        cause = Cause.ENDPOINTS
    return Decision(target, cause, edited, no_copies)


def follow(
    route: Route, wanted: Wanted, memory: Memory, *, clock: Callable[[], float] = time.monotonic
) -> Step:
    """Let the weights of the route be as the flag wants them.

    Raises:
        RouteError: it cannot be; the weights are as they were, unless it is NotTaken.
    """
    ready = cache(route.ready)  # asked once: between reading and writing there is no time to lose
    for _ in range(ATTEMPTS):
        seen = route.read()
        decision = decide(seen, wanted, memory, ready, route.edits)
        if decision.weights == seen.weights:
            is_new = bool(decision.edited) and decision.edited != memory.edit
            if is_new:
                _tell(route, memory, clock, "WeightsEdited", _told_edit(seen, decision, wanted, route.edits))
            _remember(route, memory, wanted, decision, clock)
            return Step(seen.weights, None, is_new, decision.obstacle)
        try:
            stored = route.write(seen, decision.weights)
        except Conflict:
            continue
        if stored.weights != decision.weights:
            raise NotTaken(
                f"{route.title}: {_all(decision.weights)} was written, and {_all(stored.weights)} was stored:"
                " an admission webhook changes the weights"
            )
        memory.written = decision.weights
        back = route.read()  # what somebody changed since is seen as an edit by the next iteration
        if decision.edited:
            _tell(route, memory, clock, "WeightsEdited", _told_edit(seen, decision, wanted, route.edits))
        told = f"{_all(seen.weights)} -> {_all(decision.weights)}: {decision.obstacle or wanted.why}"
        _tell(route, memory, clock, "WeightsChanged", told, warning=bool(decision.obstacle))
        _remember(route, memory, wanted, decision, clock)
        return Step(back.weights, decision.cause, bool(decision.edited), decision.obstacle, told)
    raise Conflict(
        f"{route.title} was changed by somebody else {ATTEMPTS} times while its weights were written"
    )


def _remember(
    route: Route, memory: Memory, wanted: Wanted, decision: Decision, clock: Callable[[], float]
) -> None:
    if decision.obstacle and decision.obstacle != memory.obstacle:
        _tell(route, memory, clock, "WeightsHeld", decision.obstacle)
    stays = (
        decision.edited and decision.cause is Cause.EDIT and route.edits is Edits.REPORT and wanted.percent
    )
    memory.edit = decision.edited if stays else ()
    if not stays:
        memory.written = decision.weights
    memory.wanted, memory.obstacle = wanted, decision.obstacle


def _tell(  # noqa: PLR0913, PLR0917 - what is told, to whom, and when
    route: Route, memory: Memory, clock: Callable[[], float], reason: str, note: str, warning: bool = True
) -> None:
    """Tell it, unless the same was told within a minute."""
    now = clock()
    key = f"{reason} {note}"
    memory.told = {one: at for one, at in memory.told.items() if now - at < TOLD_EVERY_SECONDS}
    if key not in memory.told:
        memory.told[key] = now
        route.tell(reason, note, warning=warning)


def _told_edit(seen: Reading, decision: Decision, wanted: Wanted, edits: Edits) -> str:
    stays = edits is Edits.REPORT and decision.cause is Cause.EDIT and wanted.percent
    by = seen.by or "somebody"
    what = "stays until the flag changes" if stays else "is set again"
    return f"{by} changed the weights to {_all(decision.edited)}; {wanted.why}. It {what}"


def _differ(one: Weights, other: Weights) -> bool:
    """Whether a number that is ours in both is another one."""
    is_copied_otherwise = None not in (one.mirror, other.mirror) and one.mirror != other.mirror
    return (one.champion, one.challenger) != (other.champion, other.challenger) or is_copied_otherwise


def _shares(wanted: Wanted) -> tuple[int, int]:
    return wanted.percent, wanted.mirror


def _all(weights: tuple[Weights, ...]) -> str:
    """`95/5`, or with the names of rules where there are several."""
    if len(weights) == 1:
        return str(weights[0])
    return ", ".join(f"{one.rule} {one}" for one in weights)

"""A look at the sources: of one rollout for its page, of all at once for the list."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from board.facts import Facts
from board.folder import Entry, Folder
from board.history import Span
from board.overview import Overview, broken, overview, row
from board.shown import Shown
from board.sources import Sources
from board.watch import FIRST_SECONDS, Reading, Source

YOUNG_EACH: Final = 0.12  # seconds for each rollout of the list
YOUNG_MOST: Final = 12.0  # numbers that are older than 15 s are none
AHEAD: Final = 2 / 3  # of that time after which it is read again: a list is asked for every 5 s
EARLY: Final = 1 / 3  # and after which it may be, so that not all are read for one list and none for the next

T = TypeVar("T")


def look(entry: Entry, shown: tuple[Shown, Sources], rollouts: int, span: Span) -> Facts:
    """All that is known of one rollout, with its charts.

    Args:
        entry: it, with what is known of its file.
        shown: what its file says, and its sources.
        rollouts: how many there are.
        span: how far back the charts reach.
    """
    charts = shown[1].history[span]
    for source in (*shown[1].now, charts, shown[1].served):
        source.look()  # all at once: the slowest is waited for, not one after the other
    facts = _facts(entry, shown, rollouts)
    return replace(facts, history=charts.latest(), served=shown[1].served.latest().value or ())


def look_at_all(folder: Folder) -> Overview:
    """The list. All sources are asked side by side, and waited for no longer than for one page.

    The more there are the more seldom each is asked: what was read within `young` seconds is shown as it is.
    """
    end, count = time.monotonic() + FIRST_SECONDS, len(folder.rollouts)
    young = min(YOUNG_EACH * count, YOUNG_MOST)
    shown = [entry.shown[1] for entry in folder.rollouts.values() if entry.shown]
    for source in to_read([one for sources in shown for one in sources.now], young):
        source.look()
    rows = [
        row(_facts(entry, entry.shown, count, end, young))
        if entry.shown
        else broken(entry.name, entry.fault or "")
        for entry in folder.rollouts.values()
    ]
    return overview(rows, datetime.now(UTC), folder.fault)


def to_read(sources: Sequence[Source[Any]], young: float) -> list[Source[Any]]:
    """Those that must be read again, and of those that may be so many that it is half of all."""
    must, may = [], []
    for one in sources:
        if one.known(young * AHEAD) is None:
            must.append(one)
        elif one.known(young * EARLY) is None:
            may.append(one)
    return must + may[: max(len(sources) // 2 - len(must), 0)]


def _facts(
    entry: Entry,
    shown: tuple[Shown, Sources],
    rollouts: int,
    end: float = float("inf"),
    young: float = float("-inf"),
) -> Facts:
    """All but the charts and the models.

    Args:
        entry: it, with what is known of its file.
        shown: what its file says, and its sources.
        rollouts: how many there are.
        end: until then a source is waited for, by the monotonic clock.
        young: but not for one that was read so few seconds ago.
    """
    said, sources = shown

    def reading(source: Source[T]) -> Reading[T]:
        return source.known(young) or source.latest(end - time.monotonic())

    return Facts(
        unleash=reading(sources.unleash),
        numbers=reading(sources.numbers),
        history=Reading(),
        decision=reading(sources.decisions),
        now=datetime.now(UTC),
        plan=sources.plan,
        policy=said.policy,
        flag=said.arms.flag,
        environment=said.arms.environment,
        flag_page=said.flag_page,
        name=said.name,
        description=said.description,
        signals=said.arms.signals,
        file_fault=entry.fault,
        rollouts=rollouts,
    )

"""How often both models choose each class, and act at each threshold. Pure.

Agreement does not see a rare class: who always says "no" agrees for 97% of requests with a model that says
"yes" to 3% of them, and has lost every "yes".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Final

from analysis.measures.shadow_reading import ShadowReading

LEAST: Final = 30
"""Requests for which one of the models chose a class, for a word on how often they do."""
THRESHOLDS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True)
class ClassShare:
    """One class; shares are of all requests with a class.

    Attributes:
        times: how many times as often, or as seldom, the new model chooses it: 1 or more.
        both: of the requests for which either chose it, the share for which both did.
    """

    name: str
    old: float
    new: float
    times: float
    both: float
    requests: int

    @property
    def more(self) -> bool:
        """Whether the new model chooses it more often."""
        return self.new > self.old


def class_shares(confusion: Mapping[tuple[str, str], int]) -> tuple[ClassShare, ...]:
    """Classes that one of the models chose LEAST times or more, the one that changes most first.

    Half a request is added where a ratio is taken, so that a class which one of them never chooses is not
    infinitely rare.

    Args:
        confusion: requests by the class of the champion and that of the challenger.
    """
    total = sum(confusion.values())
    found = []
    for name in sorted({each for pair in confusion for each in pair}):
        old = sum(count for (ours, _), count in confusion.items() if ours == name)
        new = sum(count for (_, theirs), count in confusion.items() if theirs == name)
        same = confusion.get((name, name), 0)
        if max(old, new) < LEAST:
            continue
        times = (max(old, new) + 0.5) / (min(old, new) + 0.5)
        found.append(
            ClassShare(name, old / total, new / total, times, same / (old + new - same), old + new - same)
        )
    return tuple(sorted(found, key=lambda each: (-each.times, each.name)))


@dataclass(frozen=True)
class Threshold:
    """Shares of requests whose score is at or above `at`, by model."""

    at: float
    old: float
    new: float


def thresholds(reading: ShadowReading, at: Sequence[float] = THRESHOLDS) -> tuple[Threshold, ...]:
    """What acting at each of these thresholds would mean: of fine bins, to a thousandth."""
    return tuple(_above(reading, round(each * len(reading.champion))) for each in at)


def farthest(reading: ShadowReading) -> Threshold:
    """The threshold at which the two models differ most."""
    gaps, gap = [], 0
    for ours, theirs in zip(reading.champion, reading.challenger, strict=True):
        gaps.append(abs(gap))  # below this bin
        gap += ours - theirs
    return _above(reading, max(range(len(gaps)), key=gaps.__getitem__))


def _above(reading: ShadowReading, place: int) -> Threshold:
    shares = (sum(of[place:]) / sum(of) if sum(of) else nan for of in (reading.champion, reading.challenger))
    return Threshold(reading.edges[place], *shares)

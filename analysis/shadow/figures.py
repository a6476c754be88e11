"""What follows from a shadow reading: rates, distances, classes, segments, breached limits. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Final

from analysis.log import BadLines
from analysis.shadow.aggregates import AgreementSegment
from analysis.shadow.limits import FLOOR_SECONDS, USUAL_ERRORS, CheckedLimit, ShadowLimit, check, usual
from analysis.shadow.measure import ShadowReading
from analysis.statistics.effect import holm
from analysis.statistics.requests import Rate, difference_p, ks_p, merged, psi, tenths, trend_p

ENOUGH: Final = 1000
"""Requests that both models answered; below, a report says what it cannot say."""
LEVEL: Final = 0.05
LEAST_OF_CLASS: Final = 30
"""Requests for which one of the models chose a class, for a word on how often they do."""
THRESHOLDS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True)
class ClassShare:
    """How often each model chooses a class; shares are of all requests with a class.

    Agreement does not see a rare class: who always says "no" agrees for 97% of requests with a model that
    says "yes" to 3% of them, and has lost every "yes".

    Attributes:
        times: how many times as often, or as seldom, the challenger chooses it: 1 or more.
        both: of the requests for which either chose it, the share for which both did.
    """

    name: str
    champion: float
    challenger: float
    times: float
    both: float
    requests: int

    @property
    def ratio(self) -> float:
        """Challenger / champion."""
        return self.times if self.challenger > self.champion else 1 / self.times


def class_shares(confusion: Mapping[tuple[str, str], int]) -> tuple[ClassShare, ...]:
    """Classes that one of the models chose LEAST_OF_CLASS times or more, the one that changes most first.

    Half a request is added where a ratio is taken, so that a class which one of them never chooses is not
    infinitely rare.

    Args:
        confusion: requests by the class of the champion and that of the challenger.
    """
    total = sum(confusion.values())
    found = []
    for name in sorted({each for pair in confusion for each in pair}):
        ours = sum(count for (chosen, _), count in confusion.items() if chosen == name)
        theirs = sum(count for (_, chosen), count in confusion.items() if chosen == name)
        either = ours + theirs - confusion.get((name, name), 0)
        if max(ours, theirs) < LEAST_OF_CLASS:
            continue
        times = (max(ours, theirs) + 0.5) / (min(ours, theirs) + 0.5)
        both = confusion.get((name, name), 0) / either
        found.append(ClassShare(name, ours / total, theirs / total, times, both, either))
    return tuple(sorted(found, key=lambda each: (-each.times, each.name)))


@dataclass(frozen=True)
class Threshold:
    """Shares of requests whose score is at or above `at`, by model."""

    at: float
    champion: float
    challenger: float


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


@dataclass(frozen=True)
class Disagreement:
    """A segment beside all other requests; `p` is corrected for the number of segments (Holm)."""

    segment: AgreementSegment
    rate: Rate
    elsewhere: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether the models disagree more there than elsewhere, and not by chance."""
        return self.p < LEVEL and self.rate.value > self.elsewhere


@dataclass(frozen=True)
class ShadowFigures:
    """A reading and what follows from it.

    Attributes:
        asked: limits of --fail-on; the usual ones of other names speak in the answer beside them.
    """

    reading: ShadowReading
    bad: BadLines
    asked: tuple[ShadowLimit, ...] = ()

    @property
    def enough(self) -> bool:
        """Whether there is something to say."""
        return self.reading.answered >= ENOUGH

    @cached_property
    def design(self) -> float:
        """The design effect of requests of one user on agreement."""
        share = Rate(self.reading.agreements, self.reading.answered).value
        return self.reading.agreement.design(share * (1 - share))

    @property
    def agreement(self) -> Rate:
        """Requests on which both agree."""
        return Rate(self.reading.agreements, self.reading.answered, self.design)

    @property
    def errors(self) -> Rate:
        """Copies without a usable answer."""
        return Rate(self.reading.records - self.reading.answered, self.reading.records)

    @property
    def surely_fails(self) -> bool:
        """Whether errors are beyond their limit by more than chance; of few requests, too."""
        limit = next((each.value for each in self.asked if each.name == "errors"), USUAL_ERRORS)
        return self.errors.hits > 0 and self.errors.interval[0] > limit

    @cached_property
    def psi(self) -> float:
        """Of the challenger's score against the champion's, in tenths of the champion's."""
        reading = self.reading
        if not reading.answered:
            return nan
        ends = tenths(reading.champion)
        return psi(merged(reading.champion, ends).tolist(), merged(reading.challenger, ends).tolist())

    @property
    def ks_p(self) -> float:
        """Of the Kolmogorov-Smirnov distance."""
        return ks_p(self.reading.ks, self.reading.answered, self.reading.answered)

    @property
    def difference(self) -> float:
        """Mean of challenger - champion."""
        return self.reading.difference.y / self.reading.answered if self.reading.answered else nan

    @property
    def latency_ratios(self) -> tuple[float, ...]:
        """Challenger / champion of each quantile of latency."""
        return self._latency_ratios(floor=0.0)

    def _latency_ratios(self, floor: float) -> tuple[float, ...]:
        """A champion of less than `floor` seconds counts as taking that long."""
        latency = self.reading.latency
        return tuple(
            theirs / max(ours, floor) if max(ours, floor) else nan
            for ours, theirs in zip(latency["champion"], latency["challenger"], strict=True)
        )

    @cached_property
    def classes(self) -> tuple[ClassShare, ...]:
        """How often both choose each class, the one that changes most first; of regressors none."""
        return class_shares(self.reading.confusion)

    @cached_property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """By segment, the greatest share first."""
        everywhere = self.agreement.others
        found = []
        for segment in self.reading.segments:
            inside = Rate(segment.requests - segment.agreements, segment.requests, self.design)
            rest = Rate(everywhere.hits - inside.hits, everywhere.total - inside.total)
            found.append((segment, inside, rest.value, difference_p(inside, rest)))
        corrected = holm([p for *_, p in found])
        rows = [Disagreement(*each[:-1], p) for each, p in zip(found, corrected, strict=True)]
        return tuple(sorted(rows, key=lambda row: (-row.rate.value, row.segment.name)))

    @property
    def drift_p(self) -> float:
        """Of agreement having no trend over days."""
        days = self.reading.days
        return trend_p([day.agreements for day in days], [day.answered for day in days], self.design)

    @cached_property
    def by_name(self) -> dict[str, float | None]:
        """What a limit may name. Nothing but the number of requests can be told of too few."""
        figures: dict[str, float | None] = {"requests": float(self.reading.answered)}
        if not self.enough:
            return figures
        figures |= {
            "agreement": self.agreement.value,
            "errors": self.errors.value,
            "psi": self.psi,
            "ks": self.reading.ks,
            "difference": abs(self.difference),
        }
        figures |= {"classes": self.classes[0].times} if self.classes else {}
        return figures | dict(zip(("p50", "p95", "p99"), self._latency_ratios(FLOOR_SECONDS), strict=True))

    @property
    def checked(self) -> tuple[CheckedLimit, ...]:
        """The limits that were asked for."""
        return check(self.asked, self.by_name)

    @property
    def breaches(self) -> tuple[CheckedLimit, ...]:
        """Of the limits that were asked for, and of the usual ones of other names."""
        named = {each.name for each in self.asked}
        more = tuple(each for each in usual(of_classes=bool(self.classes)) if each.name not in named)
        return tuple(each for each in check(self.asked + more, self.by_name) if each.breached)

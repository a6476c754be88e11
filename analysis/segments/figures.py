"""Effects by segment, corrected for how many there are, and what they mean for the whole. Pure."""

from dataclasses import asdict, dataclass
from functools import cached_property
from math import isfinite, nan, sqrt
from typing import Any

from tea_tasting.aggr import Aggregates

from analysis.metric import Direction, Kind, Metric
from analysis.segments.measure import LEAST, MOST_VALUES, Divided, Segment, whole
from analysis.statistics import means, proportions, sequential
from analysis.statistics.effect import Effect, Sample, benjamini_hochberg, holm, holm_of, interval_alpha
from analysis.statistics.proportions import Share
from analysis.statistics.sequential import Planned
from analysis.statistics.simpson import Mix, heterogeneity_p, mix

_MEASURE = "measure"


@dataclass(frozen=True)
class SegmentEffect:
    """The effect in a segment.

    Attributes:
        effect: its intervals hold together with those of the family (Bonferroni).
        p: corrected by Holm.
        p_found: corrected by Benjamini and Hochberg; NaN in a reading at any time.
        verdict: "harmed", "gains" or "" where chance may have made it.
        registered: whether it was written down beforehand that this property would be looked at.
        family: segments that are corrected together: the registered ones, or the others.
    """

    segment: Segment
    effect: Effect
    p: float
    p_found: float
    verdict: str
    registered: bool
    family: int


@dataclass(frozen=True)
class SegmentFigures:
    """What was measured, and what follows.

    Attributes:
        alpha: chance of even one false alarm among the segments of a family.
        least: users of each arm that a segment must have.
        registered: properties that were written down beforehand: a family of their own, so that looking at
            others costs them nothing.
        decided: the effect in the whole as the report of the registered test has it; None: of no test.
        any_time: what evidence is tuned to in the reading that is valid at any time; None: read once.
    """

    metric: Metric
    divided: Divided
    alpha: float = 0.05
    least: int = LEAST
    registered: frozenset[str] = frozenset()
    decided: Effect | None = None
    any_time: Planned | None = None

    @cached_property
    def all_users(self) -> Segment:
        """The whole: by the property that has most users, which is any of them where nothing was cut off."""
        return max((whole(each) for each in self.divided.segments.values()), key=lambda each: each.users)

    @property
    def enough(self) -> bool:
        """Whether the whole can be compared at all."""
        return self._large_enough(self.all_users)

    @property
    def silent(self) -> bool:
        """Whether nothing at all was measured: rather a wrong name than no difference."""
        arms = (self.all_users.champion, self.all_users.challenger)
        return all(arm.mean == 0 and arm.variance == 0 for arm in arms)

    @cached_property
    def effect(self) -> Effect:
        """In the whole."""
        return self.decided or compare(self.metric, self.all_users, self.alpha)

    @property
    def verdict(self) -> str:
        """Of the whole: "harmed", "gains" or ""."""
        return self._verdict(self.effect, self.effect.p)

    @cached_property
    def effects(self) -> tuple[SegmentEffect, ...]:
        """The worst first."""
        rows = [*self._family(registered=True), *self._family(registered=False)]
        return tuple(sorted(rows, key=lambda row: (self.sign * row.effect.difference, row.segment.name)))

    def _family(self, *, registered: bool) -> list[SegmentEffect]:
        every = [
            each
            for name, segments in self.divided.segments.items()
            if len(segments) > 1  # a property that all share tells nobody apart
            and (name in self.registered) is registered
            and name not in self.too_many
            for each in segments
            if self._large_enough(each) and not (self.any_time and each.others)
        ]
        family = self._fixed_family if self.any_time else len(every)
        found = [self._compare(each, interval_alpha(self.alpha, family)) for each in every]
        raw = [each.p for each in found]
        others = [nan] * len(raw) if self.any_time else benjamini_hochberg(raw)  # of one look alone
        return [
            SegmentEffect(segment, effect, p, less, self._verdict(effect, p), registered, family)
            for segment, effect, p, less in zip(every, found, holm_of(raw, family), others, strict=True)
        ]

    @property
    def _fixed_family(self) -> int:
        """Of a reading at any time: as many values as there can ever be, whatever the users have sent yet.

        A family that grew with the values would have spent its alpha on the first of them.
        """
        return MOST_VALUES * len(self.divided.segments)

    @property
    def too_many(self) -> tuple[str, ...]:
        """Properties that a reading at any time leaves out: of more values than the family allows for."""
        if not self.any_time:
            return ()
        return tuple(
            name
            for name, segments in self.divided.segments.items()
            if sum(each.others is None for each in segments) >= MOST_VALUES
        )

    def _compare(self, segment: Segment, alpha: float) -> Effect:
        if self.any_time is None:
            return compare(self.metric, segment, alpha)
        arms = segment.champion, segment.challenger
        return sequential.compare([arms], self.metric.kind, self.any_time, alpha=alpha)

    @property
    def harmed(self) -> tuple[SegmentEffect, ...]:
        """Segments for which the challenger is worse."""
        return tuple(each for each in self.effects if each.verdict == "harmed")

    @property
    def small(self) -> tuple[Segment, ...]:
        """Segments with too few users to compare."""
        every = [each for of in self.divided.segments.values() for each in of]
        return tuple(each for each in every if not self._large_enough(each))

    @cached_property
    def mixes(self) -> dict[str, Mix]:
        """The whole beside its parts, by property. Its tests are for one look, and not for any time."""
        if self.any_time:
            return {}
        return {name: mix(segments) for name, segments in self.divided.segments.items() if len(segments) > 1}

    @property
    def paradoxes(self) -> tuple[str, ...]:
        """Properties by which the whole says one thing, and its segments the opposite, beyond chance."""
        return tuple(
            name
            for name, each in self.mixes.items()
            if each.reversed and each.differs and each.certain(self.alpha)
        )

    @property
    def mixed_differently(self) -> tuple[str, ...]:
        """Properties by which the arms are other people: the whole says less by them; paradoxes first."""
        found = [name for name, each in self.mixes.items() if each.differs]
        return tuple(sorted(found, key=lambda name: (name not in self.paradoxes, self.mixes[name].p)))

    @cached_property
    def heterogeneity(self) -> dict[str, float]:
        """p of one effect in all segments, by property; corrected by Holm for their number; for one look."""
        if self.any_time:
            return {}
        raw = {
            name: heterogeneity_p([each.effect for each in large], [each.error for each in large])
            for name, segments in self.divided.segments.items()
            if len(large := [each for each in segments if self._large_enough(each)]) > 1
        }
        return dict(zip(raw, holm(list(raw.values())), strict=True))

    def _large_enough(self, segment: Segment) -> bool:
        return min(segment.champion.users, segment.challenger.users) >= self.least

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.metric.direction is Direction.INCREASE else -1

    def _verdict(self, effect: Effect, p: float) -> str:
        if p >= self.alpha or not effect.difference:
            return ""
        return "gains" if self.sign * effect.difference > 0 else "harmed"

    def numbers(self) -> dict[str, Any]:
        """Every figure, JSON types only."""
        return {
            "kind": "segments",
            "left_out": asdict(self.divided.left_out),
            "metric": self.metric.model_dump(mode="json"),
            "alpha": self.alpha,
            "any_time": self.any_time is not None,
            "whole": _numbers(self.all_users, self.effect) | {"verdict": self.verdict}
            if self.enough
            else None,
            "segments": [
                {"segment": each.segment.name}
                | _numbers(each.segment, each.effect)
                | {"p_holm": each.p, "p_benjamini_hochberg": each.p_found, "verdict": each.verdict}
                | {
                    "registered": each.registered,
                    "family": each.family,
                    "values": _put_together(each.segment),
                }
                for each in self.effects
            ],
            "too_small": len(self.small),
            "properties": {
                name: {"crude": each.crude, "adjusted": each.adjusted, "mix_p": each.p}
                | {"crude_error": each.crude_error, "adjusted_error": each.adjusted_error}
                | {
                    "simpsons_paradox": name in self.paradoxes,
                    "same_effect_p": self.heterogeneity.get(name),
                }
                for name, each in self.mixes.items()
            },
        }


def compare(metric: Metric, segment: Segment, alpha: float) -> Effect:
    """As the report of the whole, without a covariate: z or exact test of shares, Welch's test of means."""
    ours, theirs = segment.champion, segment.challenger
    if metric.kind is Kind.PROPORTION:
        return proportions.compare(Share.of(ours), Share.of(theirs), alpha=alpha)
    return means.compare(_aggregates(ours), _aggregates(theirs), means.Columns(_MEASURE), alpha=alpha)


def _aggregates(arm: Sample) -> Aggregates:
    return Aggregates(count_=arm.users, mean_={_MEASURE: arm.mean}, var_={_MEASURE: arm.variance})


def _put_together(segment: Segment) -> list[str] | None:
    return list(segment.others.largest) if segment.others else None


def _numbers(segment: Segment, effect: Effect) -> dict[str, Any]:
    low, high = effect.absolute.low, effect.absolute.high
    return {
        "champion_users": segment.champion.users,
        "challenger_users": segment.challenger.users,
        "champion": effect.champion,
        "challenger": effect.challenger,
        "difference": effect.difference,
        "low": low if isfinite(low) else None,
        "high": high if isfinite(high) else None,
        "p": effect.p,
        "standard_error": sqrt(segment.error),
    }

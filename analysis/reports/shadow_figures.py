"""The figures of the shadow report by name: for limits, for JSON and for sentences. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import isfinite, nan
from typing import Any, Final

from analysis.log import BadLines
from analysis.measures.shadow_reading import QUANTILES, Segment, ShadowReading
from analysis.reports.limits import Held, Limit, hold
from analysis.reports.shadow_classes import ClassShare, class_shares
from analysis.reports.shadow_limits import FAILURES, FLOOR_SECONDS, usual
from analysis.statistics.distributions import ks_p, merged, psi, tenths
from analysis.statistics.many import holm
from analysis.statistics.rates import Rate, difference_p, trend_p

ENOUGH: Final = 1000
"""Requests that both models answered; below, a report says what it cannot say."""
LEVEL: Final = 0.05


@dataclass(frozen=True)
class SegmentFigure:
    """A segment beside all other requests; `p` is corrected for the number of segments (Holm)."""

    segment: Segment
    disagreement: Rate
    rest: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether the models disagree more there than elsewhere, and not by chance."""
        return self.p < LEVEL and self.disagreement.value > self.rest


@dataclass(frozen=True)
class ShadowFigures:
    """A reading and what follows from it.

    Attributes:
        asked: limits of --fail-on; the usual ones of other names speak in the answer beside them.
    """

    reading: ShadowReading
    bad: BadLines
    asked: tuple[Limit, ...] = ()

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
        """Requests for which both said the same."""
        return Rate(self.reading.agreements, self.reading.answered, self.design)

    @property
    def errors(self) -> Rate:
        """Copies without a usable answer."""
        return Rate(self.reading.records - self.reading.answered, self.reading.records)

    @property
    def surely_fails(self) -> bool:
        """Whether failures are beyond their limit by more than chance; of few requests, too."""
        limit = next((each.value for each in self.asked if each.name == "errors"), FAILURES)
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
    def ratios(self) -> tuple[float, ...]:
        """Challenger / champion of each quantile of latency."""
        latency = self.reading.latency
        return tuple(
            theirs / ours if ours else nan
            for ours, theirs in zip(latency["champion"], latency["challenger"], strict=True)
        )

    @property
    def felt(self) -> tuple[float, ...]:
        """The same for limits: a champion of less than FLOOR_SECONDS counts as taking that long."""
        latency = self.reading.latency
        return tuple(
            theirs / max(ours, FLOOR_SECONDS)
            for ours, theirs in zip(latency["champion"], latency["challenger"], strict=True)
        )

    @cached_property
    def classes(self) -> tuple[ClassShare, ...]:
        """How often both choose each class, the one that changes most first; of regressors none."""
        return class_shares(self.reading.confusion)

    @cached_property
    def segments(self) -> tuple[SegmentFigure, ...]:
        """The greatest share of disagreement first."""
        reading = self.reading
        found = []
        for each in reading.segments:
            inside = Rate(each.requests - each.agreements, each.requests, self.design)
            whole = reading.answered - reading.agreements
            rest = Rate(whole - inside.hits, reading.answered - inside.total)
            found.append((each, inside, rest, difference_p(inside, rest)))
        corrected = holm([p for *_, p in found])
        rows = [
            SegmentFigure(segment, inside, rest.value if rest.total else nan, p)
            for (segment, inside, rest, _), p in zip(found, corrected, strict=True)
        ]
        return tuple(sorted(rows, key=lambda row: (-row.disagreement.value, row.segment.name)))

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
        return (
            figures
            | {"agreement": self.agreement.value, "errors": self.errors.value, "psi": self.psi}
            | {"ks": self.reading.ks, "difference": abs(self.difference)}
            | ({"classes": self.classes[0].times} if self.classes else {})
            | dict(zip(("p50", "p95", "p99"), self.felt, strict=True))
        )

    @property
    def held(self) -> tuple[Held, ...]:
        """The limits that were asked for."""
        return hold(self.asked, self.by_name)

    @property
    def breaches(self) -> tuple[Held, ...]:
        """Of the limits that were asked for, and of the usual ones of other names."""
        named = {each.name for each in self.asked}
        more = tuple(each for each in usual(of_classes=bool(self.classes)) if each.name not in named)
        return tuple(each for each in hold(self.asked + more, self.by_name) if each.breached)

    def numbers(self, written: datetime) -> dict[str, Any]:
        """Every figure, JSON types only."""
        reading = self.reading
        return {
            "kind": "shadow",
            "written": written.astimezone(UTC).isoformat(timespec="seconds"),
            "champion": {"name": reading.pair.champion[0], "version": reading.pair.champion[1]},
            "challenger": {"name": reading.pair.challenger[0], "version": reading.pair.challenger[1]},
            "since": reading.first.isoformat(),
            "until": reading.last.isoformat(),
            "enough": self.enough,
            "records": reading.records,
            "requests": reading.answered,
            "agreement": _rate(self.agreement) | {"design_effect": self.design},
            "errors": _rate(self.errors) | {"by_kind": dict(reading.errors)},
            "score": reading.scale.words,
            "means": dict(reading.means),
            "difference": {
                "mean": self.difference,
                "low": reading.difference.interval[0],
                "high": reading.difference.interval[1],
                "mean_absolute": reading.absolute,
                "relative": _ratio(self.difference, reading.means["champion"]),
                "correlation": reading.correlation,
            },
            "ks": {"distance": reading.ks, "p": self.ks_p},
            "psi": self.psi,
            "latency_seconds": {
                role: {f"p{100 * quantile:.0f}": value for quantile, value in zip(QUANTILES, of, strict=True)}
                for role, of in reading.latency.items()
            },
            "latency_ratio": dict(zip(("p50", "p95", "p99"), self.ratios, strict=True)),
            "confusion": [
                {"champion": ours, "challenger": theirs, "requests": count}
                for (ours, theirs), count in sorted(reading.confusion.items())
            ],
            "classes": [vars(each) for each in self.classes],
            "segments": [
                {
                    "segment": each.segment.name,
                    "requests": each.segment.requests,
                    "disagreement": _rate(each.disagreement),
                    "elsewhere": each.rest,
                    "p_holm": each.p,
                    "difference": each.segment.difference,
                }
                for each in self.segments
            ],
            "days": [
                {"day": day.day.isoformat(), "records": day.records, "answered": day.answered}
                | {"agreements": day.agreements, "champion": day.champion, "challenger": day.challenger}
                for day in reading.days
            ],
            "drift_p": self.drift_p,
            "limits": [
                {"limit": str(each.limit), "value": each.figure, "breached": each.breached}
                for each in self.held
            ],
            "passed": not any(each.breached for each in self.held) if self.held else None,
            "bad_lines": self.bad.count,
        }


def _rate(rate: Rate) -> dict[str, float]:
    low, high = rate.interval
    return {"value": rate.value, "low": low, "high": high}


def _ratio(value: float, of: float) -> float | None:
    return value / of if of and isfinite(of) else None

"""Sequential guardrails on a histogram: bad calls are those beyond an edge of its buckets."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from common.arms import WITHOUT_BUCKETS, Signals
from common.durations import Duration, format_duration
from common.figures import seconds
from common.names import Metric, latency_buckets
from common.selector import METRIC_NAME, Selector
from common.sequential import Counts
from rollback.guardrails.edges import FEWEST_CALLS, Buckets, Edges, calls, ladder, quantile, tail_edges
from rollback.guardrails.kinds.against import Absolute, Relative
from rollback.guardrails.kinds.question import Moment, NotYet, Terms
from rollback.guardrails.kinds.sequential import Sequential, bad_of_all
from rollback.guardrails.tally import SeriesPlan
from rollback.guardrails.warm_up import steps_of
from rollback.simulate.detect import Sensor
from rollback.simulate.rules import Rule, slow_calls
from rollback.simulate.traffic import EDGES, Behaviour, Traffic

LAST = timedelta(seconds=latency_buckets()[-1])
LATENCY = "{latency}"
SCALES = {"seconds": 1.0, "milliseconds": 0.001}


class Tail(Sequential):
    """Calls are those of a histogram, and bad ones are those beyond an edge of its buckets."""

    histogram: Annotated[str, Field(pattern=rf"^({METRIC_NAME}|\{{latency\}})$")]
    """Without `_bucket`; or `{latency}`, the one of the rollout's signals."""
    unit: Literal["seconds", "milliseconds"] = "seconds"
    """Of the histogram's edges; `{latency}` has its own."""

    def on(self, signals: Signals) -> Self:
        if self.histogram != LATENCY:
            return self
        series = signals.of("latency").name
        unit = signals.latency.unit if signals.latency else self.unit
        return self.model_copy(update={"histogram": series, "unit": unit})

    @property
    def scale(self) -> float:
        """Seconds in one unit of an edge."""
        return SCALES[self.unit]

    @property
    def edges_of(self) -> frozenset[str]:
        return frozenset({self.histogram})

    @property
    def series(self) -> tuple[Selector, Selector]:
        bucket = Selector(f"{self.histogram}_bucket")
        return bucket, bucket

    def misfits(self, terms: Terms) -> Iterator[tuple[str, str]]:  # noqa: ARG002 - the service's buckets count
        """Times that the buckets of the service cannot tell; those of other histograms are not known here."""
        field, beyond = self._longest()
        if self.histogram == Metric.LATENCY and beyond > LAST:
            last = format_duration(LAST)
            yield field, f"{self.histogram} has no bucket beyond {last}, so no call would count"

    def plan(self, moment: Moment, start: datetime) -> SeriesPlan:  # noqa: ARG002 - the grid begins there anyway
        if self.histogram not in moment.known:
            if self.histogram in moment.whole:
                raise ValueError(f"{self.histogram} {WITHOUT_BUCKETS}")
            raise ValueError(f"Prometheus has no series of {self.histogram}_bucket; is the name right?")
        if not calls(moment.known[self.histogram]):
            raise NotYet(f"nobody has been counted in {self.histogram}_bucket yet")
        return SeriesPlan(*self.series, *self._edges(moment))

    def rule(self, terms: Terms, champion: Behaviour) -> Rule | None:
        if self.histogram != Metric.LATENCY:
            return None
        weighed, edges = self._weighed(terms), self._edges_of_service(champion)
        after = steps_of(terms.warm_up, terms.step) if self.but_warm_up else 0

        def judge(traffic: Traffic) -> int | None:
            return weighed(slow_calls(*edges, traffic.but_warm_up(after)))

        return Rule(self.name, judge, Metric.LATENCY, edges)

    def _longest(self) -> tuple[str, timedelta]:
        """A time that a bucket must reach, and its field."""
        raise NotImplementedError

    def _edges(self, moment: Moment) -> tuple[Edges, datetime | None]:
        """The edges, and from when on they hold where that is later than the stage's beginning."""
        raise NotImplementedError

    def _edges_of_service(self, champion: Behaviour) -> tuple[float, float]:
        """The edges for champion and challenger among the service's own, in seconds."""
        raise NotImplementedError

    def _told(self, counts: Counts, edges: Edges | None) -> tuple[str, str]:
        if edges is None:
            raise ValueError("calls beyond an edge, and no edge")  # of evidence that is none
        mine, theirs = bad_of_all(counts)
        over, their_over = (seconds(float(each) * self.scale) for each in (edges.challenger, edges.champion))
        told = f"{mine} calls of the challenger took over {over}"
        return told, f"{theirs} of the champion over {their_over}"


class TailRatio(Tail, Relative):
    """How slow the slowest calls are, against the champion's."""

    quantile: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=1, le=100)]
    """How many times slower than the champion's is allowed."""
    floor: Duration | None = None
    """Calls faster than this are never slow."""

    @property
    def measures(self) -> str:
        p = f"p{100 * self.quantile:g}"
        return (
            f"the share of calls over {self.margin:g} times the champion's {p}, beside its own over its {p}"
        )

    @property
    def champion_of(self) -> frozenset[str]:
        return frozenset({self.histogram})

    @property
    def but_warm_up(self) -> bool:
        return True

    def sensor(self, terms: Terms) -> Sensor:
        return replace(super().sensor(terms), margin=self.margin)

    def edges(self, champion: Buckets) -> Edges:
        """The edges for a comparison with the champion, whose calls before the stage are `champion`.

        Raises:
            ValueError: the champion is too slow for these buckets.
        """
        steps = [(edge * self.scale, label) for edge, label in ladder(champion)]
        labels = dict(steps)
        before = quantile(self.quantile, champion) * self.scale
        theirs, allowed = self._pair([edge for edge, _ in steps], before)
        return Edges(champion=labels[theirs], challenger=labels[allowed])

    def _pair(self, edges: list[float], before: float) -> tuple[float, float]:
        floor = self.floor.total_seconds() if self.floor else 0.0
        return tail_edges(tuple(edges), before, margin=self.margin, floor=floor)

    def _longest(self) -> tuple[str, timedelta]:
        return "floor", (self.floor or timedelta()) * self.margin

    def _edges(self, moment: Moment) -> tuple[Edges, datetime | None]:
        champion = moment.before.get(self.histogram, {})
        if calls(champion) >= FEWEST_CALLS:
            return self.edges(champion), None
        if self.histogram in moment.learnt:
            champion, counting_from = moment.learnt[self.histogram]
            return self.edges(champion), counting_from
        raise NotYet(f"how slow the champion is must be known first, from {FEWEST_CALLS:,} of its calls")

    def _edges_of_service(self, champion: Behaviour) -> tuple[float, float]:
        return self._pair(EDGES.tolist(), champion.quantile(self.quantile))


class TailLimit(Tail, Absolute):
    """The share of calls slower than a fixed time, against a fixed limit."""

    slower_than: Duration

    @property
    def measures(self) -> str:
        return f"the share of calls that take longer than {format_duration(self.slower_than)}"

    def edges(self, known: Buckets) -> Edges:
        """The same edge for both models: the first one that is no faster than the guardrail's time.

        Raises:
            ValueError: there is none.
        """
        wanted = self.slower_than.total_seconds()
        for edge, label in ladder(known):
            if edge * self.scale >= wanted:
                return Edges(label, label)
        named = format_duration(self.slower_than)
        raise ValueError(
            f"{self.histogram} has no bucket that ends at {named} or later, so no call would count"
        )

    def _longest(self) -> tuple[str, timedelta]:
        return "slower_than", self.slower_than

    def _edges(self, moment: Moment) -> tuple[Edges, datetime | None]:
        return self.edges(moment.known[self.histogram]), None

    def _edges_of_service(self, champion: Behaviour) -> tuple[float, float]:  # noqa: ARG002 - a fixed time
        edge = float(EDGES[np.searchsorted(EDGES, self.slower_than.total_seconds())])
        return edge, edge

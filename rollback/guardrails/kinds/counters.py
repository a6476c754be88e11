"""Sequential guardrails whose calls and bad calls are counters of their own."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from common.arms import BucketCounters, Signals
from common.durations import Duration
from common.names import Metric
from common.selector import Counter, Selector
from common.sequential import Counts
from rollback.guardrails.edges import Edges
from rollback.guardrails.kinds.against import Absolute, Relative
from rollback.guardrails.kinds.base import LACKS_USERS, By
from rollback.guardrails.kinds.question import Moment, Terms
from rollback.guardrails.kinds.sequential import Sequential, bad_of_all
from rollback.guardrails.segments import LONGEST_NAME, Segment, Segments
from rollback.guardrails.tally import SeriesPlan
from rollback.simulate.rules import Rule, failed_calls, failed_users
from rollback.simulate.traffic import Behaviour


class Worse(StrEnum):
    """The side on which the challenger is worse."""

    MORE = "more"
    FEWER = "fewer"


class Counters(Sequential):
    """Calls and bad calls are counters of their own."""

    bad: Counter
    total: Counter
    verb: Annotated[str, Field(pattern=r"^[^\n]{1,40}$")] = "failed"
    """What a model did in a bad call, for sentences: "failed 3 of 100 calls"."""
    noun: Annotated[str, Field(pattern=r"^[^\n]{1,40}$")] = "calls"
    """What calls are called there."""
    segments: Segments | None = None
    """Segments of the users for whom it is judged too, each by itself."""
    segment: Segment | None = None
    """The one that it is about: what the job makes of `segments`, as evidence has it."""

    @property
    def calls(self) -> str:
        return f"{self.noun} of {self.segment}" if self.segment else self.noun

    @property
    def measures(self) -> str:
        return f"the share of {self.calls} that a model {self.verb}"

    @property
    def only_for(self) -> Segment | None:
        return self.segment

    def each(self) -> tuple[Self, ...]:
        segments = self.segments
        if segments is None:
            return (self,)
        common: dict[str, Any] = {
            "segments": None,
            "share_of_alpha": segments.of_each,
            "action": segments.action,
        }
        more = (
            self.model_copy(update=common | {"name": name, "segment": segment})
            for name, segment in segments.named(self.name).items()
        )
        return self.model_copy(update={"segments": None}), *more

    def misfits(self, terms: Terms) -> Iterator[tuple[str, str]]:
        yield from super().misfits(terms)
        if self.segment:
            yield "segment", "is what the job makes of segments; write segments: {by: ..., values: [...]}"
        for name in self.segments.named(self.name) if self.segments else ():
            if len(name) > LONGEST_NAME:
                yield (
                    "segments",
                    f"{name} is longer than {LONGEST_NAME} characters: name the guardrail shorter",
                )

    @property
    def series(self) -> tuple[Selector, Selector]:
        return self.total, self.bad

    def on(self, signals: Signals) -> Self:
        signals = self._seen(signals)
        named = {"bad": signals.resolve(self.bad), "total": signals.resolve(self.total)}
        return self.model_copy(update=named)

    def _seen(self, signals: Signals) -> Signals:
        """The signals of the users whom it is about."""
        return signals.of_segment(self.segment.by, self.segment.value) if self.segment else signals

    def plan(self, moment: Moment, start: datetime) -> SeriesPlan:  # noqa: ARG002 - nothing must be known first
        return SeriesPlan(self.total, self.bad)

    def rule(self, terms: Terms, champion: Behaviour) -> Rule | None:  # noqa: ARG002 - counts are enough
        counts = _PLAYED.get((str(self.bad), str(self.total)))
        if counts is None or self.bad_is_wanted:
            return None
        weighed = self._weighed(terms)
        return Rule(self.name, lambda traffic: weighed(counts(traffic)), Metric.ERRORS)

    def _told(self, counts: Counts, edges: Edges | None) -> tuple[str, str]:  # noqa: ARG002 - there are none
        mine, theirs = bad_of_all(counts)
        whose = f"for {self.segment} " if self.segment else ""
        return f"{whose}the challenger {self.verb} {mine} {self.noun}", f"the champion {theirs}"


_PLAYED = {
    (Metric.ERRORS.value, Metric.CALLS.value): failed_calls,
    (Metric.USER_WINDOWS_BAD.value, Metric.CALLS.value): failed_users,
}


class CounterRatio(Counters, Relative):
    """The challenger's share of bad calls against the champion's."""

    worse: Worse = Worse.MORE
    effect: Annotated[float, Field(gt=0, le=100)] = 1.0
    """How many times the champion's share is allowed; for `fewer`, the champion's over the challenger's."""
    by: By = By.CALLS
    """`user-windows`: `bad` is {errors}, counted once a user in ten minutes where the rollout's service tells
    that, and divided by its dispersion over `buckets`."""
    buckets: BucketCounters | None = None
    """The champion's, by bucket of the flag's hash; those of the signal `user_windows` if that is there."""
    bad_calls: Counter | None = None
    """Bad calls, where `bad` is user-windows: at_least is a share of calls. {errors} with the signal."""
    lag: Duration | None = None
    """How long after the stage's beginning counting begins: what is counted in `bad` comes after the call."""

    @model_validator(mode="after")
    def _check_side(self) -> Self:
        if self.worse is Worse.FEWER and self.at_least is not None:
            raise ValueError("at_least is a share of bad calls, and has no meaning where fewer are worse")
        if self.buckets and self.by is By.CALLS:
            raise ValueError("buckets are of users; write by: user-windows too")
        return self

    def on(self, signals: Signals) -> Self:
        users = self._seen(signals).user_windows
        if self.by is By.CALLS or not users or self.bad.signal != "errors":
            return super().on(signals)
        signals = self._seen(signals)
        named = {
            "bad": users.bad,
            "total": signals.resolve(self.total),
            "buckets": users.buckets,
            "bad_calls": signals.resolve(self.bad),
        }
        return self.model_copy(update=named)

    def facts(self, counts: Counts, edges: Edges | None) -> str:
        told = super().facts(counts, edges)
        if self.by is By.CALLS:
            return told
        if not self.buckets:
            return f"{told}, {LACKS_USERS}"
        return f"{told}, each user once in 10 minutes"

    @property
    def measures(self) -> str:
        return f"{super().measures}{', each user once in 10 minutes' if self.buckets else ''}"

    @property
    def bad_is_wanted(self) -> bool:
        return self.worse is Worse.FEWER

    @property
    def times(self) -> float:
        return self.effect

    def plan(self, moment: Moment, start: datetime) -> SeriesPlan:  # noqa: ARG002 - nothing must be known first
        begins = start + self.lag if self.lag else None
        plan = SeriesPlan(self.total, self.bad, counting_from=begins)
        return replace(plan, bad_calls=self.bad_calls, buckets=self.buckets)

    def _sides(self, counts: Counts) -> Counts:
        return counts.swapped() if self.bad_is_wanted else counts

    def _scaled(self, share: float) -> float:
        return share / self.effect if self.bad_is_wanted else share * self.effect


class CounterLimit(Counters, Absolute):
    """The challenger's share of bad calls against a fixed limit."""

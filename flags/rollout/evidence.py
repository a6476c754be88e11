"""What Prometheus knows of how both models compare in a stage, for `no_worse`: counts in spans of time.

Four requests, and what is over stays as it is: the answer is kept until the next span is over.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

import numpy as np

from common.arms import Arms, MissingSignal
from common.e_process import Values
from common.figures import short
from common.names import Model
from common.noninferior import ArmCounts, Comparison, excluded
from common.prometheus import Prometheus
from common.selector import Matcher, Selector, quoted
from flags.rollout.no_worse import Evidence
from flags.rollout.schema import NoWorse
from rollback.guardrails.counts import Counted, count_all
from rollback.guardrails.edges import FEWEST_CALLS, Buckets, calls, slow_share

MOST_SPANS: Final = 432  # three days of ten minutes; a longer stage has longer spans
BEFORE: Final = timedelta(days=3)  # some of it was before the first users had the challenger
BEFORE_STEP: Final = timedelta(hours=1)
ALL: Final = "+Inf"  # the label `le` of the bucket that holds every call
SCALES: Final = {"seconds": 1.0, "milliseconds": 0.001}


@dataclass(frozen=True)
class Period:
    """When both models had users: from, until, and whether that is over."""

    began: datetime
    until: datetime
    over: bool = False


@dataclass
class EvidenceCache:
    """The last answer. Threads may share it."""

    _key: object = None
    _found: tuple[Evidence, ...] = ()
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: object, read: Callable[[], tuple[Evidence, ...]]) -> tuple[Evidence, ...]:
        """The answer for `key`; `read` is asked where that is another one."""
        with self._lock:
            if self._key != key:
                self._found, self._key = read(), key
            return self._found


def read_evidence(
    prometheus: Prometheus, arms: Arms, rules: NoWorse, period: Period, cache: EvidenceCache
) -> tuple[Evidence, ...]:
    """What is known of each metric that the rules name. Raises PrometheusError."""
    step = rules.span
    while (period.until - period.began) // step > MOST_SPANS:
        step *= 2
    spans = max((period.until - period.began) // step, 0)

    def read() -> tuple[Evidence, ...]:
        stage = _Stage(prometheus, arms, rules, period.began, step, spans)
        ended = period.until if period.over else None
        return tuple(replace(one, ended=ended) for one in stage.evidence())

    return cache.get((rules, arms, period.began, step, spans, period.over), read)


@dataclass(frozen=True)
class _Stage:
    prometheus: Prometheus
    arms: Arms
    rules: NoWorse
    began: datetime
    step: timedelta
    spans: int

    def evidence(self) -> Iterator[Evidence]:
        """Of each metric."""
        rules = self.rules
        margins = {"errors": rules.errors, "p99": rules.p99, **rules.outcomes}
        if not self.spans:
            why = f"it is counted in whole spans of {short(self.step)}, and there is none yet"
            yield from (Evidence(name, margin, why=why) for name, margin in margins.items() if margin)
            return
        for name, margin in margins.items():
            if margin is None:
                continue
            asks = {"errors": self._errors, "p99": self._p99}.get(name)
            try:
                yield asks(margin) if asks else self._outcome(name, margin)
            except MissingSignal as missing:
                yield Evidence(name, margin, why=str(missing), asked=False)

    def _errors(self, margin: float) -> Evidence:
        signals = self.arms.signals
        total, errors, users = signals.of("calls"), signals.of("errors"), signals.user_windows
        found = self._read([total, errors])
        plain = self._plain(found, total, errors, margin)
        bad_calls = float(plain.challenger.events.sum())
        if users:
            counters = users.buckets.calls, users.buckets.bad
            compared = self._by_bucket(*counters, users.buckets.label, margin)
            if compared and (_events(compared) or not _events(plain)):
                said = excluded(compared, self._hours, self.rules.tolerated_errors or None, bad_calls)
                return Evidence("errors", margin, said)
        said = excluded(plain, self._hours, self.rules.tolerated_errors or None)
        return Evidence("errors", margin, said, why=_by_calls(users, "user_windows"))

    def _outcome(self, name: str, margin: float) -> Evidence:
        signals = self.arms.signals
        total, every = signals.of("assignments"), signals.of("outcomes")
        label = signals.outcomes.label if signals.outcomes else "outcome"
        events = _with(every, label, name)
        later = replace(self, began=self.began + self.rules.lag, spans=self._spans_after(self.rules.lag))
        if not later.spans:
            why = f"outcomes count from {short(self.rules.lag)} after the beginning on, in whole spans of"
            return Evidence(name, margin, why=f"{why} {short(self.step)}, and there is none yet")
        only = _or_none(label, name)
        found = later._read([total, events], only)
        plain = later._plain(found, total, events, margin)
        if not _events(plain) and not self._told_before(events, only):
            return Evidence(name, margin, why=f"nobody tells an outcome {name!r}: not asked for", asked=False)
        buckets = signals.outcomes.buckets if signals.outcomes else None
        if buckets:
            counters = buckets.calls, _with(buckets.outcomes, label, name)
            compared = later._by_bucket(*counters, buckets.label, margin, only, until=self.began)
            if compared and (_events(compared) or not _events(plain)):
                return Evidence(name, margin, excluded(compared, later._hours))
        said = excluded(plain, later._hours)
        return Evidence(name, margin, said, why=_by_calls(buckets, "outcomes.buckets"))

    def _p99(self, margin: float) -> Evidence:
        signals, rules = self.arms.signals, self.rules
        series = Selector(f"{signals.of('latency').name}_bucket")
        scale = SCALES[signals.latency.unit if signals.latency else "seconds"]
        before = self._champion_times(series, self.began, BEFORE)
        if calls(before) < FEWEST_CALLS:
            end = self.began + self.spans * self.step
            before = self._champion_times(series, end, self.spans * self.step)
        try:
            slow = slow_share(before, margin=margin, floor=rules.floor.total_seconds(), scale=scale)
        except ValueError as error:
            return Evidence("p99", margin, why=str(error))
        edges = [_with(series, "le", each) for each in (ALL, slow.edge)]
        found = self._read(edges, f"le=~{quoted('|'.join(map(re.escape, (ALL, slow.edge))))}")
        arms = {}
        for model in Model:
            total, fast = (_sum(found, each, model, self.spans)[:, None] for each in edges)
            arms[model] = ArmCounts(total, np.maximum(total - fast, 0))
        compared = Comparison(arms[Model.CHAMPION], arms[Model.CHALLENGER], slow.times)
        said = excluded(compared, self._hours, rules.tolerated_slow or None)
        return Evidence("p99", margin, said, index=slow.index)

    @property
    def _hours(self) -> float:
        return self.spans * self.step / timedelta(hours=1)

    def _spans_after(self, lag: timedelta) -> int:
        return max((self.spans * self.step - lag) // self.step, 0)

    def _plain(
        self, found: Sequence[Counted], total: Selector, events: Selector, margin: float
    ) -> Comparison:
        champion, challenger = (
            ArmCounts(*(_sum(found, each, model, self.spans)[:, None] for each in (total, events)))
            for model in (Model.CHAMPION, Model.CHALLENGER)
        )
        return Comparison(champion, challenger, margin)

    def _by_bucket(
        self,
        total: Selector,
        events: Selector,
        label: str,
        margin: float,
        *only: str,
        until: datetime | None = None,
    ) -> Comparison | None:
        """None where the service has no such counters; `until`: when what is before the stage ends."""
        found = self._read([total, events], *only)
        names = sorted({one.labels[label] for one in found if label in one.labels})
        if not names:
            return None
        champion, challenger = (
            ArmCounts(*(_table(found, each, model, (label, names), self.spans) for each in (total, events)))
            for model in (Model.CHAMPION, Model.CHALLENGER)
        )
        begins = (until or self.began) - BEFORE
        early = replace(self, began=begins, step=BEFORE_STEP, spans=BEFORE // BEFORE_STEP)
        past = early._read([total, events], *only, whose=self.arms.only(Model.CHAMPION))
        before = [_table(past, each, Model.CHAMPION, (label, names), early.spans) for each in (total, events)]
        return Comparison(champion, challenger, margin, ArmCounts(*before))

    def _read(self, wanted: Sequence[Selector], *matchers: str, whose: str | None = None) -> list[Counted]:
        """Counts in each span of all series of these metrics; of more than are wanted, in one request."""
        names = "|".join(dict.fromkeys(each.name for each in wanted))
        inside = ", ".join((f'__name__=~"{names}"', self.arms.selector, whose or self.arms.both, *matchers))
        tracks = self.prometheus.matrix(f"{{{inside}}}", self.began, self.step, self.spans + 1)
        return count_all(self.arms.told(tracks))

    def _told_before(self, events: Selector, only: str) -> bool:
        early = replace(self, began=self.began - BEFORE, step=BEFORE_STEP, spans=BEFORE // BEFORE_STEP)
        found = early._read([events], only)
        return any(one.steps.sum() for one in found)

    def _champion_times(self, series: Selector, end: datetime, back: timedelta) -> Buckets:
        whose, seconds = self.arms.only(Model.CHAMPION), int(back.total_seconds())
        query = f"sum by (le) (increase({self.arms.of(series, whose)}[{seconds}s] @ {end.timestamp():.3f}))"
        return {one.labels["le"]: one.value for one in self.prometheus.vector(query) if "le" in one.labels}


def _events(compared: Comparison) -> float:
    """Of both models together."""
    return float(np.sum(compared.champion.events) + np.sum(compared.challenger.events))


def _by_calls(counters: object, signal: str) -> str:
    """Why calls count and not users: the rollout names no such counters, or they do not count it."""
    if counters:
        return f"by calls, the counters of the signal `{signal}` have none"
    return f"by calls, for want of the signal `{signal}`"


def _with(series: Selector, label: str, value: str) -> Selector:
    return Selector(series.name, (*series.matchers, Matcher(label, "=", value)))


def _or_none(label: str, value: str) -> str:
    """The matcher for series with this label, and for those without it."""
    return f"{label}=~{quoted('|' + re.escape(value))}"


def _sum(found: Sequence[Counted], wanted: Selector, model: Model, spans: int) -> Values:
    """Of all series of a model, in each span."""
    total = np.zeros(spans)
    for one in found:
        if one.labels.get("model") == model and wanted.fits(one.labels):
            total += one.steps
    return total


def _table(
    found: Sequence[Counted], wanted: Selector, model: Model, by: tuple[str, Sequence[str]], spans: int
) -> Values:
    """The same by bucket, (spans, buckets)."""
    label, names = by
    place = {name: number for number, name in enumerate(names)}
    total = np.zeros((spans, len(names)))
    for one in found:
        if one.labels.get("model") == model and wanted.fits(one.labels) and one.labels.get(label) in place:
            total[:, place[one.labels[label]]] += one.steps
    return total

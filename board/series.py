"""What the board asks Prometheus about one rollout: recorded series where there are any, else the service's.

The service of a rollout need not be ours, and its recording rules (`./canario rules`) need not be
loaded: what is not recorded is worked out by the same expressions, from the signals that the rollout's file
names. That costs Prometheus some forty times as much. What the file does not name is `missing`. Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

from common.answers import Sample, Track
from common.arms import Arms, MissingSignal, Signals
from common.names import JobMetric, Metric, PlanMetric, Recorded
from common.recording import FEWEST_SCRAPES, recording_rules
from common.selector import quoted

UP: Final = "up"  # 1 where Prometheus reaches an instance of the service, 0 where it reaches none
PLAN_SEEN: Final = "plan"  # when the plan's job was last at work
OUTCOMES: Final = "outcomes"  # what users did, among what is missing; and the versions that are served
VERSIONS: Final = "versions"
WHAT: Final = "what"  # the label that says which number a series is, where its name does not

LATELY: Final = timedelta(minutes=1)  # of rates
FRESH_SCRAPES: Final = 3  # a sample from before an outage says nothing of now

OF_NOW: Final = (
    Recorded.REQUEST_RATE,
    Recorded.LATENCY_P50,
    Recorded.LATENCY_P99,
    Recorded.ERROR_RATE,
    Recorded.AGREEMENT_RATE,
)
OVER_TIME: Final = (
    Recorded.REQUEST_RATE,
    Recorded.LATENCY_P99,
    Recorded.ERROR_RATE,
    Recorded.AGREEMENT_RATE,
)
OF_JOB: Final = (JobMetric.LOG_E, JobMetric.LOG_E_LIMIT, JobMetric.VALUE, JobMetric.LIMIT)
COUNTED: Final = (Metric.ASSIGNMENTS, Metric.OUTCOMES, Metric.MODEL_INFO)  # as `arms.canonical` names them
NEEDS: Final = {
    Recorded.LATENCY_P50: "latency",
    Recorded.LATENCY_P99: "latency",
    Recorded.ERROR_RATE: "errors",
    Recorded.AGREEMENT_RATE: "shadow_samples",
    OUTCOMES: "outcomes",
}
"""The signals of numbers that a rollout may lack."""

Told = TypeVar("Told", Sample, Track)
Names = Collection[Recorded]


@dataclass(frozen=True)
class Queries:
    """Queries for one rollout.

    Attributes:
        name: the rollout's, by which recorded series and the plan's job say whose they are; or "".
        scrape: how often Prometheus scrapes the service.
    """

    arms: Arms
    name: str = ""
    scrape: timedelta = timedelta(seconds=5)

    @property
    def lately(self) -> timedelta:
        """The window of rates: a minute, and more where the service is scraped more seldom."""
        return max(LATELY, FEWEST_SCRAPES * self.scrape)

    def now(self) -> str:
        """What is recorded of now, and who is heard, with its name in the label WHAT."""
        of_plan = f"{{rollout={quoted(self.name)}}}" if self.name else ""
        asked = [
            *([self._recorded(OF_NOW)] if self.name else []),
            _called(UP, f"max({self.arms.alive})"),
            _called(PLAN_SEEN, f"max({PlanMetric.LAST}{of_plan})"),
        ]
        if heard := self._flag_age():
            asked.append(_called(Recorded.FLAG_AGE, heard))
        return " or ".join(asked)

    def over_time(self) -> str:
        """What is recorded, and what the rollback job says of its guardrails, for charts.

        Several rollback jobs say much the same; the one with the strongest evidence counts.
        """
        of_job = f'{{__name__=~"{"|".join(OF_JOB)}", {self.arms.of_job}}}'
        asked = f"{of_job} or {self._recorded(OVER_TIME)}" if self.name else of_job
        return f"max by (__name__, model, guardrail) ({asked})"

    def worked_out(self, wanted: Iterable[Recorded], there: Collection[str]) -> str | None:
        """Those of `wanted` that are not `there`; None where that is all that the service tells.

        Each has its name in the label WHAT, and its model under Canario's name.
        """
        lacking = {name.value for name in wanted} - set(there)
        asked = [
            _called(rule["record"], rule["expr"], rule["labels"].get("model"))
            for rule in recording_rules(self.name, self.arms, self.scrape)
            if rule["record"] in lacking
        ]
        return " or ".join(asked) or None

    def outcomes(self, age: timedelta) -> str | None:
        """What users did with the answers of each model, for so long; None where that is not counted."""
        outcomes = self.arms.signals.outcomes
        if outcomes is None:
            return None
        counted = self.arms.of(outcomes.counter, self.arms.both)
        return f"sum by ({self.arms.label}, {outcomes.label}) (increase({counted}[{_seconds(age)}]))"

    def requests(self, age: timedelta) -> str:
        """Users' requests that the flag gave each model, for so long."""
        return f"sum by ({self.arms.label}) (increase({self._both('assignments')}[{_seconds(age)}]))"

    def counters(self) -> str:
        """Raw counters of requests and outcomes, and the versions that are served."""
        signals = self.arms.signals
        asked = [self._both("assignments")]
        if signals.outcomes:
            asked.append(self._both("outcomes"))
        if signals.versions:
            asked.append(f"{self.arms.of(signals.versions.metric)} == 1")
        return " or ".join(asked)

    def _recorded(self, names: Names) -> str:
        return f'{{__name__=~"{"|".join(names)}", rollout={quoted(self.name)}}}'

    def _flag_age(self) -> str | None:
        """How long ago an instance last heard from Unleash, of those that are heard themselves."""
        signals = self.arms.signals
        counter = signals.heard_ago or signals.heard
        if counter is None:
            return None
        heard = self.arms.of(counter)
        fresh = f"{heard} and time() - timestamp({heard}) < {FRESH_SCRAPES * self.scrape.total_seconds():g}"
        return f"max({fresh})" if signals.heard_ago else f"max(time() - ({fresh}))"

    def _both(self, signal: str) -> str:
        """The series of a signal, of both models. Raises MissingSignal."""
        return self.arms.of(self.arms.signals.of(signal), self.arms.both)


def named(found: Iterable[Told]) -> Iterator[tuple[tuple[str, str], Told]]:
    """Answers by the name of their number, and by their model or guardrail ("" for neither)."""
    for one in found:
        labels = one.labels
        name = labels.get(WHAT) or labels["__name__"]
        yield (name, labels.get("model") or labels.get("guardrail", "")), one


def missing(signals: Signals) -> Mapping[str, str]:
    """What cannot be worked out, by its name in Recorded, OUTCOMES or VERSIONS, with why."""
    found = {}
    for name, signal in NEEDS.items():
        try:
            signals.of(signal)
        except MissingSignal as error:
            found[str(name)] = str(error)
    if signals.heard_ago is None and signals.heard is None:
        found[str(Recorded.FLAG_AGE)] = "not available: the rollout names no signal `heard_ago`"
    if signals.versions is None:
        found[VERSIONS] = "not available: the rollout names no signal `versions`"
    return found


def _called(name: str, query: str, model: str | None = None) -> str:
    called = f'label_replace({query}, "{WHAT}", "{name}", "", "")'
    return f'label_replace({called}, "model", "{model}", "", "")' if model else called


def _seconds(length: timedelta) -> str:
    return f"{max(round(length.total_seconds()), 1)}s"

"""Where Prometheus sees the two models of one rollout, and under which names.

Canario's own names (common/names.py) are those of one service. What another service calls its calls, errors
and models stands in its rollout's file. Here those names become queries, and what Prometheus answers gets
Canario's names again: whoever judges knows no stranger's.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, WithJsonSchema

from common.answers import Sample, Series, Track
from common.config import StrictModel
from common.names import Metric, Model
from common.selector import (
    DEFAULT,
    LABEL_NAME,
    Counter,
    LabelName,
    Matcher,
    MetricName,
    Selector,
    quoted,
)

Told = TypeVar("Told", Sample, Series, Track)


class MissingSignal(ValueError):  # noqa: N818 - it says what happened
    """A rollout does not say which series tell something; the text names the signal."""


@dataclass(frozen=True)
class ServedModel:
    """A model as the service tells it."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.sha256[:12]})" if self.sha256 else self.version


UNVERSIONED: Final = ServedModel(name="", version="unknown version", sha256="")
"""Of a service that exports no versions: it could be any, and a block of it is one of any."""


WITHOUT_BUCKETS: Final = (
    "is a native histogram or a summary, which have no buckets to count by: of a native one say native: true"
    " and load the rules of `./canario rules`; in place of a summary export a histogram"
)


class Histogram(StrictModel):
    """A histogram, without `_bucket`."""

    metric: MetricName
    native: bool = False
    """Its buckets are recorded by the rollout's rules (`./canario rules`)."""
    unit: Literal["seconds", "milliseconds"] = "seconds"
    """Of its edges."""


class OutcomeBuckets(StrictModel):
    """Counters by bucket of the flag's hash of users, from 1 to 100."""

    calls: Counter
    """Calls of a model."""
    outcomes: Counter
    """What users did, with the label of the outcomes."""
    label: LabelName = "bucket"
    """Which bucket it was."""


class Outcomes(StrictModel):
    """What users did with an answer, each time a count."""

    counter: Counter
    label: LabelName = "outcome"
    """Which outcome it was."""
    buckets: Annotated[OutcomeBuckets | None, WithJsonSchema(OutcomeBuckets.model_json_schema())] = None
    """The same by bucket: how much users differ, of whom one buys often and another never."""


class BucketCounters(StrictModel):
    """Counters by bucket of the flag's hash of users, from 1 to 100."""

    calls: Counter
    """Calls of a model."""
    bad: Counter
    """User-windows that were bad."""
    label: LabelName = "bucket"
    """Which bucket it was."""


class UserWindows(StrictModel):
    """Bad calls by user: the first of each user in each ten minutes, so that who retries counts once."""

    bad: Counter
    buckets: BucketCounters


class SegmentCounters(StrictModel):
    """Counters by segment of the users, where they are others than those of all calls."""

    calls: Counter
    """Calls of a model."""
    errors: Counter | None = None
    """Those that brought no usable answer."""
    user_windows: UserWindows | None = None
    """Users to whom that happened."""
    property: LabelName | None = None
    """The label that names the property; none: the value's label is called as the property is."""
    value: LabelName = "value"
    """The label that has its value, where `property` is given."""


class Versions(StrictModel):
    """A series for each model that an instance serves; it is 1 while it does."""

    metric: MetricName
    version: LabelName = "version"
    name: LabelName | None = None
    sha256: LabelName | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that tell one version from another."""
        return tuple(filter(None, (self.name, self.version, self.sha256)))


class Shadow(StrictModel):
    """Requests of the champion that the challenger saw too."""

    samples: Counter
    """Those that it answered."""
    agreements: Counter
    """Those that both answered alike."""
    errors: Counter
    """Those to which it gave no usable answer."""
    pairs: Counter | None = None
    """Pairs of requests by label `order`: same, opposite or tied in the challenger's scores."""
    classes: Counter | None = None
    """Requests by the labels `class` and `by`: champion, challenger or both chose it."""
    scores: Counter | None = None
    """Requests by the labels `by` (whose score) and `part` (of the usual ones, from 0)."""


def _histogram(given: object) -> object:
    return {"metric": given} if isinstance(given, str) else given


Latency = Annotated[
    Histogram,
    BeforeValidator(_histogram),
    WithJsonSchema({"anyOf": [{"type": "string"}, Histogram.model_json_schema()]}),
]
Counted = Annotated[
    Outcomes,
    BeforeValidator(lambda given: {"counter": given} if isinstance(given, str) else given),
    WithJsonSchema({"anyOf": [{"type": "string"}, Outcomes.model_json_schema()]}),
]
_UP: Final = Selector("up")


_SAID: Final = {f"shadow_{part}": f"shadow.{part}" for part in Shadow.model_fields}


class Signals(StrictModel):
    """Which series tell what, of one service. What is not named is not available; see `MissingSignal`."""

    calls: Counter
    """Calls of a model."""
    errors: Counter | None = None
    """Those that brought no usable answer."""
    user_windows: UserWindows | None = None
    """Users to whom that happened."""
    latency: Latency | None = None
    """How long they took."""
    answers: Counter | None = None
    """Answers that reached users: they must stand still once the flag is off. By default the calls."""
    assignments: Counter | None = None
    """Users' requests by the model that the flag wanted. By default the calls."""
    outcomes: Counted | None = None
    segments: SegmentCounters | None = None
    """By segment. None where the series of calls and errors have labels such as country themselves."""
    scores: Counter | None = None
    """Answers of a model by the label `part`, from 0: the part of the usual scores into which theirs fell."""
    versions: Versions | None = None
    shadow: Shadow | None = None
    follows: MetricName | None = None
    """1 for the flag that an instance follows, with the labels flag and environment."""
    heard: Counter | None = None
    """When an instance last heard from Unleash, in Unix seconds."""
    heard_ago: Counter | None = None
    """How long ago that was, in seconds."""
    started: Counter | None = None
    """When the challenger's process was started, in Unix seconds: its warm-up is left out of comparisons of
    latency."""
    up: Counter | None = _UP
    """1 where a scrape brought something. None where the selector's labels are not those of targets."""

    def of(self, name: str) -> Selector:
        """The series of a signal, by its name in SIGNALS.

        Raises:
            MissingSignal: the rollout does not have it.
        """
        part, _, rest = name.partition("_")
        found: Selector | None
        if part == "shadow":
            found = getattr(self.shadow, rest) if self.shadow else None
        elif name == "user_windows":
            found = self.user_windows.bad if self.user_windows else None
        elif name == "outcomes":
            found = self.outcomes.counter if self.outcomes else None
        elif name == "latency":
            found = Selector(self.latency.metric) if self.latency else None
        elif name in ("answers", "assignments"):
            found = getattr(self, name) or self.calls
        else:
            found = getattr(self, name)
        if found is None:
            raise MissingSignal(f"not available: the rollout names no signal `{_SAID.get(name, name)}`")
        return found

    def of_segment(self, by: str, value: str) -> "Signals":
        """The same of the users whose property `by` has this value; what is not told of them is missing.

        Raises:
            MissingSignal: no label can be called so.
        """
        apart = self.segments
        label = (apart.property and apart.value if apart else None) or by
        if not re.fullmatch(LABEL_NAME, label):
            raise MissingSignal(f"not available: no label is called {by!r}; name the signal `segments`")
        property_ = (Matcher(apart.property, "=", by),) if apart and apart.property else ()
        only = (*property_, Matcher(label, "=", value))
        if apart is None:
            outcomes = self.outcomes
            return self.model_copy(
                update={
                    "calls": self.calls.where(*only),
                    "errors": self.errors and self.errors.where(*only),
                    "assignments": self.assignments and self.assignments.where(*only),
                    "outcomes": outcomes and Outcomes(counter=outcomes.counter.where(*only)),
                    "user_windows": None,
                }
            )
        users = apart.user_windows
        if users:
            groups = users.buckets
            counters = {"calls": groups.calls.where(*only), "bad": groups.bad.where(*only)}
            users = UserWindows(bad=users.bad.where(*only), buckets=groups.model_copy(update=counters))
        return Signals(
            calls=apart.calls.where(*only),
            errors=apart.errors and apart.errors.where(*only),
            user_windows=users,
        )

    def canonical(self) -> "Signals":
        """The same signals under Canario's own names: for what knows no others, as simulations."""
        there = {name for name in Signals.model_fields if getattr(self, name) is not None}
        known = OURS.model_dump(include=there) | {"up": "up"}
        if self.latency:
            known["latency"]["unit"] = self.latency.unit
        return Signals.model_validate(known)

    def resolve(self, selector: Selector) -> Selector:
        """The series that a guardrail means, where it names a signal. Raises MissingSignal."""
        if selector.signal is None:
            return selector
        found = self.of(selector.signal)
        return Selector(found.name, (*found.matchers, *selector.matchers))


OURS: Final = Signals.model_validate(
    {
        "calls": Metric.CALLS.value,
        "errors": Metric.ERRORS.value,
        "user_windows": {
            "bad": Metric.USER_WINDOWS_BAD.value,
            "buckets": {"calls": Metric.BUCKET_CALLS.value, "bad": Metric.BUCKET_USER_WINDOWS_BAD.value},
        },
        "latency": Metric.LATENCY.value,
        "answers": Metric.PREDICTIONS.value,
        "assignments": Metric.ASSIGNMENTS.value,
        "outcomes": {
            "counter": Metric.OUTCOMES.value,
            "buckets": {"calls": Metric.BUCKET_CALLS.value, "outcomes": Metric.BUCKET_OUTCOMES.value},
        },
        "scores": Metric.SCORES.value,
        "segments": {
            "calls": Metric.SEGMENT_CALLS.value,
            "errors": Metric.SEGMENT_ERRORS.value,
            "user_windows": {
                "bad": Metric.SEGMENT_USER_WINDOWS_BAD.value,
                "buckets": {
                    "calls": Metric.SEGMENT_GROUP_CALLS.value,
                    "bad": Metric.SEGMENT_GROUP_USER_WINDOWS_BAD.value,
                    "label": "group",
                },
            },
            "property": "property",
        },
        "versions": {"metric": Metric.MODEL_INFO.value, "name": "name", "sha256": "sha256"},
        "shadow": {
            "samples": Metric.SHADOW_SAMPLES.value,
            "agreements": Metric.SHADOW_AGREEMENTS.value,
            "errors": Metric.SHADOW_ERRORS.value,
            "pairs": Metric.SHADOW_PAIRS.value,
            "classes": Metric.SHADOW_CLASSES.value,
            "scores": Metric.SHADOW_SCORES.value,
        },
        "follows": Metric.ROLLOUT_INFO.value,
        "heard": Metric.FLAG_FETCHED.value,
        "heard_ago": Metric.FLAG_FETCHED_AGO.value,
        "started": Metric.CHALLENGER_STARTED.value,
    }
)
"""Of Canario's own service."""


@dataclass(frozen=True)
class Arms:
    """Where Prometheus sees the two models of one rollout.

    Attributes:
        selector: matchers of the service's series.
        label: tells the models apart; champion and challenger are its values.
    """

    flag: str
    environment: str
    selector: str = DEFAULT
    label: str = "model"
    champion: str = Model.CHAMPION.value
    challenger: str = Model.CHALLENGER.value
    signals: Signals = OURS

    def of(self, series: str | Selector, *matchers: str) -> str:
        """PromQL for the service's series of that name."""
        found = Selector(str(series)) if isinstance(series, str) else series
        return f"{found.name}{{{', '.join((*map(str, found.matchers), self.selector, *matchers))}}}"

    def value(self, model: Model) -> str:
        """What the label says of a model."""
        return self.champion if model is Model.CHAMPION else self.challenger

    def only(self, model: Model) -> str:
        """The matcher for one model."""
        return f"{self.label}={quoted(self.value(model))}"

    def unseen(self, values: Collection[str]) -> str | None:
        """What to say of an arm that is not among the label's `values` of the calls; None where both are.

        Perhaps nobody called the challenger so far; or the rollout's file has another value than the service.
        """
        missing = [self.only(model) for model in Model if self.value(model) not in values]
        if not values or not missing:
            return None
        seen = ", ".join(quoted(value) for value in sorted(values))
        return f"no series of {self.signals.calls} has {' or '.join(missing)} so far; {self.label} is {seen}"

    @property
    def both(self) -> str:
        """The matcher for both models."""
        return f"{self.label}=~{quoted('|'.join(re.escape(self.value(model)) for model in Model))}"

    @property
    def alive(self) -> str:
        """PromQL: for each target 1 where it is heard, 0 where it is not."""
        if self.signals.up:
            return self.of(self.signals.up)
        return f"group by (instance) ({self.of(self.signals.calls)})"

    @property
    def of_job(self) -> str:
        """Matchers of what the rollback job of this flag says of itself."""
        return f"flag={quoted(self.flag)}, environment={quoted(self.environment)}"

    def __str__(self) -> str:
        return f"{self.flag} in {self.environment}"

    # What Prometheus answers, in Canario's names.

    def role(self, labels: Mapping[str, str]) -> Model | None:
        """Whose series it is."""
        found = labels.get(self.label)
        return next((model for model in Model if self.value(model) == found), None)

    def told(self, found: Iterable[Told]) -> list[Told]:
        """The same with the label `model`, as Canario calls the two."""
        return [replace(one, labels=self._named(one.labels)) for one in found]

    def _named(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        role = self.role(labels)
        if self.label == "model" and (role is None or labels.get("model") == role):
            return labels
        others = {name: value for name, value in labels.items() if name != "model"}
        return others | ({"model": role.value} if role else {})

    def served(self, labels: Mapping[str, str]) -> ServedModel:
        """The version that a series of `Signals.versions` tells."""
        versions = self.signals.versions
        if versions is None:
            return UNVERSIONED
        parts = (versions.name, versions.version, versions.sha256)
        return ServedModel(*(labels.get(each, "") if each else "" for each in parts))

    def canonical(self, found: Iterable[Told], wanted: Iterable[str]) -> list[Told]:
        """The series `wanted` by Canario's names of them and of their labels; others by their own.

        One series may stand for several signals.
        """
        series = self.told(found)
        if self.signals == OURS:
            return series
        made = []
        for name in wanted:
            selector = self._selector(name)
            for one in series if selector else ():
                if selector and selector.fits(one.labels):
                    labels: dict[str, Any] = {**one.labels, "__name__": name}
                    if name == Metric.MODEL_INFO:
                        each = self.served(one.labels)
                        labels |= {"name": each.name, "version": each.version, "sha256": each.sha256}
                    if name == Metric.OUTCOMES and self.signals.outcomes:
                        labels["outcome"] = one.labels.get(self.signals.outcomes.label, "")
                    made.append(replace(one, labels=labels))
        return made

    def names(self, wanted: Iterable[str]) -> list[str]:
        """What the service calls the metrics that Canario calls so, each once; those that it has.

        A name that is no signal's is its own.
        """
        found = [selector.name for name in wanted if (selector := self._selector(name))]
        return list(dict.fromkeys(found))

    def _selector(self, name: str) -> Selector | None:
        signals = self.signals
        known: dict[str, Selector | None] = {
            "up": signals.up,
            Metric.CALLS: signals.calls,
            Metric.ERRORS: signals.errors,
            Metric.USER_WINDOWS_BAD: signals.user_windows.bad if signals.user_windows else None,
            f"{Metric.LATENCY}_bucket": Selector(f"{signals.latency.metric}_bucket")
            if signals.latency
            else None,
            Metric.PREDICTIONS: signals.of("answers"),
            Metric.ASSIGNMENTS: signals.of("assignments"),
            Metric.OUTCOMES: signals.outcomes.counter if signals.outcomes else None,
            Metric.MODEL_INFO: Selector(signals.versions.metric) if signals.versions else None,
            Metric.ROLLOUT_INFO: Selector(signals.follows) if signals.follows else None,
            Metric.FLAG_FETCHED: signals.heard,
        }
        return known.get(name, Selector(name))

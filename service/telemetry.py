"""What the service tells Prometheus. Names and labels come from `common.names`.

Collectors are built on a registry that is passed in, so that each test has its own.
"""

import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from common.names import Metric, Model, latency_buckets
from service.artifact import Metadata
from service.assignment import Reason
from service.feedback.outcomes import UNNAMED

# Why the challenger gave no answer, by its own doing: too late; no room, since it owes late replies; it
# raised; it answered nonsense; its process ended during the call; or before it; the breaker is open.
GUEST_FAILURES = ("timeout", "busy", "exception", "invalid", "crash", "down", "open")
# Why it was not asked, by no doing of its own: its process has not come up yet; cannot be started; more
# requests came at once than there are channels, with no reply overdue; its worker or its lineup ends.
HOST_REASONS = ("starting", "cannot_start", "crowded", "starved", "stopped")

LOG_KINDS = ("prediction", "shadow", "feedback")
# Why the prediction log lost a record: the disk is slow; the disk fails; it is no JSON; the log is closed.
LOG_LOSSES = ("full", "disk", "invalid", "closed")
NO_CLASS = "value"  # what the label `class` says of a regressor


class Scraped(Collector):
    """What `counted` holds, as Prometheus is to see it.

    Workers keep moments by the monotonic clock, which is one for all of a machine and which nobody sets; a
    scrape makes ages and Unix times of them. A Unix time that was kept would be wrong once the wall clock is
    set, and would still look as young as ever. A moment of 0 never was.
    """

    def __init__(self, counted: Collector) -> None:
        self._counted = counted

    def collect(self) -> Iterator[Family]:
        now, unix_time = time.monotonic(), time.time()
        for family in self._counted.collect():
            if family.name == Metric.FLAG_FETCHED:
                family.samples = [
                    each._replace(value=each.value and unix_time - (now - each.value))
                    for each in family.samples
                ]
            elif family.name == Metric.FLAG_FETCHED_AGO:
                family.samples = [each._replace(value=now - each.value) for each in family.samples]
            yield family


class Telemetry:
    """Counters, histograms and gauges of one service.

    Series that can be foreseen exist from the start, at 0: a rate over a counter that is born with its first
    error would miss that error.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        models: dict[Model, Metadata],
        flags: Iterable[str],
        follows: tuple[str, str] = ("", ""),
    ) -> None:
        """Make the collectors.

        Args:
            registry: where they are registered.
            models: what is served at first.
            flags: those that decide something.
            follows: the one that gives users the challenger, and the environment in which it is followed.
        """
        self._predictions = Counter(
            Metric.PREDICTIONS.removesuffix("_total"),
            "Answers that reached a user, by the model that gave them.",
            ["model", "class"],
            registry=registry,
        )
        self._calls = Counter(
            Metric.CALLS.removesuffix("_total"),
            "Requests for which the model was asked, or was not since it had failed before.",
            ["model"],
            registry=registry,
        )
        self._latency = Histogram(
            Metric.LATENCY,
            "Duration of each call that the model finished, also of one that failed or came too late.",
            ["model"],
            buckets=latency_buckets(),
            registry=registry,
        )
        self._errors = Counter(
            Metric.ERRORS.removesuffix("_total"),
            "Calls that brought no usable answer in time.",
            ["model", "reason"],
            registry=registry,
        )
        self._prevented = Counter(
            Metric.PREVENTED.removesuffix("_total"),
            "Requests for the challenger that never reached it because of the host: no calls, and no errors.",
            ["reason"],
            registry=registry,
        )
        self._assignments = Counter(
            Metric.ASSIGNMENTS.removesuffix("_total"),
            "Requests by the model that the flag wanted, and why.",
            ["model", "reason"],
            registry=registry,
        )
        self._info = Gauge(
            Metric.MODEL_INFO,
            "1 for the models that are served, 0 for those that were.",
            ["model", "name", "version", "sha256"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        rollout = Gauge(
            Metric.ROLLOUT_INFO,
            "1 for the flag that gives users the challenger, and the environment in which it is followed.",
            ["flag", "environment"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        rollout.labels(*follows).set(1)
        self._fetched = Gauge(
            Metric.FLAG_FETCHED,
            "When the worker that waited longest last heard from Unleash (Unix time; 0: never).",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._fetched_ago = Gauge(
            Metric.FLAG_FETCHED_AGO,
            "Since the worker that waited longest last heard from Unleash, or started.",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._known = Gauge(
            Metric.FLAG_KNOWN,
            "1 where every worker knows the flag, 0 where it is missing, archived or not yet heard of.",
            ["flag"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self.in_flight = Gauge(
            Metric.IN_FLIGHT,
            "Calls of the challenger that have not come back yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._breaker = Gauge(
            Metric.BREAKER_OPEN,
            "Workers whose circuit breaker turns calls of the challenger away.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._starts = Counter(
            Metric.GUEST_STARTS.removesuffix("_total"),
            "Starts of the challenger's process.",
            registry=registry,
        )
        self._outcomes = Counter(
            Metric.OUTCOMES.removesuffix("_total"),
            "Feedback, by the model that was assigned to the request.",
            ["model", "outcome"],
            registry=registry,
        )
        self._unnamed = Counter(
            Metric.OUTCOMES_UNNAMED.removesuffix("_total"),
            "Feedback whose outcome has no series of its own: it is counted as other.",
            ["reason"],
            registry=registry,
        )
        self._log_records = Counter(
            Metric.LOG_RECORDS.removesuffix("_total"),
            "Records that the prediction log has written.",
            ["kind"],
            registry=registry,
        )
        self._log_drops = Counter(
            Metric.LOG_DROPS.removesuffix("_total"),
            "Records that the prediction log has lost.",
            ["reason"],
            registry=registry,
        )
        for said in Reason:
            self._assignments.labels(Model.CHALLENGER if said is Reason.FLAG_ON else Model.CHAMPION, said)
        for reason in HOST_REASONS:
            self._prevented.labels(reason)
        for kind in LOG_KINDS:
            self._log_records.labels(kind)
        for reason in UNNAMED:
            self._unnamed.labels(reason)
        for reason in LOG_LOSSES:
            self._log_drops.labels(reason)
        self._fetched.set(0)
        self._fetched_ago.set(time.monotonic())
        for flag in flags:
            self._known.labels(flag).set(0)
        self.models_changed({}, models)

    def models_changed(self, old: dict[Model, Metadata], new: dict[Model, Metadata]) -> None:
        """The service answers with `new` instead of `old`."""
        for value, models in ((0, old), (1, new)):
            for role, each in models.items():
                self._info.labels(role, each.name, each.version, each.sha256).set(value)
        for role, each in new.items():
            self._create_series(role, [known.name for known in each.classes] or [NO_CLASS])

    def assigned(self, model: Model, reason: str) -> None:
        """The flag wanted `model` for a request."""
        self._assignments.labels(model, reason).inc()

    def called(self, model: Model) -> None:
        """`model` was asked, or would have been had it not failed before."""
        self._calls.labels(model).inc()

    def finished(self, model: Model, seconds: float) -> None:
        """A call of `model` came back after `seconds`, with whatever outcome."""
        self._latency.labels(model).observe(seconds)

    def failed(self, model: Model, reason: str) -> None:
        """A call of `model` brought no usable answer in time."""
        self._errors.labels(model, reason).inc()

    def prevented(self, reason: str) -> None:
        """A request for the challenger never reached it, for one of HOST_REASONS."""
        self._prevented.labels(reason).inc()

    def answered(self, model: Model, class_name: str | None) -> None:
        """A user got the answer of `model`; a regressor has no classes."""
        self._predictions.labels(model, NO_CLASS if class_name is None else class_name).inc()

    def breaker_open(self, is_open: bool) -> None:
        """The breaker opened or closed."""
        self._breaker.set(is_open)

    def guest_started(self) -> None:
        """A process of the challenger became ready."""
        self._starts.inc()

    def outcome(self, model: str, outcome: str) -> None:
        """Feedback came about a request or a user of `model`, which may be `unknown`."""
        self._outcomes.labels(model, outcome).inc()

    def outcome_unnamed(self, reason: str) -> None:
        """Feedback was counted as `other`; one of service.feedback.outcomes.UNNAMED."""
        self._unnamed.labels(reason).inc()

    def logged(self, kind: str, count: int) -> None:
        """The prediction log has written `count` records."""
        self._log_records.labels(kind).inc(count)

    def log_dropped(self, reason: str, count: int) -> None:
        """The prediction log has lost `count` records."""
        self._log_drops.labels(reason).inc(count)

    def flags_fetched(self, moment: float) -> None:
        """Unleash answered this worker at `moment`, by the monotonic clock."""
        self._fetched.set(moment)
        self._fetched_ago.set(moment)

    def flag_known(self, flag: str, known: bool) -> None:
        """Whether Unleash knows `flag`."""
        self._known.labels(flag).set(known)

    def _create_series(self, role: Model, classes: Iterable[str]) -> None:
        self._calls.labels(role)
        self._latency.labels(role)
        for reason in GUEST_FAILURES:
            self._errors.labels(role, reason)
        for name in classes:
            self._predictions.labels(role, name)

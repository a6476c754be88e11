"""What the service tells Prometheus of requests, feedback and its log. Names and labels: `common.names`.

Collectors are built on a registry that is passed in, so that each test has its own. Series that can be
foreseen exist from the start, at 0: a rate over a counter that is born with its first error would miss it.
"""

import os
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from common.names import Metric, Model, latency_buckets
from service.assignment.assignment import Reason
from service.challenger.closeness import score_edges
from service.feedback.outcomes import UNNAMED
from service.metrics.files import UncountedWorkers
from service.metrics.merge import reading
from service.models.artifact import Metadata
from service.models.onnx_model import Answer
from service.workers.boot import COUNTS_VARIABLE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Why the challenger gave no answer, by its own doing: too late; no room, since it owes late replies; it
# raised; it answered nonsense; its process ended during the call; or before it; the breaker is open; the
# request lacks a feature that it needs.
CHALLENGER_FAILURES = ("timeout", "busy", "exception", "invalid", "crash", "down", "open", "features")
# Why it was not asked, by no doing of its own: its process has not come up yet; cannot be started; more
# requests came at once than there are channels, with no reply overdue; its worker or its lineup ends.
HOST_REASONS = ("starting", "cannot_start", "crowded", "starved", "stopped")

LOG_KINDS = ("prediction", "shadow", "feedback")
# Why the prediction log lost a record: the disk is slow; the disk fails; it is no JSON; the log is closed.
LOG_LOSSES = ("full", "disk", "invalid", "closed")
NO_USER = "no_user"  # why /assign answered champion: the request names no user
NO_CLASS = "value"  # what the label `class` says of a regressor

# Asked by machines, all day long.
UNCOUNTED_PATHS = frozenset(
    {"/metrics", "/healthz", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready"}
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a client may call a method anything, and each name would be a series
_BEGUN = "canario.begun"

Labelled = TypeVar("Labelled", Counter, Histogram)


def quick(collector: Labelled) -> Labelled:
    """The collector, whose `labels` finds what it found before by their values as they were given.

    It would make texts of them at each call, under a lock, which takes longer than to count.
    """
    collector.labels = cache(collector.labels)  # type: ignore[method-assign]
    return collector


class Collectors:
    """Makes collectors on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, told: str, *labels: str) -> Counter:
        """A counter; `told` is its help."""
        return quick(Counter(name, told, labels, registry=self._registry))

    def gauge(
        self, name: str, told: str, of_workers: Literal["livemin", "livemax", "livesum"], *labels: str
    ) -> Gauge:
        """A gauge that says, of the live workers, the least, the greatest or the sum."""
        return Gauge(name, told, labels, registry=self._registry, multiprocess_mode=of_workers)

    def latency(self, name: str, told: str, *labels: str) -> Histogram:
        """A histogram of seconds."""
        return quick(Histogram(name, told, labels, buckets=latency_buckets(), registry=self._registry))


class ServiceMetrics:
    """The collectors of one worker.

    Args:
        flags: those that decide something.
        follows: the one that gives users the challenger, and the environment in which it is followed.
    """

    def __init__(
        self, registry: CollectorRegistry, flags: Iterable[str], follows: tuple[str, str] = ("", "")
    ) -> None:
        made = Collectors(registry)
        self._parts: dict[Model, list[Counter]] = {}
        self._edges: list[float] = []
        self.predictions = made.counter(
            Metric.PREDICTIONS, "Answers that reached a user, by the model that gave them.", "model", "class"
        )
        self.calls = made.counter(
            Metric.CALLS,
            "Requests for which the model was asked, or was not since it had failed before.",
            "model",
        )
        self._scores = made.counter(
            Metric.SCORES,
            "Answers that reached a user, by model and by the part of the champion's usual scores.",
            *("model", "part"),
        )
        self.latency = made.latency(
            Metric.LATENCY,
            "Duration of each call that the model finished, also of one that failed or came too late.",
            "model",
        )
        self.errors = made.counter(
            Metric.ERRORS, "Calls that brought no usable answer in time.", "model", "reason"
        )
        self.user_windows_bad = made.counter(
            Metric.USER_WINDOWS_BAD,
            "First call of each user in ten minutes by the clock that brought no usable answer in time.",
            "model",
        )
        self.bucket_calls = made.counter(
            Metric.BUCKET_CALLS,
            "Calls as in model_calls_total, by bucket of the canary flag's hash of the user.",
            *("model", "bucket"),
        )
        self.bucket_user_windows_bad = made.counter(
            Metric.BUCKET_USER_WINDOWS_BAD,
            "The same of user_windows_bad_total.",
            *("model", "bucket"),
        )
        self.user_windows_dropped = made.counter(
            Metric.USER_WINDOWS_DROPPED,
            "Bad calls of users for whom there was no room in user_windows_bad_total.",
        )
        self.prevented = made.counter(
            Metric.PREVENTED,
            "Requests for the challenger that never reached it because of the host: no calls, and no errors.",
            "reason",
        )
        self.assignments = made.counter(
            Metric.ASSIGNMENTS, "Requests by the model that the flag wanted, and why.", "model", "reason"
        )
        self.proxy_assignments = made.counter(
            Metric.PROXY_ASSIGNMENTS,
            "Answers to a proxy that asked which model a user gets, and why.",
            *("model", "reason"),
        )
        self.in_flight = made.gauge(
            Metric.IN_FLIGHT, "Calls of the challenger that have not come back yet.", "livesum"
        )
        self.breaker_open = made.gauge(
            Metric.BREAKER_OPEN,
            "Workers whose circuit breaker is open: calls of the challenger are not made.",
            "livesum",
        )
        self._challenger_starts = made.counter(Metric.GUEST_STARTS, "Starts of the challenger's process.")
        self._challenger_started = made.gauge(
            Metric.CHALLENGER_STARTED,
            "When a challenger's process became ready last, in any worker (Unix time; 0: never).",
            "livemax",
        )
        self.bucket_outcomes = made.counter(
            Metric.BUCKET_OUTCOMES,
            "The same by bucket of the canary flag's hash of the user, of outcomes that are named.",
            *("model", "outcome", "bucket"),
        )
        self.outcomes = made.counter(
            Metric.OUTCOMES, "Feedback, by the model that was assigned to the request.", "model", "outcome"
        )
        self.outcomes_unnamed = made.counter(
            Metric.OUTCOMES_UNNAMED,
            "Feedback whose outcome has no series of its own: it is counted as other.",
            "reason",
        )
        self.log_records = made.counter(
            Metric.LOG_RECORDS, "Records that the prediction log has written.", "kind"
        )
        self.log_drops = made.counter(Metric.LOG_DROPS, "Records that the prediction log has lost.", "reason")
        self._info = made.gauge(
            Metric.MODEL_INFO,
            "1 for the models that are served, 0 for those that were.",
            "livemax",
            *("model", "name", "version", "sha256"),
        )
        rollout = made.gauge(
            Metric.ROLLOUT_INFO,
            "1 for the flag that gives users the challenger, and the environment in which it is followed.",
            "livemax",
            *("flag", "environment"),
        )
        self._fetched = made.gauge(
            Metric.FLAG_FETCHED,
            "When the worker that waited longest last heard from Unleash (Unix time; 0: never).",
            "livemin",
        )
        self._fetched_ago = made.gauge(
            Metric.FLAG_FETCHED_AGO,
            "Since the worker that waited longest last heard from Unleash, or started.",
            "livemin",
        )
        self.flag_known = made.gauge(
            Metric.FLAG_KNOWN,
            "1 where every worker knows the flag, 0 where it is missing, archived or not yet heard of.",
            "livemin",
            "flag",
        )
        for said in (each for each in Reason if each is not Reason.CANARY_PERCENT):  # that may mean either
            model = Model.CHALLENGER if said is Reason.FLAG_ON else Model.CHAMPION
            self.assignments.labels(model, said)
            self.proxy_assignments.labels(model, said)
        self.proxy_assignments.labels(Model.CHAMPION, NO_USER)
        for counter, values in (
            (self.prevented, HOST_REASONS),
            (self.log_records, LOG_KINDS),
            (self.log_drops, LOG_LOSSES),
            (self.outcomes_unnamed, UNNAMED),
        ):
            for value in values:
                counter.labels(value)
        rollout.labels(*follows).set(1)
        self._fetched.set(0)
        self._fetched_ago.set(time.monotonic())
        for flag in flags:
            self.flag_known.labels(flag).set(0)

    def models_changed(self, old: dict[Model, Metadata], new: dict[Model, Metadata]) -> None:
        """The service answers with `new` instead of `old`."""
        for value, models in ((0, old), (1, new)):
            for role, each in models.items():
                self._info.labels(role, each.name, each.version, each.sha256).set(value)
        for role, each in new.items():
            self.calls.labels(role)
            self.latency.labels(role)
            self.user_windows_bad.labels(role)
            for reason in CHALLENGER_FAILURES:
                self.errors.labels(role, reason)
            for name in [known.name for known in each.classes] or [NO_CLASS]:
                self.predictions.labels(role, name)

        if Model.CHAMPION in new:
            self._edges = score_edges(new[Model.CHAMPION])
            parts = range(len(self._edges) + 1 if self._edges else 0)
            self._parts = {role: [self._scores.labels(role, part) for part in parts] for role in new}

    def answered(self, model: Model, answer: Answer) -> None:
        """A user got this answer."""
        self.predictions.labels(model, answer.class_name or NO_CLASS).inc()
        parts, score = self._parts.get(model), answer.score
        if parts and score is not None:
            parts[bisect_right(self._edges, score)].inc()

    def challenger_started(self) -> None:
        """A process of the challenger has become ready.

        The wall clock's time is kept: made anew at each scrape, as of other moments, it would never stay.
        """
        self._challenger_starts.inc()
        self._challenger_started.set(time.time())

    def called(self, model: Model, bucket: int) -> None:
        """A user of this bucket called the model."""
        self.bucket_calls.labels(model, bucket).inc()

    def failed_user(self, model: Model, bucket: int) -> None:
        """The model failed a user of this bucket for the first time in a window."""
        self.user_windows_bad.labels(model).inc()
        self.bucket_user_windows_bad.labels(model, bucket).inc()

    def flags_fetched(self, moment: float) -> None:
        """Unleash answered this worker at `moment`, by the monotonic clock."""
        self._fetched.set(moment)
        self._fetched_ago.set(moment)


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


class HttpMetrics(PrometheusMetrics):
    """Serves /metrics, summed over all workers where PROMETHEUS_MULTIPROC_DIR is set, and counts requests.

    The exporter finds each series by its labels anew at every request, which takes longer than a model.
    Names and labels are its own.
    """

    def __init__(self, app: Flask, registry: CollectorRegistry) -> None:
        super().__init__(app, registry=registry)  # type: ignore[no-untyped-call]

    def export_defaults(self, *_: Any, app: Flask, **__: Any) -> None:  # type: ignore[override]
        """Count the requests of `app`: the exporter calls this where it would begin to do so itself."""
        duration = Histogram(
            "flask_http_request_duration_seconds",
            "Flask HTTP request duration in seconds",
            ["method", "url_rule", "status"],
            registry=self.registry,
        )
        total = Counter(
            "flask_http_request",
            "Total number of HTTP requests",
            ["method", "status"],
            registry=self.registry,
        )
        self._duration, self._total = quick(duration), quick(total)
        app.wsgi_app = _Begins(app.wsgi_app)  # type: ignore[method-assign]
        app.after_request(self._count)

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[str, str]:
        """What /metrics answers, and its type; of `names` only, if there are any."""
        folder = os.environ.get(COUNTS_VARIABLE)
        counted = MultiProcessCollector(None) if folder else self.registry  # type: ignore[no-untyped-call]
        if folder:
            self._total.labels("GET", 200).inc(0)  # each count looks for room, where there was none
        with reading(Path(folder)) if folder else nullcontext():
            registry = CollectorRegistry(auto_describe=bool(names))
            registry.register(Scraped(counted))
            if folder:
                registry.register(UncountedWorkers(Path(folder)))
            encode, content_type = choose_encoder(accept_header or "")
            return encode(registry.restricted_registry(names) if names else registry).decode(), content_type

    def _count(self, response: Response) -> Response:
        asked = request._get_current_object()  # type: ignore[attr-defined] # each use of the proxy costs
        if asked.path not in UNCOUNTED_PATHS:
            method, status = asked.method if asked.method in METHODS else OTHER, response.status_code
            seconds = time.perf_counter() - asked.environ[_BEGUN]
            self._duration.labels(method, str(asked.url_rule), status).observe(seconds)
            self._total.labels(method, status).inc()
        return response


class _Begins:
    """Notes when a request began; as a hook of Flask's it would cost eight times as much."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ[_BEGUN] = time.perf_counter()
        return self._app(environ, start_response)

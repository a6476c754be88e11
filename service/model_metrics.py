"""What a service tells Prometheus about the models that it takes while it runs."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from common.names import Metric

# Why a worker refused new models: roles.json is none; an artifact does not fit; Unleash was not heard, so
# that a new challenger might get a share that was meant for another; any of it when the worker started; else.
REFUSALS = ("unreadable", "model", "flags", "start", "bug")


class ModelMetrics:
    """Series exist from the start, at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._revision = Gauge(
            Metric.MODELS_REVISION,
            "Revision of roles.json that the worker serves which is furthest behind (0: no roles.json).",
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._reloads = Counter(
            Metric.MODEL_RELOADS.removesuffix("_total"),
            "Times that a worker took new models while it ran.",
            registry=registry,
        )
        self._failures = Counter(
            Metric.MODEL_RELOAD_FAILURES.removesuffix("_total"),
            "Times that a worker refused new models; the old ones serve on.",
            ["reason"],
            registry=registry,
        )
        self._down = Gauge(
            Metric.CHALLENGER_DOWN,
            "Workers in which the challenger does not run although it is wanted.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._revision.set(0)
        self._down.set(0)
        for reason in REFUSALS:
            self._failures.labels(reason)

    def began(self, revision: int | None) -> None:
        """The worker starts with this revision."""
        self._revision.set(revision or 0)

    def challenger_down(self, is_down: bool) -> None:
        """Whether a challenger is wanted and does not run."""
        self._down.set(is_down)

    def took(self, revision: int | None) -> None:
        """The worker took this revision."""
        self._revision.set(revision or 0)
        self._reloads.inc()

    def refused(self, reason: str) -> None:
        """The worker refused one."""
        self._failures.labels(reason).inc()

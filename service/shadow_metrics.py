"""What shadow tells Prometheus: counted by the batch, and apart from what guardrails look at."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.names import Metric, latency_buckets
from service.telemetry import HOST_REASONS

# Why the challenger never saw a sample: the queue was full; an earlier batch is still owed; its process has
# ended; or one of service.telemetry.HOST_REASONS.
DROPS = ("full", "busy", "down", *HOST_REASONS)
# Why it saw a sample and gave no answer; see service.telemetry.GUEST_FAILURES.
FAILURES = ("timeout", "exception", "invalid", "crash")


class ShadowMetrics:
    """Each sample ends up in exactly one of samples, errors and drops. Series exist from the start, at 0."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._samples = Counter(
            Metric.SHADOW_SAMPLES.removesuffix("_total"),
            "Requests of the champion that the challenger answered too.",
            registry=registry,
        )
        self._agreements = Counter(
            Metric.SHADOW_AGREEMENTS.removesuffix("_total"),
            "Of those, requests for which both models chose the same.",
            registry=registry,
        )
        self._errors = Counter(
            Metric.SHADOW_ERRORS.removesuffix("_total"),
            "Requests of the champion to which the challenger gave no usable answer.",
            ["reason"],
            registry=registry,
        )
        self._drops = Counter(
            Metric.SHADOW_DROPS.removesuffix("_total"),
            "Requests of the champion that the challenger was to see and did not.",
            ["reason"],
            registry=registry,
        )
        self._latency = Histogram(
            Metric.SHADOW_LATENCY,
            "Duration of each batch inside the challenger's process.",
            buckets=latency_buckets(),
            registry=registry,
        )
        self._depth = Gauge(
            Metric.SHADOW_QUEUE,
            "Samples that waited when the last batch was begun.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._depth.set(0)
        for reason in FAILURES:
            self._errors.labels(reason)
        for reason in DROPS:
            self._drops.labels(reason)

    def compared(self, samples: int, agreements: int) -> None:
        """The challenger answered `samples` requests, `agreements` of them as the champion did."""
        self._samples.inc(samples)
        self._agreements.inc(agreements)

    def failed(self, samples: int, reason: str) -> None:
        """The challenger was asked and gave no usable answer."""
        self._errors.labels(reason).inc(samples)

    def dropped(self, samples: int, reason: str) -> None:
        """The challenger was never asked."""
        self._drops.labels(reason).inc(samples)

    def batch_took(self, seconds: float) -> None:
        """A batch came back."""
        self._latency.observe(seconds)

    def waiting(self, samples: int) -> None:
        """So many samples are in the queue."""
        self._depth.set(samples)

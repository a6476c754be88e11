"""What the service tells Prometheus of the models that it takes while it runs, and of shadow."""

from prometheus_client import CollectorRegistry

from common.names import Metric, Model
from service.challenger.closeness import BOTH, OPPOSITE, SAME, TIED
from service.metrics.service import HOST_REASONS, Collectors

# Why a worker refused new models: roles.json is none; an artifact does not fit; Unleash was not heard, so
# that a new challenger might get a share that was meant for another; any of it when the worker started; else.
REFUSALS = ("unreadable", "model", "flags", "start", "bug")
# Why the challenger never saw a shadow sample: the queue was full; an earlier batch is still owed; its
# process has ended; or one of HOST_REASONS.
DROPS = ("full", "busy", "down", *HOST_REASONS)
# Why it saw a sample and gave no answer; see service.metrics.service.CHALLENGER_FAILURES.
MOST_EXPECTED = 100
FAILURES = ("timeout", "exception", "invalid", "crash", "features")


class ModelMetrics:
    """Of the models. A worker has them before it knows whether it can serve any."""

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Collectors(registry)
        self.revision = made.gauge(
            Metric.MODELS_REVISION,
            "Revision of roles.json that the worker serves which is furthest behind (0: no roles.json).",
            "livemin",
        )
        self.reloads = made.counter(Metric.MODEL_RELOADS, "Times that a worker took new models while it ran.")
        self.refusals = made.counter(
            Metric.MODEL_RELOAD_FAILURES,
            "Times that a worker refused new models; the previous ones serve on.",
            "reason",
        )
        self.challenger_down = made.gauge(
            Metric.CHALLENGER_DOWN,
            "Workers in which the challenger does not run although it is wanted.",
            "livesum",
        )
        self.revision.set(0)
        self.challenger_down.set(0)
        for reason in REFUSALS:
            self.refusals.labels(reason)


class ShadowMetrics:
    """Of shadow: counted by the batch, and apart from what guardrails look at.

    Each sample ends up in exactly one of samples, errors and drops.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Collectors(registry)
        self.samples = made.counter(
            Metric.SHADOW_SAMPLES, "Requests of the champion that the challenger answered too."
        )
        self.agreements = made.counter(
            Metric.SHADOW_AGREEMENTS, "Of those, requests for which champion and challenger agreed."
        )
        self.output_agreements = made.counter(
            Metric.SHADOW_OUTPUT_AGREEMENTS,
            "Of those, of a model of several outputs, requests for which they agreed on this one.",
            "output",
        )
        self.pairs = made.counter(
            Metric.SHADOW_PAIRS,
            "Pairs of requests that the champion's scores put into an order, by that of the challenger's.",
            "order",
        )
        self.classes = made.counter(
            Metric.SHADOW_CLASSES,
            "Requests that both models answered, by class and who chose it: one of them, or both.",
            "class",
            "by",
        )
        self.scores = made.counter(
            Metric.SHADOW_SCORES,
            "Requests that both models answered, by whose score it is and its part of the champion's.",
            "by",
            "part",
        )
        self.errors = made.counter(
            Metric.SHADOW_ERRORS,
            "Requests of the champion to which the challenger gave no usable answer.",
            "reason",
        )
        self.drops = made.counter(
            Metric.SHADOW_DROPS,
            "Requests of the champion that the challenger was to see and did not.",
            "reason",
        )
        self.latency = made.latency(
            Metric.SHADOW_LATENCY, "Duration of each batch inside the challenger's process."
        )
        self.queue = made.gauge(
            Metric.SHADOW_QUEUE, "Samples that waited when the last batch was begun.", "livesum"
        )
        self.queue.set(0)
        for reason in FAILURES:
            self.errors.labels(reason)
        for reason in DROPS:
            self.drops.labels(reason)
        for order in (SAME, OPPOSITE, TIED):
            self.pairs.labels(order)

    def expect(self, classes: list[str], edges: int, outputs: list[str]) -> None:
        """Have the series of these: Prometheus misses the first increment of one that was not there."""
        for name in outputs:
            self.output_agreements.labels(name)
        for name in classes[:MOST_EXPECTED]:
            for by in (*Model, BOTH):
                self.classes.labels(name, by)
        for part in range(edges + 1 if edges else 0):
            for by in Model:
                self.scores.labels(by, part)

"""HTTP metrics and /metrics by prometheus-flask-exporter, with its counting made cheap.

The exporter finds each series by its labels anew at every request, which takes longer than a model. Names and
labels are its own; only what it found is kept.
"""

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_flask_exporter import PrometheusMetrics

from service.metrics_files import UncountedWorkers
from service.metrics_folder import VARIABLE
from service.metrics_merge import reading
from service.telemetry import Scraped

UNCOUNTED = frozenset({"/metrics", "/healthz", "/readyz"})  # asked by machines, all day long
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"  # a client may call a method anything, and each name would be a series
_BEGUN = "canario.begun"


class HttpMetrics(PrometheusMetrics):
    """Serves /metrics, summed over all workers where PROMETHEUS_MULTIPROC_DIR is set, and counts requests."""

    def __init__(self, app: Flask, registry: CollectorRegistry) -> None:
        self._series: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}
        super().__init__(app, registry=registry)  # type: ignore[no-untyped-call]

    def export_defaults(self, *_: Any, app: Flask, **__: Any) -> None:  # type: ignore[override]
        """Count the requests of `app`: the exporter calls this where it would begin to do so itself."""
        self._duration = Histogram(
            "flask_http_request_duration_seconds",
            "Flask HTTP request duration in seconds",
            ["method", "url_rule", "status"],
            registry=self.registry,
        )
        self._total = Counter(
            "flask_http_request",
            "Total number of HTTP requests",
            ["method", "status"],
            registry=self.registry,
        )
        app.before_request(_begin)
        app.after_request(self._count)

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[str, str]:
        """What /metrics answers, and its type; of `names` only, if there are any."""
        folder = os.environ.get(VARIABLE)
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
        if asked.path not in UNCOUNTED:
            key = (asked.method, str(asked.url_rule), response.status_code)
            duration, total = self._series.get(key) or self._find(*key)
            duration.observe(time.perf_counter() - asked.environ[_BEGUN])
            total.inc()
        return response

    def _find(self, method: str, rule: str, status: int) -> tuple[Histogram, Counter]:
        known = method if method in METHODS else OTHER
        found = self._duration.labels(known, rule, status), self._total.labels(known, status)
        if known is method:
            self._series[method, rule, status] = found
        return found


def _begin() -> None:
    request.environ[_BEGUN] = time.perf_counter()

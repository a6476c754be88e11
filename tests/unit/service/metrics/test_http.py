"""What is counted of HTTP, and that it is what the exporter itself would count."""

import re

import pytest
from flask import Flask, abort
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics

from service.metrics.service import HttpMetrics

CALLS = [
    ("GET", "/ok/1"),
    ("GET", "/ok/2"),
    ("POST", "/ok/1"),
    ("GET", "/bad"),
    ("GET", "/nowhere"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
]


def counted(app: Flask, calls: list[tuple[str, str]]) -> dict[str, float]:
    """The counts, by series."""
    client = app.test_client()
    for method, path in calls:
        client.open(path, method=method)
    lines = client.get("/metrics").get_data(as_text=True).splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines)
        if re.match(r"flask_http_request(_total|_duration_seconds_count)\{", name)
    }


def an_app() -> Flask:
    app = Flask("app")
    app.get("/ok/<number>", endpoint="ok")(lambda number: number)
    app.get("/healthz", endpoint="health")(lambda: "ok")
    app.get("/bad", endpoint="bad")(lambda: abort(418))
    return app


def test_series_are_those_of_the_exporter() -> None:
    ours, theirs = an_app(), an_app()
    HttpMetrics(ours, CollectorRegistry())
    PrometheusMetrics(  # type: ignore[no-untyped-call]
        theirs,
        registry=CollectorRegistry(),
        group_by="url_rule",
        excluded_paths=["^/metrics$", "^/healthz$", "^/readyz$"],
    )
    counts = counted(ours, CALLS)
    assert counts == counted(theirs, CALLS)
    assert counts['flask_http_request_total{method="GET",status="200"}'] == 2
    assert len(counts) == 8


def test_durations_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    app, registry = an_app(), CollectorRegistry()
    HttpMetrics(app, registry)
    times = iter([10.0, 10.25])
    monkeypatch.setattr("service.metrics.service.time.perf_counter", lambda: next(times))
    app.test_client().get("/ok/1")
    labels = {"method": "GET", "url_rule": "/ok/<number>", "status": "200"}
    assert registry.get_sample_value("flask_http_request_duration_seconds_sum", labels) == 0.25


def test_odd_methods_share_one_series() -> None:
    app = an_app()
    HttpMetrics(app, CollectorRegistry())
    counts = counted(app, [(f"ODD{number}", "/ok/1") for number in range(50)])
    assert counts['flask_http_request_total{method="other",status="405"}'] == 50
    assert len(counts) == 2

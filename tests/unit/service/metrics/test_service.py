"""Times in what is scraped, where clocks are set while the service runs."""

import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from common.names import Metric
from service.metrics.service import HttpMetrics, ServiceMetrics


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The wall clock and the monotonic one, to be set."""
    now = {"time": 1_800_000_000.0, "monotonic": 5_000.0}
    monkeypatch.setattr(time, "time", lambda: now["time"])
    monkeypatch.setattr(time, "monotonic", lambda: now["monotonic"])
    return now


def scrape(client: FlaskClient, query: str = "") -> dict[str, float]:
    families = text_string_to_metric_families(client.get(f"/metrics{query}").text)
    return {each.name: each.value for family in families for each in family.samples if not each.labels}


def test_the_age_of_the_flags_knows_no_wall_clock(clocks: dict[str, float]) -> None:
    app, registry = Flask("app"), CollectorRegistry()
    metrics = ServiceMetrics(registry, ())
    HttpMetrics(app, registry)
    client = app.test_client()
    clocks["monotonic"] += 7
    found = scrape(client)
    assert (found[Metric.FLAG_FETCHED], found[Metric.FLAG_FETCHED_AGO]) == (0, 7)
    metrics.flags_fetched(clocks["monotonic"])
    clocks["time"] -= 3600
    clocks["monotonic"] += 40
    found = scrape(client)
    assert found[Metric.FLAG_FETCHED_AGO] == 40
    assert found[Metric.FLAG_FETCHED] == clocks["time"] - 40
    assert scrape(client, f"?name[]={Metric.FLAG_FETCHED_AGO}") == {Metric.FLAG_FETCHED_AGO: 40}


def test_the_worker_that_waited_longest_is_told(
    clocks: dict[str, float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    app, registry = Flask("app"), CollectorRegistry()
    HttpMetrics(app, registry)
    # As the files of two workers hold it.
    for pid, moment in ((1, 4_990.0), (2, 4_999.0)):
        values: Any = MmapedDict(  # type: ignore[no-untyped-call]
            str(tmp_path / f"gauge_livemin_{pid}.db")
        )
        for name in (Metric.FLAG_FETCHED, Metric.FLAG_FETCHED_AGO):
            values.write_value(mmap_key(name, name, [], [], ""), moment, clocks["time"])
        values.close()
    found = scrape(app.test_client())
    assert (found[Metric.FLAG_FETCHED], found[Metric.FLAG_FETCHED_AGO]) == (clocks["time"] - 10, 10)

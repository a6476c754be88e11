"""A rollout whose latency is a native histogram, on a real Prometheus: refused, or recorded as classic."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from bench.server import free_address, server
from common.arms import Arms, Histogram, Signals
from common.prometheus import Prometheus
from common.recording import native_rules
from rollback.guardrails.file import load_policy
from rollback.guardrails.judging import Judging
from rollback.guardrails.verdict import Status
from rollback.rollouts import TEMPLATES
from rollback.signals import look
from stack.paths import Cache
from stack.servers import monitoring
from tests.integration.conftest import wait_for
from tests.integration.native_exporter import counter, exporting, native_histogram

ARMS = Arms(
    "ranker-v2",
    "production",
    'job="shop"',
    "variant",
    "control",
    "ranker-v2",
    Signals.model_validate({"calls": "shop_requests_total", "latency": "shop_seconds"}),
)
NATIVE = replace(
    ARMS, signals=ARMS.signals.model_copy(update={"latency": Histogram(metric="shop_seconds", native=True)})
)
BUCKETS = {-24: 400, -16: 500, -8: 100}  # up to 0.125, 0.25 and 0.5 s


@pytest.fixture
def prometheus(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Prometheus]:
    """One that scrapes a shop with calls and a native histogram of both variants."""
    arms = [{"variant": "control"}, {"variant": "ranker-v2"}]
    body = counter("shop_requests_total", [(arm, 1000) for arm in arms])
    body += native_histogram("shop_seconds", [(arm, BUCKETS) for arm in arms])
    cache, url = Cache.default(), free_address()
    rules = tmp_path / "rules.yml"
    if request.param:
        groups = [{"name": "native", "interval": "1s", "rules": [*native_rules(NATIVE)]}]
        rules.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    monitoring.ensure_prometheus(cache)
    with exporting(body) as target:
        scrape = {"job_name": "shop", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
        config = tmp_path / "prometheus.yml"
        config.write_text(
            yaml.safe_dump({"rule_files": [str(rules)], "scrape_configs": [scrape]}), encoding="utf-8"
        )
        command = [
            str(monitoring.prometheus(cache)),
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--enable-feature=native-histograms",
        ]
        with server(command, os.environ, url, "/-/ready"):
            asked = Prometheus(url)
            wait_for(lambda: asked.instant("count(up == 1)") == 1, 20, "a scrape")
            yield asked


@pytest.mark.timeout(60)
@pytest.mark.parametrize("prometheus", [False], indirect=True)
def test_what_has_no_buckets_is_named_and_the_rest_is_judged(prometheus: Prometheus) -> None:
    assert prometheus.instant('sum(histogram_count(shop_seconds{job="shop"}))') == 2000, "it is native"
    policy = load_policy(TEMPLATES["http-service"], ARMS.signals).paced(timedelta(seconds=1))
    judging = Judging(prometheus, policy, ARMS, None)

    def sentences() -> dict[str, tuple[Status, str]]:
        return {one.guardrail: (one.status, one.sentence) for one in judging.verdicts()}

    wait_for(lambda: "tail-latency" in sentences(), 20, "verdicts")
    status, sentence = sentences()["tail-latency"]
    assert status is Status.CANNOT_MEASURE
    assert sentence.startswith("shop_seconds is a native histogram or a summary")
    latency = next(one for one in look(prometheus, ARMS) if one.signal == "latency")
    assert latency.missing
    assert latency.sentence.startswith("shop_seconds is a native histogram or a summary")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("prometheus", [True], indirect=True)
def test_the_rules_record_a_classic_histogram_of_it(prometheus: Prometheus) -> None:
    query = 'shop_seconds_bucket{job="shop", variant="ranker-v2"}'
    wait_for(lambda: len(prometheus.vector(query)) == 62, 20, "recorded buckets")
    found = {float(one.labels["le"]): one.value for one in prometheus.vector(query)}
    edges = sorted(found)
    assert edges[-1] == float("inf")
    assert found[0.125] == 400
    assert found[0.25] == 900
    assert found[0.5] == found[float("inf")] == 1000
    counts = [found[edge] for edge in edges]
    assert counts == sorted(counts)
    assert all(count == int(count) for count in counts)
    assert found[edges[0]] == 0
    latency = next(one for one in look(prometheus, NATIVE) if one.signal == "latency")
    assert (latency.missing, latency.sentence) == (False, "there")
    policy = load_policy(TEMPLATES["http-service"], NATIVE.signals).paced(timedelta(seconds=1))

    def tail() -> tuple[Status, str]:
        found = {one.guardrail: one for one in Judging(prometheus, policy, NATIVE, None).verdicts()}
        return (found["tail-latency"].status, found["tail-latency"].sentence)

    wait_for(lambda: tail()[0] is Status.NO_DATA, 20, f"a verdict on the latency, not {tail()}")
    assert "how slow the champion is must be known first" in tail()[1]

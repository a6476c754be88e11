"""A rollout whose latency is a native histogram, on a real Prometheus: refused, or recorded as classic."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.server import free_address, server
from common.arms import Arms, Histogram, Signals
from common.prometheus import Prometheus
from common.recording import native_rules
from common.rollouts import choose
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from rollback.guard import job_of
from rollback.guardrails.file import load_policy
from rollback.guardrails.judging import Judging
from rollback.guardrails.verdict import Status, Verdict
from rollback.iteration import Iteration
from rollback.rollouts import TEMPLATES, GuardedFile, guarded
from rollback.signals import look
from stack.api import Stack
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
FAST, SLOW = -24, -8  # the indexes of buckets up to 0.125 and 0.5 s
ROLLOUT = """\
name: shop
flag: {{name: {flag}}}
arms:
  selector: {{job: shop}}
  label: variant
  champion: control
  challenger: ranker-v2
  scrape_interval: 1s
signals:
  calls: shop_requests_total
  latency: {{metric: shop_seconds, native: true}}
guardrails: http-service
plan: canary
"""
BUCKETS = {-24: 400, -16: 500, -8: 100}  # up to 0.125, 0.25 and 0.5 s


RULES = {"groups": [{"name": "native", "interval": "1s", "rules": [*native_rules(NATIVE)]}]}


@contextmanager
def scraping(target: str, folder: Path, rules: dict[str, Any] | None) -> Iterator[str]:
    """The address of a Prometheus that scrapes this shop, native histograms too."""
    cache, url = Cache.default(), free_address()
    monitoring.ensure_prometheus(cache)
    scrape = {"job_name": "shop", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
    (folder / "rules.yml").write_text(yaml.safe_dump(rules or {}), encoding="utf-8")
    config = folder / "prometheus.yml"
    config.write_text(
        yaml.safe_dump({"rule_files": [str(folder / "rules.yml")], "scrape_configs": [scrape]}),
        encoding="utf-8",
    )
    command = [
        str(monitoring.prometheus(cache)),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--enable-feature=native-histograms",
    ]
    with server(command, os.environ, url, "/-/ready"):
        asked = Prometheus(url)
        wait_for(lambda: asked.instant("count(up == 1)") == 1, 20, "a scrape")
        yield url


@pytest.fixture
def prometheus(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Prometheus]:
    """One of a shop with calls and a native histogram of both variants."""
    arms = [{"variant": "control"}, {"variant": "ranker-v2"}]
    body = counter("shop_requests_total", [(arm, 1000) for arm in arms])
    body += native_histogram("shop_seconds", [(arm, BUCKETS) for arm in arms])
    with (
        exporting(lambda: body) as target,
        scraping(target, tmp_path, RULES if request.param else None) as url,
    ):
        yield Prometheus(url)


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


class Shop:
    """It is called all the time: both variants alike, until the challenger becomes slow."""

    def __init__(self) -> None:
        self.is_slow = False
        self._counts = {variant: Counter[int]() for variant in ("control", "ranker-v2")}

    def __call__(self) -> bytes:
        for variant, counts in self._counts.items():
            slow = self.is_slow and variant == "ranker-v2"
            counts.update({FAST: 100, SLOW: 100} if slow else {FAST: 199, SLOW: 1})
        of = [({"variant": variant}, counts) for variant, counts in self._counts.items()]
        calls = counter("shop_requests_total", [(labels, counts.total()) for labels, counts in of])
        return calls + native_histogram("shop_seconds", of)


@pytest.mark.timeout(180)
def test_a_challenger_that_becomes_slow_is_rolled_back(
    stack: Stack, admin: UnleashAdmin, own_flag: str, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "rollout.yaml").write_text(ROLLOUT.format(flag=own_flag), encoding="utf-8")
    shop = Shop()
    set_share(admin, own_flag, 0)
    with exporting(shop) as target, scraping(target, tmp_path, RULES) as url:
        environment = {
            **stack.env("rollback"),
            "CANARIO_ROLLOUTS": str(tmp_path),
            "CANARIO_PROMETHEUS_URL": url,
            "CANARIO_DECISIONS_DIR": str(tmp_path / "decisions"),
        }
        environment.pop("CANARIO_MODELS", None)
        ready = guarded(choose(GuardedFile, "rollback", None, environment))
        assert list(native_rules(ready.arms)) == list(native_rules(NATIVE))
        champion = 'sum(increase(shop_seconds_bucket{variant="control", le="+Inf"}[1m]))'
        wait_for(lambda: (Prometheus(url).instant(champion) or 0) > 1500, 60, "the champion's times")
        set_share(admin, own_flag, 5)
        job = job_of(ready, dry_run=False)

        def tail() -> Verdict | None:
            return next((one for one in job.run().verdicts if one.guardrail == "tail-latency"), None)

        wait_for(lambda: (one := tail()) is not None and one.status is Status.OK, 60, "a good verdict")
        assert read_state(admin, own_flag).enabled
        shop.is_slow = True
        iterations: list[Iteration] = []

        def is_rolled_back() -> bool:
            iterations.append(job.run())
            return iterations[-1].rollback is not None

        wait_for(is_rolled_back, 60, "the rollback")
        rollback = iterations[-1].rollback
        assert rollback is not None
        assert (rollback.guardrail, rollback.verified) == ("tail-latency", True)
        breach = next(one for one in iterations[-1].verdicts if one.guardrail == "tail-latency")
        assert breach.query is not None
        assert "shop_seconds_bucket" in breach.query
        assert not read_state(admin, own_flag).enabled

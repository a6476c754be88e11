"""Shadow as Prometheus sees it: the agreement rate is that of the models, and no sample goes unaccounted."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import requests
from sklearn.datasets import load_breast_cancer

from common.names import Metric, Model, Recorded
from flags.canary.share import set_share, turn_on
from flags.unleash.admin import UnleashAdmin
from service.models.artifact import load_artifact
from service.models.onnx_model import OnnxModel
from stack.api import Stack
from tests.integration.conftest import SEEN_WITHIN_SECONDS, Service, wait_for

SHADOW = "shadow"
SCRAPED_WITHIN_SECONDS = 12.0  # two scrapes and an evaluation of the rules
ACCOUNT = (Metric.SHADOW_SAMPLES, Metric.SHADOW_ERRORS, Metric.SHADOW_DROPS)
COUNTED = (Metric.SHADOW_SAMPLES, Metric.SHADOW_AGREEMENTS)
REQUESTS = 4000
WANTED = 0.75  # share of the requests about whose rows the models agree


@dataclass(frozen=True)
class Prometheus:
    """Answers queries of one number."""

    url: str

    def value(self, query: str) -> float | None:
        """The number; None without a series."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=5).json()
        assert answer["status"] == "success", answer
        series = answer["data"]["result"]
        assert len(series) <= 1, query
        return float(series[0]["value"][1]) if series else None


@pytest.fixture
def prometheus(stack: Stack, service: Service, admin: UnleashAdmin) -> Iterator[Prometheus]:
    """Prometheus, which scrapes a service with two workers, all of whose requests are shadowed."""
    set_share(admin, SHADOW, 100)
    turn_on(admin, SHADOW)
    time.sleep(SEEN_WITHIN_SECONDS)
    yield Prometheus(stack.addresses.prometheus)
    set_share(admin, SHADOW, 0)


@pytest.fixture(scope="module")
def rows(stack: Stack) -> dict[bool, list[list[float]]]:
    """Rows about which the two models that are served agree, and those about which they do not."""
    cache = stack.site.cache
    champion, challenger = (OnnxModel(load_artifact(cache.model(role))) for role in Model)
    found: dict[bool, list[list[float]]] = {True: [], False: []}
    for values in load_breast_cancer().data.tolist():
        row = np.array([values], dtype=np.float32)
        found[champion.answer(row).label == challenger.answer(row).label].append(values)
    return found


def number(prometheus: Prometheus, query: str) -> float:
    found = prometheus.value(query)
    assert found is not None, query
    return found


def accounted(prometheus: Prometheus) -> float:
    """Samples of which it is known what became of them, ever."""
    return sum(number(prometheus, f'sum({name}{{job="service"}})') for name in ACCOUNT)


def send(service: Service, rows: list[list[float]]) -> None:
    def post(numbered: tuple[int, list[float]]) -> None:
        at, row = numbered
        body = {"user_id": f"user-{at}", "features": row}
        response = requests.post(f"{service.url}/predict", json=body, timeout=5)
        response.raise_for_status()
        assert response.json()["model"] == "champion"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, enumerate(rows)))


def told(service: Service) -> float:
    """`accounted` as the service itself has it at this moment."""
    total = 0.0
    for line in requests.get(f"{service.url}/metrics", timeout=5).text.splitlines():
        name, _, value = line.rpartition(" ")
        if name.partition("{")[0] in ACCOUNT:
            total += float(value)
    return total


def settled(prometheus: Prometheus, service: Service) -> float:
    """`accounted` when nothing waits any more and Prometheus has seen it."""

    def stands_still() -> bool:
        before = told(service)
        time.sleep(1)  # longer than a sample takes
        return accounted(prometheus) == told(service) == before

    wait_for(stands_still, SCRAPED_WITHIN_SECONDS + 5, "no sample under way")
    return accounted(prometheus)


def test_the_agreement_rate_is_that_of_the_models_and_every_sample_is_counted(
    prometheus: Prometheus, service: Service, rows: dict[bool, list[list[float]]]
) -> None:
    before = settled(prometheus, service)
    samples, agreements = (number(prometheus, f'sum({name}{{job="service"}})') for name in COUNTED)
    kinds = [rows[at % 4 < 4 * WANTED] for at in range(REQUESTS)]
    send(service, [kind[at % len(kind)] for at, kind in enumerate(kinds)])
    wait_for(lambda: accounted(prometheus) == before + REQUESTS, SCRAPED_WITHIN_SECONDS, "all samples")
    assert number(prometheus, f'sum({Metric.SHADOW_SAMPLES}{{job="service"}})') == samples + REQUESTS
    assert number(prometheus, f'sum({Metric.SHADOW_AGREEMENTS}{{job="service"}})') == (
        agreements + WANTED * REQUESTS
    )
    # The recorded rate is that of five minutes, which has samples of other tests.
    counted = " / ".join(f'sum(increase({name}{{job="service"}}[5m]))' for name in reversed(COUNTED))
    wait_for(
        lambda: abs((prometheus.value(Recorded.AGREEMENT_RATE) or 0) - number(prometheus, counted)) < 0.03,
        SCRAPED_WITHIN_SECONDS,
        "the agreement rate of five minutes",
    )
    assert number(prometheus, f'max(max_over_time({Metric.SHADOW_QUEUE}{{job="service"}}[1m]))') >= 1


def test_a_challenger_that_dies_drops_samples_that_prometheus_counts(
    stack: Stack, prometheus: Prometheus, service: Service, rows: dict[bool, list[list[float]]]
) -> None:
    before = settled(prometheus, service)
    stack.site.home.drill.write_text(json.dumps({"kind": "segfault"}), encoding="utf-8")
    time.sleep(0.3)
    sent = 0
    end = time.monotonic() + 4
    while time.monotonic() < end:
        send(service, rows[True][:200])
        sent += 200
    stack.site.home.drill.unlink()
    wait_for(lambda: accounted(prometheus) == before + sent, SCRAPED_WITHIN_SECONDS, "all samples")
    for name, reason in ((Metric.SHADOW_DROPS, "down"), (Metric.SHADOW_ERRORS, "crash")):
        assert number(prometheus, f'sum(increase({name}{{job="service", reason="{reason}"}}[1m]))') > 0

"""A pass over made-up history on a real Prometheus: its arithmetic, its limits, and how long it takes."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from bench.backfill import Arm, Backfilled, Traffic, play, prometheus_over
from common.arms import Arms
from common.names import Metric, latency_buckets
from common.prometheus import Prometheus
from rollback.guardrails.file import Policy, load_policy, rejudge
from rollback.iteration import Iteration
from rollback.job import Job
from tests.unit.rollback.conftest import STATE, FakeCanary

AHEAD = 600.0  # seconds of history that are still to come
FEW = latency_buckets()[36:46]  # the edges around 0.1 and 0.2 s


class Counting(Prometheus):
    """Counts its requests."""

    asked = 0

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url

    def _ask(self, endpoint: str, form: dict[str, str]) -> dict[str, Any]:
        self.asked += 1
        return super()._ask(endpoint, form)


def ten() -> Policy:
    """The shipped guardrails and two more."""
    policy = load_policy()
    more = [each.model_copy(update={"name": f"{each.name}-again"}) for each in policy.guardrails[:2]]
    return policy.model_copy(update={"guardrails": (*policy.guardrails, *more)})


@contextmanager
def history(
    folder: Path, *traffic: Traffic, cut: bool = False, started: float | None = None
) -> Iterator[Counting]:
    """Two instances that lived through `traffic` until now; with `cut` one restarts, one is not scraped.

    `started`: when their challengers were started last, in Unix seconds.
    """
    dice, until = np.random.default_rng(7), time.time() + AHEAD
    halves = [replace(each, rate=each.rate / 2) for each in (*traffic, replace(traffic[-1], seconds=AHEAD))]
    series = [one for name in "ab" for one in play(dice, halves, until=until, instance=name, edges=FEW)]
    if started:
        series += [_starts(one, started) for one in series if one.name == "up"]
    if cut:
        series = [_cut(one, time.time()) for one in series]
    with prometheus_over(series, folder) as url:
        yield Counting(url)


def _starts(up: Backfilled, started: float) -> Backfilled:
    """When the challenger of an instance was started, as its scrapes tell it."""
    times = np.where(up.stamps < started, up.stamps[0] - 3600, started)
    return replace(up, name=Metric.CHALLENGER_STARTED.value, values=times)


def _cut(series: Backfilled, now: float) -> Backfilled:
    ago = now - series.stamps
    if series.name == "up":
        return series
    if series.labels["instance"] == "a":  # restarted 20 minutes ago
        before = series.values[ago >= 1200][-1]
        return replace(series, values=np.where(ago < 1200, series.values - before, series.values))
    seen = (ago < 900) | (ago > 1500)  # not scraped for 10 minutes
    return replace(series, stamps=series.stamps[seen], values=series.values[seen])


def judge(prometheus: Prometheus, hours: float) -> Iteration:
    began = datetime.now(UTC) - timedelta(hours=hours)
    canary = FakeCanary(replace(STATE, changed_at=began))
    return Job(ten(), prometheus, canary, Arms("canary", "production"), dry_run=True).run()


def test_equal_models_stay_in_few_requests_whatever_befalls_the_scrapes(tmp_path: Path) -> None:
    with history(tmp_path, Traffic(2.2 * 3600), cut=True) as prometheus:
        done = judge(prometheus, 1)
    assert done.outcome == "fine", [verdict.sentence for verdict in done.verdicts]
    assert prometheus.asked <= 8
    errors = next(verdict for verdict in done.verdicts if verdict.guardrail == "errors")
    # All calls of the stage, also those of the gap; but for one step around the restart.
    assert errors.sample == pytest.approx(3600 * 2.5, rel=0.05)
    assert len(errors.evidence["buckets"]["calls"]) == 5  # ten minutes each, and the last are not over
    assert np.sum(errors.evidence["buckets"]["calls"]) == pytest.approx(50 * 60 * 50 * 0.95, rel=0.1)
    assert "each user once in 10 minutes" in errors.sentence
    for verdict in done.verdicts:
        evidence = json.loads(json.dumps(verdict.evidence, allow_nan=False))
        assert rejudge(evidence) == (verdict.status, verdict.sentence, verdict.log_e)


def test_a_regression_is_found_and_told(tmp_path: Path) -> None:
    slow = Traffic(600, challenger=Arm(p99=0.25))
    with history(tmp_path, Traffic(7000), slow) as prometheus:
        done = judge(prometheus, 1)
    assert done.outcome == "would roll back"
    tail = next(verdict for verdict in done.verdicts if verdict.guardrail == "tail-latency")
    assert tail.breached_at is not None
    assert timedelta() < datetime.now(UTC) - tail.breached_at < timedelta(seconds=600)
    assert "of the challenger took over" in tail.sentence
    assert "breached at" in tail.sentence


def test_a_cold_start_is_no_regression(tmp_path: Path) -> None:
    """Both instances start three minutes after the stage, and their challenger is slow for two more."""
    slow = Traffic(120, challenger=Arm(p99=0.3))
    for told in (True, False):
        began = time.time() - 1800
        folder = tmp_path / str(told)
        folder.mkdir()
        with history(
            folder, Traffic(6000), slow, Traffic(1680), started=began if told else None
        ) as prometheus:
            done = judge(prometheus, 0.55)
        tail, hard = (
            next(verdict for verdict in done.verdicts if verdict.guardrail == name)
            for name in ("tail-latency", "hard-latency")
        )
        if told:
            assert done.outcome == "fine", [verdict.sentence for verdict in done.verdicts]
            assert "of warm-up left out after 2 starts, the last at " in tail.sentence
            assert tail.sample == pytest.approx((1980 - 135) * 2.5, rel=0.05)
        else:
            assert done.outcome == "would roll back"
            assert "warm-up counted, for Prometheus has no series of challenger_started" in tail.sentence
        assert hard.sample == pytest.approx(1980 * 2.5, rel=0.05)


def test_a_cold_champion_is_learnt_first(tmp_path: Path) -> None:
    with history(tmp_path, Traffic(900)) as prometheus:
        done = judge(prometheus, 900 / 3600)
    tail = next(verdict for verdict in done.verdicts if verdict.guardrail == "tail-latency")
    assert tail.sample == pytest.approx(2.5 * 865, rel=0.1)  # those of the first half minute only teach
    assert prometheus.asked <= 8


def spent(prometheus: Counting) -> float:
    """Seconds of the processor, of Prometheus and of this process: a busy machine does not make it more."""
    sample = requests.get(f"{prometheus.url}/metrics", timeout=30).text
    (theirs,) = re.findall(r"^process_cpu_seconds_total (\S+)$", sample, re.MULTILINE)
    return float(theirs) + time.process_time()


def test_two_days_are_judged_within_a_pass(tmp_path: Path) -> None:
    seconds = []
    with history(tmp_path, Traffic(49 * 3600)) as prometheus:
        for _ in range(3):
            begun = spent(prometheus)
            judge(prometheus, 48)
            seconds.append(spent(prometheus) - begun)
    print(f"seconds of the processor: {seconds}")
    assert prometheus.asked <= 3 * 8
    assert min(seconds) < 2

"""A real Prometheus over made-up history: days of counters, there within seconds.

    with prometheus_over(history, folder) as url: ...

History is a list of `Backfilled` series, made by hand or by `play`, which has a champion and a challenger. It
goes through promtool into blocks, so that whoever asks meets Prometheus' own arithmetic. History may reach
a few minutes into the future: `time()` then finds samples that are fresh for as long.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.server import free_address, server
from common.names import Metric, Model, latency_buckets
from stack.paths import Cache
from stack.servers import monitoring

Values = NDArray[np.float64]

SCRAPE = 5.0  # seconds, as in monitoring/prometheus.yml
BUCKETS = 20  # of the flag's hash, instead of 100, and written once a minute: each is a series


@dataclass(frozen=True)
class Backfilled:
    """One series: its name and labels, and samples by time."""

    name: str
    labels: Mapping[str, str]
    stamps: Values
    """Unix seconds, ascending."""
    values: Values

    def lines(self) -> str:
        """In the OpenMetrics text format."""
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        series = f"{self.name}{{{labels}}}"
        return "".join(
            f"{series} {value:.10g} {stamp:.3f}\n"
            for value, stamp in zip(self.values.tolist(), self.stamps.tolist(), strict=True)
        )


@dataclass(frozen=True)
class Arm:
    """How one model does. Latencies are lognormal."""

    p99: float = 0.1
    sigma: float = 0.6
    errors: float = 0.001

    def chances(self) -> Values:
        """The chance of each bucket, that above the last edge included."""
        normal = NormalDist()
        middle = np.log(self.p99) - self.sigma * normal.inv_cdf(0.99)
        below = [normal.cdf((np.log(edge) - middle) / self.sigma) for edge in latency_buckets()]
        return np.diff(np.concatenate(([0.0], below, [1.0])))


@dataclass(frozen=True)
class Traffic:
    """Some time of constant traffic; what changes is played as another one behind it."""

    seconds: float
    rate: float = 50.0
    """Calls a second, of both models together."""
    share: float = 0.05
    """Of the challenger."""
    champion: Arm = field(default_factory=Arm)
    challenger: Arm = field(default_factory=Arm)


def play(  # noqa: PLR0913 - each of another kind
    dice: np.random.Generator,
    traffic: Iterable[Traffic],
    *,
    until: float,
    instance: str = "a:8000",
    edges: Iterable[float] | None = None,
    flags: Iterable[str] = ("canary",),
) -> list[Backfilled]:
    """The counters of a service that lived through `traffic`, which ends at `until` (Unix seconds).

    `edges` thins out the buckets that are written: few of them are needed, and each is a series. Each of
    `flags` is one that the service follows; with several, a job tells its own apart by a selector.
    """
    traffic = list(traffic)
    scrapes = [round(each.seconds / SCRAPE) for each in traffic]
    stamps = (until - SCRAPE * np.arange(sum(scrapes) - 1, -1, -1)).astype(np.float64)
    written = set(latency_buckets() if edges is None else edges)
    series = [_one("up", {}, instance, stamps, np.ones(len(stamps)))]
    for model in Model:
        buckets, errors = [], []
        for each, count in zip(traffic, scrapes, strict=True):
            arm = each.champion if model is Model.CHAMPION else each.challenger
            share = 1 - each.share if model is Model.CHAMPION else each.share
            calls = dice.poisson(each.rate * share * SCRAPE, count)
            buckets.append(dice.multinomial(calls, arm.chances()))
            errors.append(dice.binomial(calls, arm.errors))
        counted = np.concatenate(buckets).cumsum(axis=0).cumsum(axis=1).astype(np.float64)
        labels = {"model": model.value}
        for edge, column in zip((*latency_buckets(), np.inf), counted.T, strict=True):
            if edge in written or edge == np.inf:
                le = {**labels, "le": "+Inf" if edge == np.inf else repr(float(edge))}
                series.append(_one(f"{Metric.LATENCY}_bucket", le, instance, stamps, column))
        series.append(_one(f"{Metric.LATENCY}_count", labels, instance, stamps, counted[:, -1]))
        series.append(_one(Metric.CALLS, labels, instance, stamps, counted[:, -1]))
        series.append(
            _one(Metric.ASSIGNMENTS, {**labels, "reason": "flag"}, instance, stamps, counted[:, -1])
        )
        failed = np.concatenate(errors).cumsum().astype(np.float64)
        series.append(_one(Metric.USER_WINDOWS_BAD, labels, instance, stamps, failed))  # of as many users
        if model is Model.CHAMPION:
            series += _by_bucket(dice, counted[:, -1], failed, instance, stamps)
        series.append(_one(Metric.ERRORS, {**labels, "reason": "timeout"}, instance, stamps, failed))
        series.append(_one(Metric.ERRORS, {**labels, "reason": "invalid"}, instance, stamps, 0 * failed))
        served = {**labels, "name": "made-up", "version": "1", "sha256": "0" * 64}
        series.append(_one(Metric.MODEL_INFO, served, instance, stamps, np.ones(len(stamps))))
    for flag in flags:
        follows = {"flag": flag, "environment": "production"}
        series.append(_one(Metric.ROLLOUT_INFO, follows, instance, stamps, np.ones(len(stamps))))
    for name in (Metric.SHADOW_SAMPLES, Metric.SHADOW_AGREEMENTS):
        series.append(_one(name, {}, instance, stamps, np.zeros(len(stamps))))
    return series


def _by_bucket(
    dice: np.random.Generator, calls: Values, failed: Values, instance: str, stamps: Values
) -> Iterator[Backfilled]:
    """The champion's calls and those that failed, dealt out to the buckets."""
    each = np.full(BUCKETS, 1 / BUCKETS)
    for name, counted in ((Metric.BUCKET_CALLS, calls), (Metric.BUCKET_USER_WINDOWS_BAD, failed)):
        seldom = counted[11::12].astype(np.int64)
        dealt = dice.multinomial(np.diff(seldom, prepend=0), each).cumsum(axis=0).astype(np.float64)
        for bucket, column in enumerate(dealt.T, 1):
            labels = {"model": Model.CHAMPION.value, "bucket": str(bucket)}
            yield _one(name, labels, instance, stamps[11::12], column)


def _one(name: str, labels: Mapping[str, str], instance: str, stamps: Values, values: Values) -> Backfilled:
    return Backfilled(name, {"job": "service", "instance": instance, **labels}, stamps, values)


@contextmanager
def prometheus_over(history: Iterable[Backfilled], folder: Path) -> Iterator[str]:
    """The address of a Prometheus that has this history, scrapes nobody, and ends with the block."""
    cache = Cache.default()
    monitoring.ensure_prometheus(cache)
    text, data, config = folder / "history.txt", folder / "data", folder / "prometheus.yml"
    with text.open("w", encoding="utf-8") as file:
        for series in history:
            file.write(series.lines())
        file.write("# EOF\n")
    # In one block: promtool reads the whole file again for each.
    making = ["tsdb", "create-blocks-from", "--max-block-duration=1000h", "--quiet", "openmetrics"]
    command = [str(monitoring.promtool(cache)), *making, str(text), str(data)]
    subprocess.run(command, check=True, capture_output=True)
    text.unlink()
    config.write_text("global: {}\n", encoding="utf-8")
    url = free_address()
    command = [
        str(monitoring.prometheus(cache)),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=1000d",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with server(command, os.environ, url, "/-/ready"):
        yield url

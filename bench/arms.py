"""Two equal models beside each other: what the canary costs the service, and whether equal models look equal.

The same artifact is champion and challenger, so whatever differs is the service's doing. Latency is looked at
as users meet it, outside and inside the canary, and as guardrails count it, by `latency_seconds`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests
from prometheus_client.parser import text_string_to_metric_families

from bench.server import cpu_seconds_of, requests_of
from common.names import Metric, Model
from drills.faults import LoadPlan
from drills.load import Figures, predict
from rollback.guardrails.edges import quantile

SHARES = (0, 25, 100)
SETTLE_SECONDS = 3.0  # every worker has heard of a change of the flag by then
GOALS = {
    "throughput_25_of_0": (0.9, "at least"),
    "throughput_100_of_0": (0.85, "at least"),
    "cpu_25_of_0": (1.11, "at most"),
    "cpu_100_of_0": (1.18, "at most"),
    "users_p99_full": (1.2, "at most"),
    "users_p99_fixed": (1.1, "at most"),
    "judged_p99_full": (1.2, "at most"),
    "judged_p99_fixed": (1.1, "at most"),
}

Counts = dict[Model, dict[str, float]]


@dataclass(frozen=True)
class Run:
    """One load.

    Attributes:
        rate: requests a second.
        cpu_seconds: of all processes of the service, per 1,000 requests.
        users_p99, judged_p99: seconds, of each model: of its users' requests, and as guardrails count it.
        failed, fell_back: requests without an answer, and those of the challenger that the champion answered.
    """

    rate: float
    cpu_seconds: float
    users_p99: dict[Model, float]
    judged_p99: dict[Model, float]
    failed: int
    fell_back: int


def runs(url: str, pid: int, give: Callable[[int], object], plan: LoadPlan) -> Iterator[tuple[str, Run]]:
    """Load the service at `url` with equal models, whose master process is `pid`; `give` sets the share.

    Yields:
        `full 0`, `full 25`, `full 100` at saturation, and `fixed 25` at the fixed rate.
    """
    for share in SHARES:
        give(share)
        time.sleep(SETTLE_SECONDS)
        predict(url, seconds=2, users=plan.users)
        yield f"full {share}", _run(url, pid, lambda: predict(url, seconds=plan.seconds, users=plan.users))
        if share not in (0, 100):
            yield f"fixed {share}", _run(url, pid, lambda: predict(url, seconds=plan.seconds, rate=plan.rate))


def ratios(of: dict[str, Run]) -> dict[str, float]:
    """Those of GOALS, from the runs of one round."""
    none, some, every, fixed = (of[name] for name in ("full 0", "full 25", "full 100", "fixed 25"))
    return {
        "throughput_25_of_0": some.rate / none.rate,
        "throughput_100_of_0": every.rate / none.rate,
        "cpu_25_of_0": some.cpu_seconds / none.cpu_seconds,
        "cpu_100_of_0": every.cpu_seconds / none.cpu_seconds,
        "users_p99_full": _of_champion(some.users_p99),
        "users_p99_fixed": _of_champion(fixed.users_p99),
        "judged_p99_full": _of_champion(some.judged_p99),
        "judged_p99_fixed": _of_champion(fixed.judged_p99),
    }


def _of_champion(p99: dict[Model, float]) -> float:
    return p99[Model.CHALLENGER] / p99[Model.CHAMPION]


def _run(url: str, pid: int, load: Callable[[], Figures]) -> Run:
    counts, spent = _counts(url), cpu_seconds_of(pid)
    figures = load()
    spent = cpu_seconds_of(pid) - spent
    later = _counts(url)
    return Run(
        rate=figures.rate,
        cpu_seconds=1000 * spent / requests_of(figures),
        users_p99={Model.CHAMPION: figures.outside.p99, Model.CHALLENGER: figures.inside.p99},
        judged_p99={model: _p99(counts[model], later[model]) for model in Model},
        failed=figures.failed,
        fell_back=figures.fell_back,
    )


def _counts(url: str) -> Counts:
    """Calls of each model so far, by the label `le`, which is an edge in seconds."""
    counts: Counts = {model: {} for model in Model}
    for family in text_string_to_metric_families(requests.get(f"{url}/metrics", timeout=5).text):
        for each in family.samples:
            if each.name == f"{Metric.LATENCY}_bucket":
                counts[Model(each.labels["model"])][each.labels["le"]] = each.value
    return counts


def _p99(before: dict[str, float], after: dict[str, float]) -> float:
    return quantile(0.99, {edge: count - before.get(edge, 0.0) for edge, count in after.items()})

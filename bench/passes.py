"""`python -m bench.passes`: what a pass of the rollback job costs over a history, on a real Prometheus."""

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import click
import numpy as np
import requests
from rich.table import Table

from bench.backfill import Traffic, play, prometheus_over
from common.arms import Arms
from common.durations import format_duration, parse_duration
from common.prometheus import Prometheus
from common.terminal import Console
from drills.command import json_option, machine, table, write_figures
from flags.canary.state import CanaryState
from rollback.guardrails.file import Policy, load_policy
from rollback.guardrails.judging import Judging
from rollback.guardrails.kinds.tails import TailRatio
from rollback.guardrails.verdict import Action

GOALS = {"1h": 0.5, "2d": 3.0}  # seconds
MOST_REQUESTS = 6
GUARDRAILS = 10
LEFT = 900  # seconds of history that lie in the future, for the passes to live in


@dataclass(frozen=True)
class Cost:
    """What passes over one stage cost."""

    stage: str
    guardrails: int
    requests: int
    """Of the worst pass, as Prometheus counted them."""
    seconds: float
    """Median."""
    slowest: float
    cpu_seconds: float
    """Of the job itself, median."""


@click.command()
@click.option("--passes", type=click.IntRange(1), default=10, show_default=True, help="After one to warm up.")
@json_option
def main(passes: int, json_file: Path | None) -> None:
    """Time and requests of a pass with ten guardrails, in a stage of an hour and in one of two days.

    Over made-up history of 50 calls a second with all buckets of the service, in a real Prometheus.
    Unleash is not asked: reading the flag takes three short requests, whatever the stage.

    Exit codes: 0 measured, whatever the figures.
    """
    console = Console(highlight=False)
    costs = []
    for stage in GOALS:
        console.print(f"history for a stage of {stage}: some moments", markup=False)
        with tempfile.TemporaryDirectory(prefix="canario-bench-") as folder:
            costs.append(measure(stage, passes, Path(folder)))
    console.print(_table(costs))
    console.print(f"Measured on {machine()}.")
    document = {
        "bench": "passes",
        "machine": machine(),
        "goals": {**GOALS, "requests": MOST_REQUESTS},
        "costs": [asdict(each) for each in costs],
    }
    write_figures(console.print, json_file, document)


def measure(stage: str, passes: int, folder: Path) -> Cost:
    """Let the job judge a stage of that length some times."""
    policy, lasts = ten_guardrails(), parse_duration(stage)
    with history(lasts, folder) as url:
        state = canary_since(datetime.now(UTC) - lasts)
        judging = Judging(Prometheus(url), policy, Arms(state.flag, state.environment), state)
        seconds, cpu, asked = [], [], []
        for number in range(passes + 1):
            before, used, begun = requests_of(url), _cpu(), time.monotonic()
            verdicts = list(judging.verdicts())
            if number:
                seconds.append(time.monotonic() - begun)
                cpu.append(_cpu() - used)
            asked.append(requests_of(url) - before)
        unmeasured = [each for each in verdicts if each.status.value == "cannot measure"]
        if unmeasured:
            raise click.ClickException(f"{unmeasured[0].guardrail}: {unmeasured[0].sentence}")
    return Cost(stage, len(verdicts), max(asked), median(seconds), max(seconds), median(cpu))


def ten_guardrails() -> Policy:
    """Those by default and some more of the dearest kind."""
    policy = load_policy()
    (tail,) = policy.of(TailRatio)
    more = [
        tail.model_copy(
            update={"name": f"tail-{number}", "quantile": 0.9 + number / 100, "action": Action.WARN}
        )
        for number in range(GUARDRAILS - len(policy.guardrails))
    ]
    return policy.model_copy(update={"guardrails": (*policy.guardrails, *more)})


@contextmanager
def history(lasts: timedelta, folder: Path) -> Iterator[str]:
    """The address of a Prometheus that remembers a stage of that length and the hour before it."""
    seconds = lasts.total_seconds() + 3700 + LEFT
    series = play(np.random.default_rng(1), [Traffic(seconds=seconds)], until=time.time() + LEFT)
    with prometheus_over(series, folder) as url:
        yield url


def requests_of(url: str) -> int:
    """The queries that Prometheus has answered so far, by its own count."""
    text = requests.get(f"{url}/metrics", timeout=10).text
    return sum(
        int(float(line.rpartition(" ")[2]))
        for line in text.splitlines()
        if line.startswith("prometheus_http_requests_total") and "/api/v1/query" in line
    )


def canary_since(began: datetime) -> CanaryState:
    """A canary of 5% since then."""
    return CanaryState(
        flag="canary",
        environment="production",
        exists=True,
        archived=False,
        enabled=True,
        percent=5,
        stickiness="userId",
        strategies=1,
        constraints=(),
        segments=(),
        variants=0,
        trouble=None,
        changed_by="bench",
        changed_at=began,
        change="feature-strategy-update",
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _table(costs: list[Cost]) -> Table:
    columns = ("stage", "guardrails", "requests", "goal", "seconds", "slowest", "goal", "CPU s of the job")
    rows = (
        (
            format_duration(parse_duration(each.stage)),
            str(each.guardrails),
            str(each.requests),
            f"{MOST_REQUESTS}",
            f"{each.seconds:.3f}",
            f"{each.slowest:.3f}",
            f"{GOALS[each.stage]:g}",
            f"{each.cpu_seconds:.3f}",
        )
        for each in costs
    )
    return table("One pass of the rollback job", columns, rows)


if __name__ == "__main__":
    main(prog_name="python -m bench.passes")

"""`python -m bench.analysis`: seconds and memory of the analysis of ten million records, on two cores."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
from ibis import _
from rich.console import Console
from rich.table import Table

from analysis.log import Log, context_of, open_log
from analysis.measures.metric import Kind, Metric
from analysis.measures.users import per_user
from bench.analysis_log import make
from common.errors import CanarioError
from stack.paths import REPOSITORY, Cache

GOAL_SECONDS: Final = 20.0
GOAL_MIB: Final = 2048.0
CORES: Final = 2
BEGIN: Final = datetime(2026, 11, 5, tzinfo=UTC)
"""Of the test: some days after the log's beginning, so that there is a time before."""


class BenchError(CanarioError):
    """A measurement came to no end."""


@click.command()
@click.option("--records", default=10_000_000, show_default=True, help="Predictions, shadow and feedback.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="The median counts.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="For the log; in the cache by default (5 GB)."
)
@click.option("--memory", default="1GB", show_default=True, help="What the engine may take.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)
def main(records: int, rounds: int, folder: Path | None, memory: str, json_file: Path | None) -> None:
    """Aggregate a big log as the shadow report and the A/B test do, from JSON lines and from Parquet.

    The log is written once, as the service writes it (13 predictions, 5 shadow pairs, 2 feedbacks of 20), and
    is in the page cache. Each measurement is a process of its own on two cores; what it takes is the whole of
    it, with the start of Python. Exit codes: 0 measured, whatever the figures; 3 it could not be measured.
    """
    console = Console(highlight=False)
    place = folder or Cache.default().root / "bench-analysis"
    lines, parquet = make(place / str(records), records, lambda text: console.print(f"[dim]{text}"))
    figures: dict[str, list[dict[str, Any]]] = {}
    try:
        for number in range(1, rounds + 1):
            for kind, path in (("JSON lines", lines), ("Parquet", parquet)):
                for task in TASKS:
                    console.print(f"[dim]{number}/{rounds}: {task}, {kind}")
                    figures.setdefault(f"{task}, {kind}", []).append(_measure(task, path, memory))
    except CanarioError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(3) from error
    console.print(_table(figures, records))
    machine = f"{platform.machine()}, {CORES} of {os.cpu_count()} cores"
    size = sum(file.stat().st_size for file in lines.iterdir()) / 1e9
    console.print(f"{records:,} records, {size:.1f} GB of JSON lines; {machine}; engine's memory {memory}.")
    if json_file:
        document = {"bench": "analysis", "records": records, "machine": machine, "figures": figures}
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def shadow(log: Log) -> Any:
    """What the shadow report aggregates, in short."""
    log = log.loaded(
        shadow=(
            "time",
            "context",
            "agree",
            "error",
            *(
                f"{role}_{name}"
                for role in ("champion", "challenger")
                for name in ("class_name", "probability", "seconds")
            ),
        )
    )
    pairs = log.shadow.mutate(
        country=context_of(log.shadow, "country"), apart=_.champion_probability - _.challenger_probability
    )
    whole = {"pairs": _.count(), "agree": _.agree.mean(), "apart": _.apart.mean(), "spread": _.apart.var()}
    bins = (_.champion_probability * 1000).floor(), (_.challenger_probability * 1000).floor()
    return [
        log.rows(pairs.aggregate(**whole)),
        log.rows(pairs.group_by("champion_class_name", "challenger_class_name").aggregate(**whole)),
        log.rows(pairs.group_by("country").aggregate(**whole)),
        log.rows(pairs.group_by(day=_.time.truncate("D")).aggregate(**whole)),
        *[log.rows(pairs.group_by(bin=each).aggregate(pairs=_.count())) for each in bins],
        log.rows(pairs.order_by(_.apart.abs().desc()).limit(20)),
        log.bad.count,
    ]


def abtest(log: Log) -> Any:
    """What the report of an A/B test aggregates, in short: users, a measure, what was before it."""
    log = log.loaded(
        predictions=("request_id", "time", "user", "assigned"),
        feedback=("request_id", "time", "user", "outcome", "value"),
    )
    users = log.keep(
        per_user(
            log,
            Metric(name="sales", outcome="bought", kind=Kind.MEAN),
            since=BEGIN,
            until=BEGIN + timedelta(days=9),
            window=timedelta(hours=1),
        )
    )
    return [
        log.rows(
            users.group_by("assigned").aggregate(
                users=_.count(),
                changed=(_.assignments > 1).sum(),
                requests=_.requests.sum(),
                mean=_.measure.mean(),
                variance=_.measure.var(),
                before=_.before.mean(),
                together=(_.measure * _.before).mean(),
            )
        ),
        log.bad.count,
    ]


TASKS: Final[dict[str, Callable[[Log], Any]]] = {"shadow": shadow, "abtest": abtest}


def _measure(task: str, path: Path, memory: str) -> dict[str, Any]:
    begin = time.perf_counter()
    command = (sys.executable, "-m", "bench.analysis", "--child", task, str(path), memory)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise BenchError(f"{task} of {path}: {done.stderr.strip()[-2000:]}")
    return {"seconds": round(seconds, 2), **json.loads(done.stdout.splitlines()[-1])}


def _child(task: str, path: str, memory: str) -> None:
    """One measurement, in this process; what it took goes to standard output."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:CORES]))
    answer = TASKS[task](open_log(path, memory=memory))
    status = Path("/proc/self/status").read_text(encoding="ascii")  # rusage would count the parent's peak in
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    times = os.times()
    cpu = round(times.user + times.system, 2)
    print(json.dumps({"cpu_seconds": cpu, "peak_mib": round(peak / 1024), "answer": str(answer[0])}))


def _table(figures: Mapping[str, Sequence[dict[str, Any]]], records: int) -> Table:
    table = Table("measured", "seconds", "CPU seconds", "peak memory", "goal", title=f"{records:,} records")
    for name, runs in figures.items():
        middle = sorted(runs, key=lambda run: float(run["seconds"]))[len(runs) // 2]
        peak = max(run["peak_mib"] for run in runs)
        met = middle["seconds"] < GOAL_SECONDS and peak < GOAL_MIB
        goal = f"under {GOAL_SECONDS:.0f} s and {GOAL_MIB:.0f} MiB: {'met' if met else '[red]missed'}"
        table.add_row(name, str(middle["seconds"]), str(middle["cpu_seconds"]), f"{peak} MiB", goal)
    return table


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:5])
    else:
        main()

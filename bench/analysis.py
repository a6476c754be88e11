"""`python -m bench.analysis`: seconds and memory of the analysis of ten million records, on two cores."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from rich.table import Table

from analysis.abtest.registration import PlannedUsers, Registration, write
from analysis.metric import Kind, Metric
from bench.server import BenchError
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, write_figures
from stack.paths import REPOSITORY, Cache

GOAL_SECONDS: Final = 20.0
GOAL_MIB: Final = 2048.0
CORES: Final = 2
BEGIN: Final = datetime(2026, 11, 5, tzinfo=UTC)
"""Of the test: some days after the log's beginning, so that there is a time before."""


@dataclass(frozen=True)
class Measured:
    """What a command took, from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_mib: int


@click.command()
@click.option("--records", default=10_000_000, show_default=True, help="Predictions, shadow and feedback.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="The median counts.")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="For the log; in the cache by default (5 GB)."
)
@click.option("--memory", default="1GB", show_default=True, help="What the engine may take.")
@json_option
def main(records: int, rounds: int, folder: Path | None, memory: str, json_file: Path | None) -> None:
    """The reports on a big log: shadow, A/B test and segments, from JSON lines and from Parquet.

    The log is written once, as the service writes it (13 predictions, 5 shadow pairs, 2 feedbacks of 20).
    Each measurement is a whole command on two cores, with the start of Python; the files are in the page
    cache.
    Exit codes: 0 measured, whatever the figures; 3 it could not be measured.
    """
    console = Console(highlight=False)
    log = (folder or Cache.default().root / "bench-analysis") / str(records)
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    figures: dict[str, list[Measured]] = {}
    with exit_codes("the benchmark could not be carried out"):
        # Not in this process: the peak of a child would be counted from this one's.
        _run((sys.executable, "-m", "bench.analysis_log", str(log), str(records)))
        with tempfile.TemporaryDirectory(prefix="canario-bench-") as name:
            for number in range(1, rounds + 1):
                for kind in ("jsonl", "parquet"):
                    for task, command in _commands(Path(name)).items():
                        console.print(f"[dim]{number}/{rounds}: {task}, {kind}")
                        options = ("--log", str(log / kind), "--memory", memory, "--format", "json")
                        done = _run((sys.executable, "-m", "analysis", *command, *options))
                        figures.setdefault(f"{task}, {kind}", []).append(done)
    console.print(_table(figures, records))
    where = f"{CORES} cores of {machine()}"
    size = sum(file.stat().st_size for file in (log / "jsonl").iterdir()) / 1e9
    console.print(f"{size:.1f} GB of JSON lines; {where}; --memory {memory}.")
    taken = {name: [asdict(run) for run in runs] for name, runs in figures.items()}
    document = {"bench": "analysis", "records": records, "machine": where, "figures": taken}
    write_figures(console.print, json_file, document)


def _commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """Subcommands of the analysis; a registered test is written for one."""
    test = folder / "sales.yaml"
    if not test.exists():
        promised = Registration(
            name="sales",
            registered=BEGIN,
            by="bench",
            flag="canary",
            share=30,
            metric=Metric(name="sales", outcome="bought", kind=Kind.MEAN),
            baseline=13,
            effect=0.2,
            deviation=16,
            users=PlannedUsers(champion=100_000, challenger=40_000),
            window="1h",
            covariate="3d",
            guardrails=(Metric(name="orders", outcome="bought", kind=Kind.COUNT),),
        )
        write(promised, test)
    until = (BEGIN + timedelta(days=9)).isoformat()
    return {
        "shadow": ("shadow",),
        "abtest": ("abtest", "report", str(test), "--until", until),
        "segments": ("segments", "--metric", "bought", "--window", "1h"),
    }


def _run(command: Sequence[str]) -> Measured:
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=output)
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise BenchError(f"{' '.join(command)}: {output.read().decode(errors='replace')[-2000:]}")
    seconds = time.perf_counter() - begin
    return Measured(round(seconds, 2), round(used.ru_utime + used.ru_stime, 2), used.ru_maxrss // 1024)


def _table(figures: Mapping[str, Iterable[Measured]], records: int) -> Table:
    table = Table("report", "seconds", "CPU seconds", "peak memory", "goal", title=f"{records:,} records")
    for name, each in figures.items():
        runs = sorted(each, key=lambda run: run.seconds)
        middle, peak = runs[len(runs) // 2], max(run.peak_mib for run in runs)
        met = middle.seconds < GOAL_SECONDS and peak < GOAL_MIB
        goal = f"under {GOAL_SECONDS:.0f} s and {GOAL_MIB:.0f} MiB: {'met' if met else '[red]missed'}"
        table.add_row(name, f"{middle.seconds:.1f}", f"{middle.cpu_seconds:.1f}", f"{peak} MiB", goal)
    return table


if __name__ == "__main__":
    main()

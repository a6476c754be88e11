"""`python -m bench`: the service beside what one would write in ten minutes, in one run."""

import json
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import click
from rich.table import Table

from bench.measure import Measured, measure, server, shadow_drops
from bench.steps import measure as measure_steps
from common.errors import CanarioError
from common.names import Model
from common.terminal import Console
from drills.target import of_stack
from flags.canary import set_share
from stack import environment
from stack.api import Stack
from stack.install import models
from stack.paths import Cache

PEER = ("-m", "gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--bind")
GOALS = {
    "cpu_of_bare": (1.0, "at most"),
    "throughput_of_shadow_off": (0.97, "at least"),
    "throughput_of_naive": (25.0, "at least"),
    "p99_full_of_shadow_off": (1.1, "at most"),
    "p99_fixed_of_shadow_off": (1.1, "at most"),
}


@click.command()
@click.option(
    "--seconds", default=10, show_default=True, help="Length of each measurement; two a server and round."
)
@click.option(
    "--rounds", default=3, show_default=True, help="Rounds over all servers; the median ratio counts."
)
@click.option("--users", default=16, show_default=True, help="Users at a time, at saturation.")
@click.option("--rate", default=300, show_default=True, help="Requests a second, for the fixed rate.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)
def main(seconds: int, rounds: int, users: int, rate: int, json_file: Path | None) -> None:
    """The service with everything on, beside bare Flask and beside itself without shadow.

    \b
      bare        Flask, gunicorn and the scikit-learn champion, nothing else
      shadow      this service: flag, metrics, log, and the challenger shadowing every request
      shadow off  the same without shadow
      naive       bare, with the scikit-learn challenger called in the request too, as it was trained
      tuned       naive, with the challenger's forest on one thread

    All under gunicorn with 2 workers of 8 threads. Only the ratios mean anything on another machine.
    Exit codes: 0 measured, whatever the figures; 3 it could not be measured.
    """
    console = Console(highlight=False)
    figures: dict[str, list[Measured]] = {}
    try:
        for number in range(1, rounds + 1):
            for name, measured in _round(console, f"{number}/{rounds}", seconds, users, rate):
                figures.setdefault(name, []).append(measured)
    except CanarioError as error:
        click.echo(f"error: the benchmark could not be carried out: {error}", err=True)
        sys.exit(3)
    by_round = [_ratios({name: runs[number] for name, runs in figures.items()}) for number in range(rounds)]
    ratios = {name: sorted(each[name] for each in by_round) for name in by_round[0]}
    cache = Cache.default()
    steps = measure_steps(models.folder(cache, Model.CHAMPION), models.folder(cache, Model.CHALLENGER))
    console.print(
        _servers({name: min(runs, key=lambda run: run.cpu_seconds) for name, runs in figures.items()})
    )
    console.print(_goals(ratios))
    console.print(_steps(steps))
    console.print(f"Measured on {_machine()}, {users} users at saturation, {rate} requests a second fixed.")
    if json_file:
        document = {
            "bench": "service",
            "machine": _machine(),
            "users": users,
            "rate": rate,
            "seconds": seconds,
            "ratios": {name: median(measured) for name, measured in ratios.items()},
            "ratios_by_round": by_round,
            "steps_microseconds": steps,
            "servers": {name: [asdict(run) for run in runs] for name, runs in figures.items()},
        }
        json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"Figures: {json_file}")


def _round(
    console: Console, number: str, seconds: int, users: int, rate: int
) -> Iterator[tuple[str, Measured]]:
    for peer in ("bare", "naive", "tuned"):
        console.print(f"[{number}] {peer}", markup=False)
        url = _free_address()
        command = (*PEER, url.removeprefix("http://"), f"bench.peers:{peer}()")
        with server(command, environment.basic(), url, "/predict") as pid:
            yield peer, measure(url, pid, users=users, rate=rate, seconds=seconds)
    with _service() as (stack, url, pid):
        admin = of_stack(stack).admin
        for name, share in (("shadow off", 0), ("shadow", 100)):
            console.print(f"[{number}] {name}", markup=False)
            set_share(admin, "shadow", share)
            measured = measure(url, pid, users=users, rate=rate, seconds=seconds)
            yield name, replace(measured, lost=shadow_drops(url))


@contextmanager
def _service() -> Iterator[tuple[Stack, str, int]]:
    """The service on an Unleash of its own: stack, address, process."""
    url = _free_address()
    with (
        tempfile.TemporaryDirectory(prefix="canario-bench-") as home,
        Stack(Path(home), only=("unleash",), ports="free") as stack,
    ):
        cache, variables = Cache.default(), environment.service(stack.site)
        del variables["CANARIO_MODELS"]
        variables |= {
            "CANARIO_BIND": url.removeprefix("http://"),
            "CANARIO_CHAMPION": str(models.folder(cache, Model.CHAMPION)),
            "CANARIO_CHALLENGER": str(models.folder(cache, Model.CHALLENGER)),
        }
        with server(("-m", "service"), variables, url, "/readyz") as pid:
            yield stack, url, pid


def _ratios(of: dict[str, Measured]) -> dict[str, float]:
    """The ratios of one round, in which all servers had the same machine."""
    shadow, off, bare, naive, tuned = (
        of[name] for name in ("shadow", "shadow off", "bare", "naive", "tuned")
    )
    return {
        "cpu_of_bare": shadow.cpu_seconds / bare.cpu_seconds,
        "cpu_off_of_bare": off.cpu_seconds / bare.cpu_seconds,
        "throughput_of_bare": shadow.rate / bare.rate,
        "throughput_of_shadow_off": shadow.rate / off.rate,
        "throughput_of_naive": shadow.rate / naive.rate,
        "throughput_of_tuned": shadow.rate / tuned.rate,
        "p99_full_of_shadow_off": shadow.p99_full / off.p99_full,
        "p99_fixed_of_shadow_off": shadow.p99_fixed / off.p99_fixed,
    }


def _servers(best: dict[str, Measured]) -> Table:
    table = Table("server", title="Servers, each in its best round", title_justify="left")
    for column in ("req/s", "CPU s/1,000", "p99 full ms", "p99 fixed ms", "failed", "samples lost"):
        table.add_column(column, justify="right")
    for name, run in best.items():
        table.add_row(
            name,
            f"{run.rate:.0f}",
            f"{run.cpu_seconds:.3f}",
            f"{run.p99_full * 1000:.1f}",
            f"{run.p99_fixed * 1000:.1f}",
            str(run.failed),
            str(run.lost),
        )
    return table


def _goals(ratios: dict[str, list[float]]) -> Table:
    table = Table("ratio of `shadow`", title="Ratios", title_justify="left")
    for column in ("median", "from", "to", "goal", ""):
        table.add_column(column, justify="right")
    for name, measured in ratios.items():
        figures = [f"{each:.2f}" for each in (median(measured), measured[0], measured[-1])]
        table.add_row(name, *figures, *_goal(name, median(measured)))
    return table


def _goal(name: str, ratio: float) -> tuple[str, str]:
    if name not in GOALS:
        return "", ""
    limit, side = GOALS[name]
    met = ratio <= limit if side == "at most" else ratio >= limit
    return f"{side} {limit:g}", "ok" if met else "MISSED"


def _steps(steps: dict[str, float]) -> Table:
    table = Table("step of a request", title="Steps, each alone in one process", title_justify="left")
    table.add_column("us", justify="right")
    for name, microseconds in steps.items():
        table.add_row(name, f"{microseconds:.1f}")
    return table


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


if __name__ == "__main__":
    main(prog_name="python -m bench")

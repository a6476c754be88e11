"""`python -m bench`: the service beside what one would write in ten minutes, in one run."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import click
from rich.table import Table

from bench import arms
from bench.server import Measured, free_address, measure, server, shadow_drops
from bench.service import service
from bench.steps import measure as measure_steps
from common.names import Model
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, table, write_figures
from drills.faults import LoadPlan
from drills.target import of_stack
from flags.canary.share import set_share
from stack.paths import Cache
from stack.processes import environment

GUNICORN = ("gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "8", "--bind")
GOALS = arms.GOALS | {
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
@json_option
def main(seconds: int, rounds: int, users: int, rate: int, json_file: Path | None) -> None:
    """The service with everything on, beside bare Flask and beside itself without shadow.

    \b
      bare        Flask, gunicorn and the scikit-learn champion, nothing else
      shadow      this service: flag, metrics, log, and the challenger shadowing every request
      shadow off  the same without shadow
      naive       bare, with the scikit-learn challenger called in the request too, as it was trained
      tuned       naive, with the challenger's forest on one thread
      full, fixed this service with the champion as its own challenger, at 0, 25 and 100% of the users, at
                  saturation and at the fixed rate: do equal models look equal, and what does a canary cost?

    All under gunicorn with 2 workers of 8 threads. Only the ratios mean anything on another machine.
    Exit codes: 0 measured, whatever the figures; 3 it could not be measured.
    """
    console = Console(highlight=False)
    figures: dict[str, list[Measured]] = {}
    equal: list[dict[str, arms.Run]] = []
    with exit_codes("the benchmark could not be carried out"):
        for number in range(1, rounds + 1):
            for name, measured in _round(console, f"{number}/{rounds}", seconds, users, rate):
                figures.setdefault(name, []).append(measured)
            equal.append(dict(_equal_models(console, f"{number}/{rounds}", seconds, users, rate)))
    by_round = [
        _ratios({name: runs[number] for name, runs in figures.items()}) | arms.ratios(equal[number])
        for number in range(rounds)
    ]
    ratios = {name: sorted(each[name] for each in by_round) for name in by_round[0]}
    cache = Cache.default()
    steps = measure_steps(cache.model(Model.CHAMPION), cache.model(Model.CHALLENGER))
    console.print(
        _servers({name: min(runs, key=lambda run: run.cpu_seconds) for name, runs in figures.items()})
    )
    console.print(_canaries(equal))
    console.print(_goals(ratios))
    console.print(_steps(steps))
    console.print(f"Measured on {machine()}, {users} users at saturation, {rate} requests a second fixed.")
    document = {
        "bench": "service",
        "machine": machine(),
        "users": users,
        "rate": rate,
        "seconds": seconds,
        "ratios": {name: median(measured) for name, measured in ratios.items()},
        "ratios_by_round": by_round,
        "steps_microseconds": steps,
        "servers": {name: [asdict(run) for run in runs] for name, runs in figures.items()},
        "equal_models": [{name: asdict(run) for name, run in each.items()} for each in equal],
    }
    write_figures(console.print, json_file, document)


def _round(
    console: Console, number: str, seconds: int, users: int, rate: int
) -> Iterator[tuple[str, Measured]]:
    for peer in ("bare", "naive", "tuned"):
        console.print(f"[{number}] {peer}", markup=False)
        url = free_address()
        command = (sys.executable, "-m", *GUNICORN, url.removeprefix("http://"), f"bench.peers:{peer}()")
        with server(command, environment.basic(), url, "/predict") as pid:
            yield peer, measure(url, pid, users=users, rate=rate, seconds=seconds)
    with service() as (stack, url, pid):
        admin = of_stack(stack).admin
        for name, share in (("shadow off", 0), ("shadow", 100)):
            console.print(f"[{number}] {name}", markup=False)
            set_share(admin, "shadow", share)
            measured = measure(url, pid, users=users, rate=rate, seconds=seconds)
            yield name, replace(measured, lost=shadow_drops(url))


def _equal_models(
    console: Console, number: str, seconds: int, users: int, rate: int
) -> Iterator[tuple[str, arms.Run]]:
    with service(challenger=Model.CHAMPION) as (stack, url, pid):
        admin = of_stack(stack).admin
        console.print(f"[{number}] equal models", markup=False)
        plan = LoadPlan(rate, users, seconds)
        yield from arms.runs(url, pid, lambda share: set_share(admin, "canary", share), plan)


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
    columns = ("server", "req/s", "CPU s/1,000", "p99 full ms", "p99 fixed ms", "failed", "samples lost")
    rows = (
        (
            name,
            f"{run.rate:.0f}",
            f"{run.cpu_seconds:.3f}",
            f"{run.p99_full * 1000:.1f}",
            f"{run.p99_fixed * 1000:.1f}",
            str(run.failed),
            str(run.lost),
        )
        for name, run in best.items()
    )
    return table("Servers, each in its best round", columns, rows)


def _canaries(equal: list[dict[str, arms.Run]]) -> Table:
    columns = ("canary of equal models", "req/s", "CPU s/1,000", "p99 outside", "inside", "judged", "inside")
    rows = (
        (
            name,
            f"{run.rate:.0f}",
            f"{run.cpu_seconds:.3f}",
            *(f"{1000 * p99[model]:.1f}" for p99 in (run.users_p99, run.judged_p99) for model in Model),
        )
        for each in equal
        for name, run in each.items()
    )
    return table("Equal models in both arms, p99 in ms", columns, rows)


def _goals(ratios: dict[str, list[float]]) -> Table:
    rows = (
        (
            name,
            *(f"{each:.2f}" for each in (median(measured), measured[0], measured[-1])),
            *_goal(name, median(measured)),
        )
        for name, measured in ratios.items()
    )
    return table("Ratios", ("ratio", "median", "from", "to", "goal", ""), rows)


def _goal(name: str, ratio: float) -> tuple[str, str]:
    if name not in GOALS:
        return "", ""
    limit, side = GOALS[name]
    met = ratio <= limit if side == "at most" else ratio >= limit
    return f"{side} {limit:g}", "ok" if met else "MISSED"


def _steps(steps: dict[str, float]) -> Table:
    rows = ((name, f"{microseconds:.1f}") for name, microseconds in steps.items())
    return table("Steps, each alone in one process", ("step of a request", "us"), rows)


if __name__ == "__main__":
    main(prog_name="python -m bench")

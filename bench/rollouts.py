"""`python -m bench.rollouts`: what it costs to guard many rollouts in one process, on real servers."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import psutil
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from bench.backfill import Backfilled, Traffic, play, prometheus_over
from bench.board import GOAL_SECONDS, BoardCost, measure_board
from bench.passes import requests_of
from bench.server import BenchError, free_address
from common.names import JobMetric, latency_buckets
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, own_stack, table, write_figures
from stack.api import Stack
from stack.servers.machine import postgres

HISTORY, LEFT = 1800, 600  # seconds of history, and how much of it lies in the future
EVERY = 5  # seconds from one iteration to the next
EDGES = latency_buckets()[::6]  # eleven, as a service of other people has them
GOALS = {"seconds": 5.0, "cpu_seconds": 1.0, "megabytes": 300.0}
"""Of an iteration of a hundred rollouts, and of the process."""
ROLLOUT = """\
name: {name}
flag: {{name: {name}}}
arms: {{selector: {{job: {name}}}, label: model}}
signals:
  calls: model_calls_total
  errors: prediction_errors_total
  latency: latency_seconds
  outcomes: assignments_total
  follows: rollout_info
  versions: {{metric: model_info, name: name, sha256: sha256}}
guardrails: {guardrails}
plan: canary
"""


@dataclass(frozen=True)
class Cost:
    """Of one process that guards so many rollouts, over a minute."""

    rollouts: int
    iterations: float
    """Of each rollout."""
    seconds: float
    """Of the longest iteration of any of them."""
    cpu_seconds: float
    """Of the process, for one iteration of all."""
    megabytes: float
    """Resident."""
    requests: float
    """Of Prometheus, in an iteration of one rollout."""
    could_not: int
    """Iterations that could not measure."""


@click.command()
@click.option("--rollouts", type=click.IntRange(1), default=100, show_default=True)
@click.option("--seconds", type=click.IntRange(10), default=60, show_default=True, help="Of measuring.")
@json_option
def main(rollouts: int, seconds: int, json_file: Path | None) -> None:
    """Guard one rollout, then many, each with 5 guardrails over half an hour of history; then show them.

    Real Unleash and real Prometheus; the histories are made up, 50 calls a second each.

    Exit codes: 0 measured, whatever the figures; 3 it could not be.
    """
    console = Console(highlight=False)
    with exit_codes("not measured"), tempfile.TemporaryDirectory(prefix="canario-bench-") as name:
        folder = Path(name)
        names = [f"shop-{number:03}" for number in range(rollouts)]
        console.print("Unleash starts, and gets its flags: a minute", markup=False)
        with own_stack("unleash") as stack:
            _flags(stack, names, folder)
            console.print("history for Prometheus: some moments", markup=False)
            with prometheus_over(_history(names), folder) as url:
                costs = []
                for some in (names[:1], names):
                    console.print(f"guarding {len(some)}", markup=False)
                    costs.append(_measure(stack, url, some, folder, seconds))
                console.print(f"a board of {rollouts}", markup=False)
                board = measure_board(_board(stack, url, rollouts, folder), names[0], folder / "log", seconds)
    console.print(_table(costs))
    console.print(_table_of_board(board))
    console.print(f"Measured on {machine()}.")
    document = {
        "bench": "rollouts",
        "machine": machine(),
        "goals": GOALS,
        "costs": [asdict(each) for each in costs],
        "board": {**asdict(board), "goal_seconds": GOAL_SECONDS},
    }
    write_figures(console.print, json_file, document)


def _flags(stack: Stack, names: list[str], folder: Path) -> None:
    """A flag at 5% for each rollout, half an hour old."""
    flag = {"description": "Of a bench.", "initial": {"enabled": True, "percent": 5}}
    file = folder / "flags.yaml"
    file.write_text(yaml.safe_dump({"flags": [{"name": name, **flag} for name in names]}), encoding="utf-8")
    command = [sys.executable, "-m", "flags", "apply", "--file", str(file)]
    subprocess.run(command, env=_without_models(stack), check=True, stdout=subprocess.DEVNULL)
    # A stage of half a minute would cost less to judge than a real one.
    older = f"UPDATE events SET created_at = created_at - interval '{HISTORY - 120} seconds'"  # noqa: S608
    host, port = stack.addresses.postgres.split(":")
    asked = [
        str(postgres("psql")),
        "-X",
        "-q",
        "-h",
        host,
        "-p",
        port,
        "-U",
        "unleash",
        "-d",
        stack.site.database,
    ]
    secret = {"PGPASSWORD": stack.secret("postgres-unleash.password")}
    subprocess.run([*asked, "-c", older], env={**os.environ, **secret}, check=True)


def _without_models(stack: Stack) -> dict[str, str]:
    """The environment of commands; there is no service here."""
    return {name: value for name, value in stack.env("flags").items() if name != "CANARIO_MODELS"}


def _history(names: list[str]) -> Iterator[Backfilled]:
    """The same for each rollout, under its own job and flag."""
    dice, until = np.random.default_rng(1), time.time() + LEFT
    played = play(dice, [Traffic(seconds=HISTORY + LEFT)], until=until, edges=EDGES, flags=("FLAG",))
    for name in names:
        for one in played:
            labels = {label: name if value == "FLAG" else value for label, value in one.labels.items()}
            yield replace(one, labels={**labels, "job": name})


def _measure(stack: Stack, prometheus: str, names: list[str], folder: Path, seconds: int) -> Cost:
    rollouts = folder / f"rollouts-{len(names)}"
    guardrails = folder / "guardrails.yaml"
    guardrails.write_text(_five_guardrails(), encoding="utf-8")
    for name in names:
        (rollouts / name).mkdir(parents=True)
        text = ROLLOUT.format(name=name, guardrails=guardrails)
        (rollouts / name / "rollout.yaml").write_text(text, encoding="utf-8")
    bind = free_address().removeprefix("http://")
    environment = {
        **_without_models(stack),
        "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(stack.site.secrets.token("canario-rollback")),
        "CANARIO_PROMETHEUS_URL": prometheus,
        "CANARIO_ROLLOUTS": str(rollouts),
        "CANARIO_ROLLBACK_METRICS_BIND": bind,
        "CANARIO_DECISIONS_DIR": str(folder / f"decisions-{len(names)}"),
    }
    with _guarding(environment, folder / "log") as process:
        _until_all_have(bind, len(names), folder / "log")
        before, cpu, asked, begun = _passes(bind), _cpu(process), requests_of(prometheus), time.monotonic()
        slowest = 0.0
        while time.monotonic() - begun < seconds:
            time.sleep(EVERY)
            slowest = max(slowest, *_values(bind, JobMetric.DURATION).values())
        after, took = _passes(bind), _cpu(process) - cpu
        asked = requests_of(prometheus) - asked
        megabytes = process.memory_info().rss / 1e6
    passes = sum(after.values()) - sum(before.values())
    blind = sum(value for outcome, value in after.items() if outcome == "cannot measure")
    return Cost(
        len(names),
        passes / len(names),
        slowest,
        took / (passes / len(names)),
        megabytes,
        asked / passes,
        int(blind),
    )


def _board(stack: Stack, prometheus: str, rollouts: int, folder: Path) -> dict[str, str]:
    """The environment of the board over the rollouts that were guarded last."""
    return {
        **_without_models(stack),
        "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(stack.site.secrets.token("canario-board")),
        "CANARIO_PROMETHEUS_URL": prometheus,
        "CANARIO_ROLLOUTS": str(folder / f"rollouts-{rollouts}"),
        "CANARIO_DECISIONS_DIR": str(folder / f"decisions-{rollouts}"),
    }


def _five_guardrails() -> str:
    """The template of any HTTP service, and one more of the dearest kind."""
    template = yaml.safe_load(Path("rollback/templates/http-service.yaml").read_text(encoding="utf-8"))
    template["scrape_interval"] = "5s"
    slow = {
        "kind": "sequential",
        "name": "hard-latency",
        "description": "An answer that takes longer than 250 ms is lost.",
        "histogram": "{latency}",
        "slower_than": "250ms",
        "limit": 0.01,
        "share_of_alpha": 0.1,
        "action": "rollback",
    }
    template["guardrails"].append(slow)
    return yaml.safe_dump(template)


@contextmanager
def _guarding(environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """The job over a folder; what it says goes to the file."""
    command = [sys.executable, "-m", "rollback", "--every", f"{EVERY}s"]
    with log.open("wb") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def _until_all_have(bind: str, rollouts: int, log: Path, patience: float = 180.0) -> None:
    """Each had an iteration."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            if sum(value > 0 for value in _values(bind, JobMetric.DURATION).values()) == rollouts:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    raise BenchError(
        f"not all of {rollouts} rollouts had an iteration within {patience:.0f} s: {log.read_text()[-500:]}"
    )


def _values(bind: str, name: str, by: str = "rollout") -> dict[str, float]:
    text = requests.get(f"http://{bind}/metrics", timeout=10).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels[by]] = found.get(sample.labels[by], 0.0) + sample.value
    return found


def _passes(bind: str) -> dict[str, float]:
    """Iterations so far, by outcome."""
    return _values(bind, JobMetric.PASSES, "outcome")


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _table_of_board(cost: BoardCost) -> Table:
    columns = (
        "rollouts",
        "first s",
        "list s",
        "goal",
        "page s",
        "CPU s a refresh",
        "goal",
        "MB",
        "kB",
        "unknown",
    )
    goal = f"{GOAL_SECONDS:g}"
    row = (
        str(cost.rollouts),
        f"{cost.first_seconds:.1f}",
        f"{cost.seconds:.2f}",
        goal,
        f"{cost.page_seconds:.2f}",
        f"{cost.cpu_seconds:.2f}",
        goal,
        f"{cost.megabytes:.0f}",
        f"{cost.kilobytes:.0f}",
        str(cost.unknown),
    )
    return table("A board of them, looked at every 5 s", columns, [row])


def _table(costs: list[Cost]) -> Table:
    columns = (
        *("rollouts", "iterations", "slowest s", "goal", "CPU s of all", "goal"),
        *("MB", "goal", "queries each", "blind"),
    )
    rows = [
        (
            str(each.rollouts),
            f"{each.iterations:.1f}",
            f"{each.seconds:.2f}",
            f"{GOALS['seconds']:g}",
            f"{each.cpu_seconds:.2f}",
            f"{GOALS['cpu_seconds']:g}",
            f"{each.megabytes:.0f}",
            f"{GOALS['megabytes']:g}",
            f"{each.requests:.1f}",
            str(each.could_not),
        )
        for each in costs
    ]
    return table("One process that guards many rollouts", columns, rows)


if __name__ == "__main__":
    main(prog_name="python -m bench.rollouts")

"""`python -m drills`: drills on the stack that `make up` has started."""

import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import click
import requests
from sklearn.datasets import load_breast_cancer

from common.errors import CanarioError
from common.terminal import Console, guard_terminal
from drills import faults, rollback
from drills.as_found import as_found, require_free_way
from drills.faults import KINDS
from drills.report import as_json, show
from drills.scenario import Plan, Scenario
from drills.story.command import story
from drills.target import Target, of_stack
from flags.canary import set_share
from service.guest.faults import Kind
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.settings import ROLLBACK_EVERY

DEFAULTS = Plan()
LOAD = faults.Load()


json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)


@click.group()
def cli() -> None:
    """Drills on a running stack: real load, a real fault, and a verdict from what was measured.

    Exit codes: 0 passed; 1 failed; 2 usage; 3 the drill could not be carried out; 130 interrupted.
    """


cli.add_command(story)


@cli.command()
@click.option(
    "--percent",
    type=click.IntRange(1, 99),
    default=DEFAULTS.percent,
    show_default=True,
    help="Share of the canary.",
)
@click.option(
    "--rate",
    type=click.FloatRange(1, 500),
    default=DEFAULTS.rate,
    show_default=True,
    help="Requests a second.",
)
@click.option(
    "--limit",
    type=click.FloatRange(1, 600),
    default=DEFAULTS.limit_seconds,
    show_default=True,
    help="Seconds from the fault until the flag must be off.",
)
@json_option
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the stack; default: that of `make up`.",
)
def demo(percent: int, rate: float, limit: float, json_file: Path | None, home: Path | None) -> None:
    """The acceptance scenario, live.

    Champion only; then a canary; then each call of the challenger sleeps 0.5 s; the rollback job sees a
    guardrail breached and turns the flag off; champion only again. Passed only if the job did it in time, and
    no request of a user outside the canary failed or took over 250 ms more than before.

    What stands in the way is named before it begins, and the flag ends as it was found.

    \b
    Examples:
      make demo
      make demo ARGS="--percent 5 --json demo.json"
    """
    console = Console(highlight=False)

    def say(since_fault: float | None, sentence: str) -> None:
        clock = "        " if since_fault is None else f"{since_fault:+6.1f} s"
        console.print(f"{clock}  {sentence}", highlight=False, soft_wrap=True)

    rows = load_breast_cancer().data.tolist()
    try:
        stack = Stack.existing(home)
        target = of_stack(stack)
        require_free_way(stack, target)
        with as_found(target, lambda told: say(None, told)):
            result = Scenario(target, Plan(percent=percent, rate=rate, limit_seconds=limit), say).run(rows)
    except (CanarioError, requests.RequestException) as error:
        click.echo(f"error: the drill could not be carried out: {error}", err=True)
        sys.exit(3)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    show(result, console)
    _tell_what_next(console, target, stack)
    if json_file:
        json_file.write_text(json.dumps(as_json(result), indent=2) + "\n", encoding="utf-8")
        console.print(f"Figures: {json_file}")
    sys.exit(0 if result.outcome.passed else 1)


def _tell_what_next(console: Console, target: Target, stack: Stack) -> None:
    graph = (
        f"{stack.addresses.prometheus}/classic/graph?g0.expr=latency_seconds:p99&g0.tab=0&g0.range_input=15m"
    )
    for line in (
        "",
        "Hear why, judged again:     python3 -m stack exec python -m rollback explain",
        f"See who did it, and when:   {target.admin.url}/projects/default/features/{target.flag}/logs",
        f"See how slow it was:        {graph}",
        f"Give users the challenger:  python3 -m stack exec python -m flags set {target.flag} 25",
        "Everything is still up:     make status, make logs, make down",
    ):
        console.print(line, highlight=False, soft_wrap=True)


@cli.command("faults")
@click.option(
    "--only", "kinds", multiple=True, type=click.Choice(KINDS), help="One of the faults; may be given again."
)
@click.option("--rate", default=LOAD.rate, show_default=True, help="Requests a second, for latency.")
@click.option("--users", default=LOAD.users, show_default=True, help="Users at a time, for throughput.")
@click.option("--seconds", default=LOAD.seconds, show_default=True, help="Length of each run; four a fault.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures to this file.",
)
def faults_command(
    kinds: tuple[Kind, ...], rate: int, users: int, seconds: int, json_file: Path | None
) -> None:
    """Every fault of a challenger with 25% of the users, and what the others notice.

    On a stack of its own, on free ports, without the rollback job. Each fault is measured beside a run
    without it: p99 of users outside the canary at a fixed rate (at most 1.3 x), their throughput at
    saturation (at least 0.9 x), and requests without a prediction (none).
    """
    console = Console(highlight=False)
    load = faults.Load(rate, users, seconds)
    chosen = kinds or KINDS
    row = load_breast_cancer().data[0].tolist()
    rows: list[faults.Row] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="canario-drill-") as home,
            Stack(Path(home), only=("unleash", "service"), ports="free") as stack,
        ):
            target = of_stack(stack)
            set_share(target.admin, target.flag, 25)
            for number, kind in enumerate(chosen, start=1):
                console.print(f"[{number}/{len(chosen)}] {kind}: 4 runs of {seconds} s", markup=False)
                rows.append(faults.run(target, kind, load, row))
    except (CanarioError, requests.RequestException) as error:
        click.echo(f"error: the drill could not be carried out: {error}", err=True)
        sys.exit(3)
    console.print(faults.as_table(rows))
    if json_file:
        figures = faults.as_json(rows, load, _machine())
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        console.print(f"Figures: {json_file}")
    sys.exit(0 if all(each.passed for each in rows) else 1)


@cli.command("rollback")
@click.option(
    "--trials", type=click.IntRange(1, 100), default=10, show_default=True, help="One takes about a minute."
)
@click.option("--every", default=ROLLBACK_EVERY, show_default=True, help="Period of the rollback job.")
@json_option
def rollback_command(trials: int, every: str, json_file: Path | None) -> None:
    """How soon a challenger that has become slow is taken away: 5% of 50 requests a second, again and again.

    On a stack of its own, on free ports. From the first slow answer to the flag off at most 20 s, to the last
    answer of the challenger at most 25 s. Besides, each trial has to pass as the acceptance scenario does.
    """
    console = Console(highlight=False)
    rows = load_breast_cancer().data.tolist()
    measured: list[rollback.Trial] = []
    programs = ("postgres", "unleash", "prometheus", "service", "rollback")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="canario-drill-") as home,
            Stack(Path(home), only=programs, ports="free", rollback_every=every) as stack,
        ):
            target = of_stack(stack)
            for number in range(1, trials + 1):
                trial = rollback.measure(Scenario(target, rollback.PLAN, _mute).run(rows))
                measured.append(trial)
                console.print(f"[{number}/{trials}] {rollback.in_words(trial)}", markup=False, soft_wrap=True)
    except (CanarioError, requests.RequestException) as error:
        click.echo(f"error: the drill could not be carried out: {error}", err=True)
        sys.exit(3)
    console.print(rollback.as_table(measured))
    if json_file:
        figures = rollback.as_json(measured, rollback.PLAN, every, _machine())
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        console.print(f"Figures: {json_file}")
    sys.exit(0 if rollback.passed(measured) else 1)


@cli.command("pictures")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=REPOSITORY / "docs" / "pictures",
    help="Folder; default: docs/pictures.",
)
@click.option("--stage", default=110.0, show_default=True, help="Seconds for which each of 3 stages lasts.")
def pictures_command(out: Path, stage: float) -> None:
    """Take the README's pictures of the Unleash UI and of the board, with real data (8 minutes)."""
    from drills.pictures import take  # noqa: PLC0415 - the other drills need no browser

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        click.echo("error: Chromium is missing: sudo apt-get install chromium", err=True)
        sys.exit(3)
    try:
        take(out, chromium, stage_seconds=stage, say=click.echo)
    except CanarioError as error:
        click.echo(f"error: the pictures could not be taken: {error}", err=True)
        sys.exit(3)


def _mute(_since_fault: float | None, _sentence: str) -> None:
    """Ten trials told word by word would hide the figures."""


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    guard_terminal()
    cli(prog_name="python -m drills")

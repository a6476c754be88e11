"""`./canario demo`: the acceptance scenario on the stack of `./canario up`, and how it is told."""

import statistics
import sys
from pathlib import Path
from typing import Any

import click
from sklearn.datasets import load_breast_cancer

from common.terminal import Console
from drills.command import exit_codes, home_option, json_option, table, write_figures
from drills.flag_restorer import flag_restored
from drills.judge import p99, tally
from drills.scenario import Plan, Result, Scenario
from drills.target import Target, of_stack
from stack.api import Stack

DEFAULTS = Plan()


@click.command()
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
@home_option
def demo(percent: int, rate: float, limit: float, json_file: Path | None, home: Path | None) -> None:
    """The acceptance scenario, live.

    Champion only; then a canary; then each call of the challenger sleeps 0.5 s; the rollback job sees a
    guardrail breached and turns the flag off; champion only again. Passed only if the job did it in time, and
    no request of a user outside the canary failed or took over 250 ms more than before.

    What stands in the way is named before it begins, and the flag ends as it was found, also after Ctrl-C;
    after a kill -9 by the next demo.

    \b
    Examples:
      ./canario demo
      ./canario demo --percent 5 --json demo.json
    """
    console = Console(highlight=False)

    def say(since_fault: float | None, sentence: str) -> None:
        clock = "        " if since_fault is None else f"{since_fault:+6.1f} s"
        console.print(f"{clock}  {sentence}", highlight=False, soft_wrap=True)

    rows = load_breast_cancer().data.tolist()
    with exit_codes("the drill could not be carried out"):
        stack = Stack.existing(home)
        target = of_stack(stack)
        with flag_restored(stack, target, lambda told: say(None, told)) as restorer:
            plan = Plan(percent=percent, rate=rate, limit_seconds=limit)
            result = Scenario(target, plan, say, restorer.share).run(rows)
    show(result, console)
    _tell_what_next(console, target, stack)
    write_figures(console.print, json_file, as_json(result))
    sys.exit(0 if result.outcome.passed else 1)


def _tell_what_next(console: Console, target: Target, stack: Stack) -> None:
    graph = (
        f"{stack.addresses.prometheus}/classic/graph?g0.expr=latency_seconds:p99&g0.tab=0&g0.range_input=15m"
    )
    for line in (
        "",
        "Hear why, judged again:     ./canario explain",
        f"See who did it, and when:   {target.admin.url}/projects/default/features/{target.flag}/logs",
        f"See how slow it was:        {graph}",
        f"Give users the challenger:  ./canario set {target.flag} 25",
        "Everything is still up:     ./canario status, ./canario logs, ./canario down",
    ):
        console.print(line, highlight=False, soft_wrap=True)


def show(result: Result, console: Console) -> None:
    """Print requests by phase, the times, what the users outside met, and the verdict."""
    columns = ("phase", "answered by", "outcome", "requests", "p50 ms", "p99 ms")
    requests = (
        (
            row["phase"],
            row["model"],
            row["outcome"],
            str(row["requests"]),
            f"{row['p50_seconds'] * 1000:.1f}",
            f"{row['p99_seconds'] * 1000:.1f}",
        )
        for row in _requests(result)
    )
    console.print()
    console.print(table("Requests", columns, requests, names=3))
    figures, seen = result.measured, result.measured.outsiders
    for evidence in result.evidence:
        console.print(f"Breached: {evidence.guardrail}. {evidence.sentence}", highlight=False)
    console.print(
        f"From the fault: first failure {_seconds(figures.seconds_to_first_failure)}, "
        f"flag off {_seconds(figures.seconds_to_off)} (by {figures.turned_off_by}), "
        f"last request to the challenger {_seconds(figures.seconds_to_last_challenger)}.",
        highlight=False,
    )
    console.print(
        f"Users outside the canary: {seen.users}; since the fault {seen.requests} requests, "
        f"{seen.failed} failed; p99 before {seen.p99_before * 1000:.1f} ms, "
        f"since {seen.p99 * 1000:.1f} ms, slowest since {seen.slowest * 1000:.1f} ms.",
        highlight=False,
    )
    console.print()
    if result.outcome.passed:
        console.print(
            "PASSED: the job rolled the challenger back, and nobody outside the canary noticed.",
            style="bold green",
        )
    for fault in result.outcome.faults:
        console.print(f"FAILED: {fault}.", style="bold red")


def as_json(result: Result) -> dict[str, Any]:
    """The figures of a drill, JSON types only; times in seconds since the fault, null for what never was."""
    plan, figures, seen = result.plan, result.measured, result.measured.outsiders
    return {
        "drill": "rollback",
        "passed": result.outcome.passed,
        "faults": list(result.outcome.faults),
        "plan": vars(plan),
        "seconds_to_first_failure": figures.seconds_to_first_failure,
        "seconds_to_off": figures.seconds_to_off,
        "seconds_to_last_challenger": figures.seconds_to_last_challenger,
        "turned_off_by": figures.turned_off_by,
        "breaches": [evidence.model_dump() for evidence in result.evidence],
        "outsiders": vars(seen) | {"delay": seen.delay},
        "requests": _requests(result),
    }


def _requests(result: Result) -> list[dict[str, Any]]:
    """Requests by phase, model and outcome."""
    rows = []
    for phase in result.phases:
        samples = phase.of(result.samples)
        for (model, outcome), number in sorted(tally(samples).items()):
            seconds = [each.seconds for each in samples if tally([each])[model, outcome]]
            rows.append(
                {
                    "phase": phase.name,
                    "model": model,
                    "outcome": outcome,
                    "requests": number,
                    "p50_seconds": statistics.median(seconds),
                    "p99_seconds": p99(seconds),
                }
            )
    return rows


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"after {value:.1f} s"

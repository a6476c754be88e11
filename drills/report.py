"""A drill told: tables for a person, figures by name for a program."""

import statistics
from typing import Any

from rich.table import Table

from common.terminal import Console
from drills.judge import p99, tally
from drills.scenario import Result


def show(result: Result, console: Console) -> None:
    """Print requests by phase, the times, what the users outside met, and the verdict."""
    requests = Table(
        "phase",
        "answered by",
        "outcome",
        "requests",
        "p50 ms",
        "p99 ms",
        title="Requests",
        title_justify="left",
    )
    for row in _requests(result):
        requests.add_row(
            row["phase"],
            row["model"],
            row["outcome"],
            str(row["requests"]),
            f"{row['p50_seconds'] * 1000:.1f}",
            f"{row['p99_seconds'] * 1000:.1f}",
        )
    console.print()
    console.print(requests)
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
            "PASSED: the job took the challenger away, and nobody outside the canary noticed.",
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

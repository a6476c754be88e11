"""A study told: two tables for people, one JSON document for programs."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from common.terminal import Console
from rollback.simulate.cases import format_plan
from rollback.simulate.study import (
    Breach,
    Case,
    Delay,
    PlayedStage,
    Run,
    World,
    delay,
    delay_fields,
    false_rollbacks,
    rate_fields,
)

GOAL = 0.05  # of rollouts of equal models may be rolled back


@dataclass(frozen=True)
class Simulation:
    """All that was played."""

    world: World
    plan: tuple[PlayedStage, ...]
    left_out: tuple[str, ...]
    """Guardrails that roll back and cannot be played."""
    runs: dict[Case, list[Run]]

    @property
    def equal(self) -> list[Run]:
        """Runs in which nothing was wrong."""
        return [run for case, runs in self.runs.items() if not case.number for run in runs]

    @property
    def worse(self) -> dict[Case, list[Run]]:
        """Runs of regressions."""
        return {case: runs for case, runs in self.runs.items() if case.number}


def counted_progress() -> Progress:
    """A bar on standard error for so many of so many, which goes when all is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def show(study: Simulation, console: Console) -> None:
    """Print a study for a person."""
    world, champion = study.world, study.world.champion
    told = (
        f"{world.calls_a_second:g} requests a second, a look every {world.step.total_seconds():g} s",
        f"median {1000 * champion.median:g} ms, p99 {1000 * champion.quantile(0.99):.0f} ms",
        f"{100 * champion.errors:g}% errors",
        f"seed {world.seed}",
    )
    console.print("; ".join(told), highlight=False)
    if study.left_out:
        console.print(f"Not played, for want of such traffic: {', '.join(study.left_out)}", style="yellow")
    if study.equal:
        console.print(_false_table(study))
    if study.worse:
        console.print(_delay_table(study))


def fields(study: Simulation) -> dict[str, Any]:
    """A study as JSON. A delay of null is longer than was watched."""
    world = study.world
    return {
        "plan": format_plan(study.plan),
        "calls_a_second": world.calls_a_second,
        "step_seconds": world.step.total_seconds(),
        "champion": asdict(world.champion),
        "bursts": world.bursts and asdict(world.bursts),
        "together": world.together and asdict(world.together),
        "seed": world.seed,
        "left_out": list(study.left_out),
        "false_rollbacks": {
            "goal": GOAL,
            "ours": _false_fields([run.ours for run in study.equal]),
            "plain": _false_fields([run.plain for run in study.equal]),
        },
        "delays": [
            {
                "regression": case.name,
                "share": case.stages[0].share,
                "ours": delay_fields(delay(run.ours for run in runs), "runs"),
                "plain": delay_fields(delay(run.plain for run in runs), "runs"),
            }
            for case, runs in study.worse.items()
        ],
    }


def _false_fields(breaches: list[Breach | None]) -> dict[str, Any]:
    rate, by = false_rollbacks(breaches)
    return {**rate_fields(rate, "runs"), "by": by}


def _false_table(study: Simulation) -> Table:
    table = Table("rules", "rolled back", "95% interval", "by which, in runs", title_justify="left")
    table.title = f"Equal models, {len(study.equal)} rollouts over {format_plan(study.plan)}"
    for name, breaches in (
        ("ours", [run.ours for run in study.equal]),
        ("plain ratio", [run.plain for run in study.equal]),
    ):
        rate, by = false_rollbacks(breaches)
        low, high = rate.interval
        causes = ", ".join(f"{cause} {count}" for cause, count in by.most_common())
        style = "red" if rate.share > GOAL else "green"
        table.add_row(name, f"[{style}]{rate.share:.1%}", f"{low:.1%} to {high:.1%}", causes or "-")
    return table


def _delay_table(study: Simulation) -> Table:
    table = Table("regression", "share", "ours", "plain ratio", "ours found by", title_justify="left")
    table.title = "Minutes from a regression to the breach: median, 90th percentile"
    name = None
    for case, runs in study.worse.items():
        if name not in (None, case.name):
            table.add_section()
        ours, plain = (delay(run.ours for run in runs), delay(run.plain for run in runs))
        causes = ", ".join(f"{cause} {count / ours.runs:.0%}" for cause, count in ours.by.most_common(2))
        table.add_row(
            case.name if case.name != name else "",
            f"{100 * case.stages[0].share:g}%",
            _told(ours),
            _told(plain),
            causes or "-",
        )
        name = case.name
    return table


def _told(measured: Delay) -> str:
    if not measured.runs:
        return "always rolled back before"
    if measured.missed == measured.runs:
        return "never"
    times = ", ".join(
        "-" if not isfinite(value) else f"{value:g}" for value in (measured.median, measured.late)
    )
    notes = []
    if measured.missed:
        notes.append(f"missed {measured.missed / measured.runs:.0%}")
    if measured.early:
        notes.append(f"false before {measured.early / (measured.runs + measured.early):.0%}")
    return times + (f" ({'; '.join(notes)})" if notes else "")

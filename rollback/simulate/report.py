"""A study told: two tables for people, one JSON document for programs."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from rich.table import Table

from common.rate import Rate
from common.terminal import Console
from rollback.simulate.cases import format_plan
from rollback.simulate.results import Delay, delay, false_rollbacks
from rollback.simulate.study import Case, Run, Stage, World

GOAL = 0.05  # of rollouts of equal models may be rolled back


@dataclass(frozen=True)
class Study:
    """All that was played."""

    world: World
    plan: tuple[Stage, ...]
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


def show(study: Study, console: Console) -> None:
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


def fields(study: Study) -> dict[str, Any]:
    """A study as JSON. A delay of null is longer than was watched."""
    world = study.world
    return {
        "plan": format_plan(study.plan),
        "calls_a_second": world.calls_a_second,
        "step_seconds": world.step.total_seconds(),
        "champion": asdict(world.champion),
        "bursts": world.bursts and asdict(world.bursts),
        "seed": world.seed,
        "left_out": list(study.left_out),
        "false_rollbacks": {
            "goal": GOAL,
            "ours": _rate_fields(*false_rollbacks([run.ours for run in study.equal])),
            "plain": _rate_fields(*false_rollbacks([run.plain for run in study.equal])),
        },
        "delays": [
            {
                "regression": case.name,
                "share": case.stages[0].share,
                "ours": _delay_fields(delay(run.ours for run in runs)),
                "plain": _delay_fields(delay(run.plain for run in runs)),
            }
            for case, runs in study.worse.items()
        ],
    }


def _false_table(study: Study) -> Table:
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


def _delay_table(study: Study) -> Table:
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


def _rate_fields(rate: Rate, by: dict[str, int]) -> dict[str, Any]:
    low, high = rate.interval
    return {
        "runs": rate.runs,
        "rolled_back": rate.hits,
        "rate": rate.share,
        "low": low,
        "high": high,
        "by": by,
    }


def _delay_fields(measured: Delay) -> dict[str, Any]:
    finite = {
        "median_minutes": measured.median if isfinite(measured.median) else None,
        "p90_minutes": measured.late if isfinite(measured.late) else None,
    }
    counts = {"runs": measured.runs, "missed": measured.missed, "rolled_back_before": measured.early}
    return {**finite, **counts, "by": dict(measured.by)}

"""`./canario drill faults`: every fault of the challenger against the promise that nobody outside notices.

For each fault the same load is run without it and with it, one right after the other, so that a machine that
is busy with something else is so in both. What counts is the median of some rounds: without any
fault a p99 of 20 s varied from 2.3 to 4.2 ms in one hour on a quiet machine, so that one round tells nothing.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, get_args

import click
from rich.table import Table
from sklearn.datasets import load_breast_cancer

from common.terminal import Console
from drills.command import exit_codes, json_option, machine, own_stack, table, write_figures
from drills.load import Figures, predict
from drills.target import Target, of_stack
from flags.canary.share import set_share
from service.challenger.faults import Kind

KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "none")
SLEEP_SECONDS = 0.5
COLUMNS = ("fault", "p99 ms", "of healthy", "rate of healthy", "inside p99 ms", "fell back", "failed", "")
P99_RATIO = 1.3  # of users outside the canary, at a fixed rate, at most
THROUGHPUT_RATIO = 0.9  # at saturation, at least


@dataclass(frozen=True)
class LoadPlan:
    """Asked `rounds` times: `rate` a second for `seconds`, then `users` in a closed loop for half."""

    rate: int = 50
    users: int = 16
    seconds: int = 20
    rounds: int = 3


DEFAULTS = LoadPlan()


@dataclass(frozen=True)
class Row:
    """One fault's figures beside those without it, one of each round."""

    kind: Kind
    fixed_without: tuple[Figures, ...]
    fixed: tuple[Figures, ...]
    full_without: tuple[Figures, ...]
    full: tuple[Figures, ...]

    @property
    def p99_ratio(self) -> float:
        """p99 of those outside the canary at the fixed rate, median of rounds, with it over without."""
        return _p99(self.fixed) / _p99(self.fixed_without)

    @property
    def throughput_ratio(self) -> float:
        """Requests of users outside the canary at saturation, with the fault over without."""
        return _requests(self.full) / _requests(self.full_without)

    @property
    def failed(self) -> int:
        """Requests without a prediction while the fault was on, of users inside and outside."""
        return sum(each.failed for each in (*self.fixed, *self.full))

    @property
    def passed(self) -> bool:
        """Whether the promise held."""
        return not self.failed and self.p99_ratio <= P99_RATIO and self.throughput_ratio >= THROUGHPUT_RATIO


@click.command("faults")
@click.option(
    "--only", "kinds", multiple=True, type=click.Choice(KINDS), help="One of the faults; may be given again."
)
@click.option("--rate", default=DEFAULTS.rate, show_default=True, help="Requests a second, for latency.")
@click.option("--users", default=DEFAULTS.users, show_default=True, help="Users at a time, for throughput.")
@click.option(
    "--seconds", default=DEFAULTS.seconds, show_default=True, help="Length of a run at the fixed rate."
)
@click.option(
    "--rounds",
    default=DEFAULTS.rounds,
    show_default=True,
    help="Pairs of runs, with and without, of each kind.",
)
@json_option
def faults_command(  # noqa: PLR0913, PLR0917 - one for each option
    kinds: tuple[Kind, ...], rate: int, users: int, seconds: int, rounds: int, json_file: Path | None
) -> None:
    """Every fault of a challenger with 25% of the users, and what the others notice.

    On a stack of its own, on free ports, without the rollback job. Each fault is measured beside a run
    without it: p99 of users outside the canary at a fixed rate (at most 1.3 x), their throughput at
    saturation (at least 0.9 x), and requests without a prediction (none).
    """
    console = Console(highlight=False)
    load, chosen = LoadPlan(rate, users, seconds, rounds), kinds or KINDS
    row = load_breast_cancer().data[0].tolist()
    rows: list[Row] = []
    with exit_codes("the drill could not be carried out"), own_stack("unleash", "service") as stack:
        target = of_stack(stack)
        set_share(target.admin, target.flag, 25)
        for number, kind in enumerate(chosen, start=1):
            console.print(f"[{number}/{len(chosen)}] {kind}: {4 * rounds} runs", markup=False)
            rows.append(run(target, kind, load, row))
    console.print(as_table(rows))
    write_figures(console.print, json_file, as_json(rows, load))
    sys.exit(0 if all(each.passed for each in rows) else 1)


def run(target: Target, kind: Kind, load: LoadPlan, row: list[float]) -> Row:
    """Measure `kind` on `target`, whose canary is on and whose rollback job is not.

    Raises:
        LoadError: k6 failed.
        NoChallengerError: the challenger does not recover from the fault before.
    """
    seen: dict[str, list[Figures]] = {"rate": [], "users": []}
    try:
        for _ in range(load.rounds):
            for how, number, seconds in (
                ("rate", load.rate, load.seconds),
                ("users", load.users, max(1, load.seconds // 2)),
            ):
                target.switch_fault_off()
                target.await_challenger(row)
                seen[how].append(predict(target.service, seconds=seconds, **{how: number}))
                target.switch_fault_on(kind, SLEEP_SECONDS if kind == "sleep" else 0.0)
                seen[how].append(predict(target.service, seconds=seconds, **{how: number}))
    finally:
        target.switch_fault_off()
    fixed, full = (tuple(each) for each in seen.values())
    return Row(kind, fixed[::2], fixed[1::2], full[::2], full[1::2])


def as_json(rows: Sequence[Row], load: LoadPlan) -> dict[str, Any]:
    """The figures by name, JSON types only; durations in seconds."""
    return {
        "drill": "faults",
        "passed": all(row.passed for row in rows),
        "machine": machine(),
        "load": vars(load),
        "limits": {"p99_ratio": P99_RATIO, "throughput_ratio": THROUGHPUT_RATIO},
        "faults": [
            {
                **asdict(row),
                "passed": row.passed,
                "failed": row.failed,
                "p99_ratio": row.p99_ratio,
                "throughput_ratio": row.throughput_ratio,
            }
            for row in rows
        ],
    }


def as_table(rows: Sequence[Row]) -> Table:
    """What users met, a fault a row."""
    told = (
        (
            row.kind,
            f"{_p99(row.fixed) * 1000:.1f}",
            f"{row.p99_ratio:.2f} x",
            f"{row.throughput_ratio:.2f} x",
            f"{median(each.inside.p99 for each in row.fixed) * 1000:.1f}",
            f"{sum(each.fell_back for each in row.fixed)}/{sum(each.inside.requests for each in row.fixed)}",
            str(row.failed),
            "ok" if row.passed else "FAILED",
        )
        for row in rows
    )
    return table("Users, while the challenger fails", COLUMNS, told)


def _p99(runs: Sequence[Figures]) -> float:
    return median(each.outside.p99 for each in runs)


def _requests(runs: Sequence[Figures]) -> float:
    return median(each.outside.requests for each in runs)

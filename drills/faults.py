"""Every fault of the challenger against the promise: whoever is outside the canary does not notice.

For each fault the same load is run twice, without it and with it, one right after the other, so that a
machine that is busy with something else is so in both.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from rich.table import Table

from drills.k6 import Figures, predict
from drills.target import Target
from service.guest.faults import Kind

KINDS: tuple[Kind, ...] = tuple(kind for kind in get_args(Kind) if kind != "none")
SLEEP_SECONDS = 0.5
COLUMNS = ("p99 ms", "of healthy", "rate of healthy", "inside p99 ms", "fell back", "failed", "")
FAULT_SETTLES_SECONDS = 0.5  # the guest looks at the drill file every 0.2 s
P99_RATIO = 1.3  # of users outside the canary, at a fixed rate, at most
THROUGHPUT_RATIO = 0.9  # at saturation, at least


@dataclass(frozen=True)
class Load:
    """What is asked: `rate` a second for `seconds`, then `users` in a closed loop for `seconds`."""

    rate: int = 50
    users: int = 16
    seconds: int = 20


@dataclass(frozen=True)
class Row:
    """One fault's figures beside those without it."""

    kind: Kind
    fixed_without: Figures
    fixed: Figures
    full_without: Figures
    full: Figures

    @property
    def p99_ratio(self) -> float:
        """p99 of users outside the canary at the fixed rate, with the fault over without."""
        return self.fixed.outside.p99 / self.fixed_without.outside.p99

    @property
    def throughput_ratio(self) -> float:
        """Requests of users outside the canary at saturation, with the fault over without."""
        return self.full.outside.requests / self.full_without.outside.requests

    @property
    def failed(self) -> int:
        """Requests without a prediction while the fault was on, of users inside and outside."""
        return self.fixed.failed + self.full.failed

    @property
    def passed(self) -> bool:
        """Whether the promise held."""
        return not self.failed and self.p99_ratio <= P99_RATIO and self.throughput_ratio >= THROUGHPUT_RATIO


def run(target: Target, kind: Kind, load: Load, row: list[float]) -> Row:
    """Measure `kind` on `target`, whose canary is on and whose rollback job is not.

    Raises:
        LoadError: k6 failed.
        NoChallengerError: the challenger does not recover from the fault before.
    """
    figures: list[Figures] = []
    try:
        for options in ({"rate": load.rate}, {"users": load.users}):
            target.switch_fault_off()
            target.await_challenger(row)
            figures.append(predict(target.service, seconds=load.seconds, **options))
            target.switch_fault_on(kind, SLEEP_SECONDS if kind == "sleep" else 0.0)
            time.sleep(FAULT_SETTLES_SECONDS)
            figures.append(predict(target.service, seconds=load.seconds, **options))
    finally:
        target.switch_fault_off()
    return Row(kind, *figures)


def as_json(rows: Sequence[Row], load: Load, machine: str) -> dict[str, Any]:
    """The figures by name, JSON types only; durations in seconds."""
    return {
        "drill": "faults",
        "passed": all(row.passed for row in rows),
        "machine": machine,
        "load": vars(load),
        "limits": {"p99_ratio": P99_RATIO, "throughput_ratio": THROUGHPUT_RATIO},
        "faults": [
            {
                "kind": row.kind,
                "passed": row.passed,
                "failed": row.failed,
                "p99_ratio": row.p99_ratio,
                "throughput_ratio": row.throughput_ratio,
                "fixed_without": asdict(row.fixed_without),
                "fixed": asdict(row.fixed),
                "full_without": asdict(row.full_without),
                "full": asdict(row.full),
            }
            for row in rows
        ],
    }


def as_table(rows: Sequence[Row]) -> Table:
    """What users met, a fault a row."""
    table = Table("fault", title="Users, while the challenger fails", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.kind,
            f"{row.fixed.outside.p99 * 1000:.1f}",
            f"{row.p99_ratio:.2f} x",
            f"{row.throughput_ratio:.2f} x",
            f"{row.fixed.inside.p99 * 1000:.1f}",
            f"{row.fixed.fell_back}/{row.fixed.inside.requests}",
            str(row.failed),
            "ok" if row.passed else "FAILED",
        )
    return table

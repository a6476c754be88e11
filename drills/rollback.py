"""`./canario drill rollback`: how long a rollback takes on the real stack, again and again.

Timed from the first slow answer to the flag off, and to the last answer of the challenger.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.table import Table
from sklearn.datasets import load_breast_cancer

from common.names import Model
from common.terminal import Console
from drills.command import exit_codes, json_option, machine, own_stack, write_figures
from drills.scenario import Plan, Result, Scenario
from drills.target import of_stack
from flags.canary.share import set_share
from stack.site import ROLLBACK_EVERY

PLAN = Plan(percent=5, rate=50.0, limit_seconds=60.0, warm_calls=30)
OFF_GOAL = 20.0  # seconds from the first slow answer, at most
LAST_GOAL = 25.0


@dataclass(frozen=True)
class Trial:
    """One rollback. Seconds from the moment at which the first user asked whom the fault made wait.

    Attributes:
        off: until Unleash said that the flag is off; None if it did not.
        last: until the last answer that the challenger gave or was waited for; 0 if there was none.
        guardrail: the one whose breach the job named first.
        faults: what else was wrong, as the acceptance scenario judges it.
    """

    off: float | None
    last: float | None
    guardrail: str | None
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the goals were met and nothing else was wrong."""
        met = (
            self.off is not None and self.off <= OFF_GOAL and self.last is not None and self.last <= LAST_GOAL
        )
        return met and not self.faults


@click.command("rollback")
@click.option(
    "--trials", type=click.IntRange(1, 100), default=10, show_default=True, help="One takes about a minute."
)
@click.option("--every", default=ROLLBACK_EVERY, show_default=True, help="Period of the rollback job.")
@json_option
def rollback_command(trials: int, every: str, json_file: Path | None) -> None:
    """How soon a challenger that has become slow is rolled back: 5% of 50 requests a second, again and again.

    On a stack of its own, on free ports. From the first slow answer to the flag off at most 20 s, to the last
    answer of the challenger at most 25 s. Besides, each trial has to pass as the acceptance scenario does.
    """
    console = Console(highlight=False)
    rows = load_breast_cancer().data.tolist()
    measured: list[Trial] = []
    programs = ("postgres", "unleash", "prometheus", "service", "rollback")
    with (
        exit_codes("the drill could not be carried out"),
        own_stack(*programs, rollback_every=every) as stack,
    ):
        target = of_stack(stack)
        # The last trial's rollback has blocked the version.
        share = partial(set_share, target.admin, target.flag, override="a drill")
        for number in range(1, trials + 1):
            trial = measure(Scenario(target, PLAN, _mute, share).run(rows))
            measured.append(trial)
            console.print(f"[{number}/{trials}] {in_words(trial)}", markup=False, soft_wrap=True)
    console.print(as_table(measured))
    write_figures(console.print, json_file, as_json(measured, PLAN, every, machine()))
    sys.exit(0 if passed(measured) else 1)


def _mute(_since_fault: float | None, _sentence: str) -> None:
    """Ten trials told word by word would hide the figures."""


def measure(result: Result) -> Trial:
    """Time one run of the scenario."""
    fault = next(phase.begin for phase in result.phases if phase.name == "fault")
    since = [each for each in result.samples if each.due >= fault]
    slow = [each for each in since if each.assigned == Model.CHALLENGER and _is_slow(each.seconds, result)]
    first = min((each.due for each in slow), default=None)
    guardrail = result.evidence[0].guardrail if result.evidence else None
    off = result.measured.seconds_to_off
    if first is None or off is None:
        return Trial(None, None, guardrail, result.outcome.faults)
    # An answer of the challenger is one that a user was assigned to, whoever gave it in the end.
    last = max(each.due + each.seconds for each in since if each.assigned == Model.CHALLENGER)
    return Trial(fault + off - first, last - first, guardrail, result.outcome.faults)


def _is_slow(seconds: float, result: Result) -> bool:
    """The fault shows from half of its length on: the service gives up waiting before its end."""
    return seconds >= min(result.plan.sleep_seconds, 0.25) * 0.9


def passed(trials: Sequence[Trial]) -> bool:
    """Whether all of them did."""
    return all(trial.passed for trial in trials)


def in_words(trial: Trial) -> str:
    """One line."""
    what = f"flag off after {_told(trial.off)} s, last answer of the challenger after {_told(trial.last)} s"
    return f"{what}, by {trial.guardrail}" + "".join(f"; {fault}" for fault in trial.faults)


def as_table(trials: Sequence[Trial]) -> Table:
    """A trial a row, then the median and the worst."""
    table = Table("trial", title="From the first slow answer, seconds", title_justify="left")
    for column in ("flag off", "last answer of the challenger"):
        table.add_column(column, justify="right")
    table.add_column("breached first")
    table.add_column("")
    for number, trial in enumerate(trials, start=1):
        verdict = "ok" if trial.passed else "FAILED: " + ("; ".join(trial.faults) or "too late")
        table.add_row(str(number), _told(trial.off), _told(trial.last), trial.guardrail or "-", verdict)
    table.add_section()
    for name, (off, last) in _summary(trials).items():
        table.add_row(name, _told(off), _told(last), "", "")
    table.add_row("goal", f"{OFF_GOAL:g}", f"{LAST_GOAL:g}", "", "")
    return table


def as_json(trials: Sequence[Trial], plan: Plan, every: str, machine: str) -> dict[str, Any]:
    """The figures by name, JSON types only; seconds from the first slow answer."""
    return {
        "drill": "rollback-time",
        "passed": passed(trials),
        "machine": machine,
        "plan": asdict(plan),
        "rollback_every": every,
        "goals": {"off": OFF_GOAL, "last": LAST_GOAL},
        "trials": [{**asdict(trial), "passed": trial.passed} for trial in trials],
        **{name: {"off": off, "last": last} for name, (off, last) in _summary(trials).items()},
    }


def _summary(trials: Sequence[Trial]) -> dict[str, tuple[float | None, float | None]]:
    """Median and worst; None where a trial has no such time."""
    columns = ([trial.off for trial in trials], [trial.last for trial in trials])
    whole = [[each for each in column if each is not None] for column in columns]
    if any(len(each) < len(trials) for each in whole):
        return {"median": (None, None), "worst": (None, None)}
    return {
        "median": (median(whole[0]), median(whole[1])),
        "worst": (max(whole[0]), max(whole[1])),
    }


def _told(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"

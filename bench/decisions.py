"""`python -m bench.decisions`: whether the default guardrails decide rightly on traffic that hangs together.

The tables of docs/statistics.md, with fixed seeds: equal models over the whole plan in each world of
`./canario simulate --world`, and how soon doubled errors are found. A quarter of the rollouts once
more as for a service that does not count users, whose guardrails weigh calls. Then, of challengers that are
equal, at the margin or beyond it, how many the evidence lets through to a promotion.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, TypedDict, Unpack

import click

from common.arms import OURS
from common.terminal import Console
from drills.command import json_option, machine, table, write_figures
from rollback.guardrails.file import load_policy
from rollback.simulate import promotion
from rollback.simulate.cases import RUNBOOK_PLAN, equal_models, harms, regressions
from rollback.simulate.promotion import Held
from rollback.simulate.report import GOAL, counted_progress
from rollback.simulate.study import (
    Case,
    Run,
    World,
    delay,
    delay_fields,
    false_rollbacks,
    rate_fields,
    run_all,
)
from rollback.simulate.traffic import Behaviour
from rollback.simulate.users import WORLDS

CHAMPION = Behaviour(median=0.02, sigma=0.6, errors=0.01)
# A p99 of three times 80 ms is over the hard limit of 200 ms, which a warm-up does not excuse.
CHAMPIONS = dict.fromkeys(WORLDS, CHAMPION) | {"cold-starts-3": CHAMPION.worse(slower=0.5)}
CALLS_A_SECOND = 50.0
DELAYS = ("independent", "dispersion-20")  # the worlds in which regressions are played
MOST_MINUTES = {  # the goals: medians at 1, 5 and 25%
    ("independent", "errors x2"): (43.7, 9, 2.3),
    ("independent", "errors x2 after 6h"): (103.5, 23, 6.9),
    ("slow-users", "slow-users"): (123, 30, 9),
}
FOUND = {"periodic": (0.13, 0.43, 1.0)}  # the goals: in more than so many stages at 1, 5 and 25%


Played = dict[str, dict[Case, list[Run]]]
"""By world."""


class _Options(TypedDict):
    runs: int
    delay_runs: int
    promotion_runs: int
    processes: int
    worlds: tuple[str, ...]
    seed: int
    json_file: Path | None


@click.command()
@click.option("--runs", type=click.IntRange(1), default=200, show_default=True, help="Rollouts a world.")
@click.option("--delay-runs", type=click.IntRange(1), default=100, show_default=True, help="A regression.")
@click.option(
    "--promotion-runs", type=click.IntRange(0), default=100, show_default=True, help="Of each case; 0: none."
)
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Share the work.")
@click.option("--world", "worlds", type=click.Choice([*WORLDS]), multiple=True, help="These only.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same figures.")
@json_option
def main(**options: Unpack[_Options]) -> None:
    """False rollbacks in each world, minutes to doubled errors, and what is promoted. 15 minutes, 2 cores.

    Exit codes: 0 measured, whatever the figures.
    """
    console, begun = Console(highlight=False), time.monotonic()
    played, by_calls = _play(options)
    false, false_by_calls = (
        [_false(name, runs) for name, runs in each.items() if not WORLDS[name].harms]
        for each in (played, by_calls)
    )
    for counted, rates in (("users", false), ("calls, as without the signal user_windows", false_by_calls)):
        rows = [(each["world"], f"{each['rate']:.1%}", _interval(each), _causes(each)) for each in rates]
        if rows:
            title = f"Equal models over the whole plan, {rates[0]['runs']} rollouts a world, by {counted}"
            console.print(table(title, ("world", "rolled back", "95% interval", "by"), rows))
    delays = [each for name, runs in played.items() for each in _delays(name, runs)]
    told = [
        (each["world"], each["regression"], f"{each['share']:.0%}", _minutes(each), _found(each))
        for each in delays
    ]
    title = "Minutes from a regression to the breach: median, 90th percentile"
    console.print(table(title, ("world", "regression", "share", "minutes", "found"), told, names=2))
    held = _promotion(options)
    evidence = [
        (
            f"{each.metric}, x{each.margin:g}",
            f"x{each.truth:g}",
            f"{each.dispersion:g}",
            *(f"{hits / each.runs:.1%}" for hits in (each.at_end, each.ever)),
            "never" if each.hours == inf else f"{each.hours:.1f} h",
        )
        for each in held
    ]
    heads = ("metric, margin", "truth", "dispersion", "at 48 h", "ever", "first, median")
    runs = options["promotion_runs"]
    console.print(table(f"Evidence to promote on, {runs} stages of 25% a case", heads, evidence, names=3))
    console.print(f"Measured on {machine()}, in {(time.monotonic() - begun) / 60:.0f} minutes.")
    goals = {
        "false_rollbacks": GOAL,
        "median_minutes": [[*key, *most] for key, most in MOST_MINUTES.items()],
        "found": [[world, *more] for world, more in FOUND.items()],
    }
    document = {
        "bench": "decisions",
        "machine": machine(),
        "seed": options["seed"],
        "goals": goals,
        "false_rollbacks": false,
        "false_rollbacks_by_calls": false_by_calls,
        "delays": delays,
        "promotion": [asdict(each) | {"hours": None if each.hours == inf else each.hours} for each in held],
    }
    write_figures(console.print, options["json_file"], document)


def _play(options: _Options) -> tuple[Played, Played]:
    """The runs of each world; and those by calls."""
    policy = load_policy()
    calls_policy = load_policy(signals=OURS.model_copy(update={"user_windows": None}))
    played: Played = {}
    by_calls: Played = {}
    with counted_progress() as progress:
        for name in options["worlds"] or tuple(WORLDS):
            cases = [*_cases(name, options["runs"], options["delay_runs"])]
            few = [(case, max(options["runs"] // 4, 1)) for case, _ in cases if not case.number]
            bar = progress.add_task(name, total=sum(count for _, count in cases + few))
            world = World(
                CHAMPIONS[name], CALLS_A_SECOND, policy.step, options["seed"], together=WORLDS[name]
            )
            done = partial(progress.advance, bar)
            played[name] = run_all(policy, world, cases, options["processes"], done)
            by_calls[name] = run_all(calls_policy, world, few, options["processes"], done)
    return played, by_calls


def _promotion(options: _Options) -> list[Held]:
    """How often the evidence to promote on held."""
    runs, seed, processes = options["promotion_runs"], options["seed"], options["processes"]
    if not runs:
        return []
    with counted_progress() as progress:
        bar = progress.add_task("promotion", total=len([*promotion.cases()]))
        return promotion.play_all(promotion.METRICS, runs, seed, processes, partial(progress.advance, bar))


def _cases(world: str, runs: int, delay_runs: int) -> Iterator[tuple[Case, int]]:
    if WORLDS[world].harms:
        yield from ((case, delay_runs) for case in harms(world, RUNBOOK_PLAN, CHAMPIONS[world]))
        return
    yield equal_models(RUNBOOK_PLAN, CHAMPIONS[world]), runs
    if world in DELAYS:
        for case in regressions(RUNBOOK_PLAN, CHAMPIONS[world]):
            if case.name.startswith("errors"):
                yield case, delay_runs


def _false(world: str, runs: dict[Case, list[Run]]) -> dict[str, Any]:
    equal = [run.ours for case, found in runs.items() if not case.number for run in found]
    rate, by = false_rollbacks(equal)
    return {"world": world, **rate_fields(rate, "runs"), "by": by}


def _delays(world: str, runs: dict[Case, list[Run]]) -> Iterator[dict[str, Any]]:
    for case, found in runs.items():
        if case.number:
            share = case.stages[0].share
            told = delay_fields(delay(run.ours for run in found), "runs")
            yield {"world": world, "regression": case.name, "share": share, **told}


def _interval(each: dict[str, Any]) -> str:
    return f"{each['low']:.1%} to {each['high']:.1%}"


def _causes(each: dict[str, Any]) -> str:
    return ", ".join(f"{cause} {count}" for cause, count in each["by"].most_common()) or "-"


def _found(each: dict[str, Any]) -> str:
    return f"{1 - each['missed'] / max(each['runs'], 1):.0%}"


def _minutes(each: dict[str, Any]) -> str:
    return ", ".join(
        "never" if each[key] is None else f"{each[key]:g}" for key in ("median_minutes", "p90_minutes")
    )


if __name__ == "__main__":
    main()

"""`./canario simulate`: what the guardrails do to rollouts that are made up."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, TypedDict, Unpack

import click

from common.config import ConfigError
from common.options import Parsed, json_file
from common.rollouts import choose
from common.terminal import Console
from rollback.guardrails.file import Policy
from rollback.iteration import ExitCode
from rollback.rollouts import PROGRAM, GuardedFile, policy_of
from rollback.simulate.cases import RUNBOOK_PLAN, equal_models, format_plan, harms, parse_plan, regressions
from rollback.simulate.report import Simulation, counted_progress, fields, show
from rollback.simulate.study import Case, PlayedStage, World, rules_of, run_all
from rollback.simulate.traffic import Behaviour, Bursts
from rollback.simulate.users import WORLDS, Together


class _Options(TypedDict):
    runs: int
    delay_runs: int
    plan: tuple[PlayedStage, ...]
    rate: float
    median: float
    sigma: float
    errors: float
    bursts: tuple[int, float] | None
    hiccups: tuple[int, float] | None
    world: str | None
    seed: int
    processes: int
    name: str | None
    file: Path | None
    json_file: TextIO | None


@click.command()
@click.option(
    "--runs", type=click.IntRange(0), default=1000, show_default=True, help="Rollouts of equal models."
)
@click.option(
    "--delay-runs", type=click.IntRange(0), default=200, show_default=True, help="Runs a regression."
)
@click.option(
    "--plan",
    type=Parsed("plan", parse_plan),
    default=format_plan(RUNBOOK_PLAN),
    show_default=True,
    help="Shares and their times.",
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=50, show_default=True, help="Requests/s."
)
@click.option(
    "--median",
    type=click.FloatRange(0, 5000, min_open=True),
    default=20,
    show_default=True,
    help="Milliseconds.",
)
@click.option(
    "--sigma", type=click.FloatRange(0.05, 2), default=0.6, show_default=True, help="Of log latency."
)
@click.option(
    "--errors", type=click.FloatRange(0, 0.5), default=0.01, show_default=True, help="Share of calls."
)
@click.option(
    "--bursts",
    type=(click.IntRange(1), click.FloatRange(0)),
    metavar="SIZE HOURLY",
    help="Also so many times an hour that many bad calls of one user, all to the same model.",
)
@click.option(
    "--hiccups",
    type=(click.IntRange(1), click.FloatRange(0)),
    metavar="SIZE HOURLY",
    help="The same, but of many users: a hiccup of the whole service.",
)
@click.option(
    "--world",
    type=click.Choice([*WORLDS]),
    help="Users, clients and regions, cold starts and rare faults; see docs/statistics.md.",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Same seed, same figures.")
@click.option(
    "--processes", type=click.IntRange(1), default=2, show_default=True, help="That share the work."
)
@click.option("--rollout", "name", metavar="NAME", help="Whose guardrails, where there are several rollouts.")
@click.option(
    "--guardrails",
    "file",
    type=click.Path(path_type=Path),
    help="File to try, instead of what the rollout's file says.",
)
@json_file("Write JSON to FILE, or to standard output instead of the tables.")
def simulate(**options: Unpack[_Options]) -> None:
    """Play made-up rollouts against the guardrails: how many good ones fall, how soon bad ones do.

    The first table is of equal models over the whole plan, the second of challengers that are worse from the
    beginning of a stage on, or after six hours of it. Beside the guardrails stands the rule that everybody
    writes first: p99 over 1.2 times the champion's for 5 minutes, measured over 5 minutes.

    \b
    Examples:
      ./canario simulate                            1,000 rollouts; some minutes
      ./canario simulate --runs 100 --delay-runs 20
      ./canario simulate --world retries --runs 100
      ./canario simulate --guardrails mine.yaml --errors 0.001 --json out.json
    """
    if options["world"] and (options["bursts"] or options["hiccups"]):
        raise click.UsageError("--world says how calls hang together; leave out --bursts and --hiccups")
    try:
        chosen = choose(GuardedFile, PROGRAM, options["name"])
        policy = policy_of(chosen, options["file"], chosen.file.signals.canonical())
    except ConfigError as error:
        click.echo(error, err=True)
        raise SystemExit(ExitCode.MISCONFIGURED) from None
    study = _play(policy, options)
    json_file = options["json_file"]
    if json_file is None:
        show(study, Console())
        return
    json.dump(fields(study), json_file, indent=2, allow_nan=False)
    json_file.write("\n")


def _cases(options: _Options, champion: Behaviour, together: Together | None) -> Iterator[tuple[Case, int]]:
    plan, world = options["plan"], options["world"]
    if world and together and together.harms:
        yield from ((case, options["delay_runs"]) for case in harms(world, plan, champion))
        return
    yield equal_models(plan, champion), options["runs"]
    yield from ((case, options["delay_runs"]) for case in regressions(plan, champion))


def _play(policy: Policy, options: _Options) -> Simulation:
    champion = Behaviour(options["median"] / 1000, options["sigma"], options["errors"])
    found = options["bursts"] or options["hiccups"]
    bursts = found and Bursts(*found, one_user=options["bursts"] is not None)
    together = WORLDS[options["world"]] if options["world"] else None
    world = World(champion, options["rate"], policy.step, options["seed"], bursts, together)
    cases = [*_cases(options, champion, together)]
    with counted_progress() as progress:
        bar = progress.add_task("rollouts", total=sum(runs for _, runs in cases))
        runs = run_all(policy, world, cases, options["processes"], lambda done: progress.advance(bar, done))
    return Simulation(world, options["plan"], rules_of(policy, champion)[1], runs)

"""`./canario mesh`: weights of routes follow the share of a flag."""

import json
from datetime import timedelta
from typing import Any, Final

import click

from common.config import ConfigError
from common.errors import CanarioError
from common.options import DurationType, ServerCommand
from flags.cli.group import AS_JSON, EXIT_CONFIG, ROLLOUT
from flags.mesh.controller import Step
from flags.mesh.errors import RouteError
from flags.mesh.job import run_job, run_once
from flags.mesh.settings import MeshJobSettings
from flags.mesh.weights import Weights
from flags.settings import FlagsSettings

EPILOG: Final = """\b
Exit codes without --every:
   0  all weights are as the flags say, or another process sees to it
  13  a route cannot follow: it says which, and why
 and those of `python -m flags` (2, 3)
"""


@click.command("mesh", cls=ServerCommand, settings=MeshJobSettings, beside=FlagsSettings, epilog=EPILOG)
@ROLLOUT
@click.option(
    "--every", type=DurationType(), metavar="1s", help="Repeat until SIGTERM or SIGINT; exit 0 then."
)
@AS_JSON
def mesh(rollout_name: str | None, every: timedelta | None, as_json: bool) -> None:
    """Let weights of routes follow flags: VirtualServices, HTTPRoutes, files of Envoy and nginx.

    Which routes, a rollout's file says under `routes:`. One iteration, for cron; with --every the loop
    itself, over all rollouts that have routes. It may be killed, restarted and run twice at any moment: of
    several processes the one that holds the leader's Lease writes.
    """
    if every:
        if as_json:
            raise click.UsageError("--json is for one iteration, without --every")
        run_job(every, rollout_name)
    done = run_once(rollout_name)
    if as_json:
        click.echo(json.dumps({name: _fields(one) for name, one in done.items()}, indent=2))
    else:
        for name, one in done.items():
            for line in _lines(one):
                click.echo(f"{name}: {line}")
    raise click.exceptions.Exit(_code(done))


Done = dict[str, Step | CanarioError] | CanarioError | None


def _code(done: dict[str, Done]) -> int:
    if any(isinstance(one, ConfigError) for one in done.values()):
        return EXIT_CONFIG
    failed = [
        each
        for one in done.values()
        if isinstance(one, dict)
        for each in one.values()
        if isinstance(each, CanarioError)
    ]
    return RouteError.exit_code if failed else 0


def _lines(done: Done) -> list[str]:
    if done is None:
        return ["another process holds the leader's Lease and sees to it"]
    if isinstance(done, CanarioError):
        return [f"error: {done}"]
    return [f"{route}: {_told(step)}" for route, step in done.items()]


def _told(step: Step | CanarioError) -> str:
    if isinstance(step, CanarioError):
        return f"error: {step}"
    weights = ", ".join(f"{one.rule} {one}" for one in step.weights)
    return step.told or f"{weights}, {step.obstacle or 'as the flag says'}"


def _weights(one: Weights) -> dict[str, float]:
    copied = {} if one.mirror is None else {"mirror": one.mirror}
    return {"champion": one.champion, "challenger": one.challenger, **copied}


def _fields(done: Done) -> Any:
    if done is None or isinstance(done, CanarioError):
        return {"error": str(done)} if done else {"leader": False}
    return {
        route: {"error": str(step)}
        if isinstance(step, CanarioError)
        else {
            "weights": {one.rule: _weights(one) for one in step.weights},
            "change": step.change,
            "edited": step.edited,
            "obstacle": step.obstacle,
            "told": step.told,
        }
        for route, step in done.items()
    }

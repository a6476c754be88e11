"""`./canario rollouts`: every rollout of the folder, with what it needs."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import click
from rich.table import Table
from rich.text import Text

from common.config import ConfigError
from common.errors import CanarioError
from common.terminal import Console
from flags.cli.group import AS_JSON
from flags.rollout.controller import RolloutIteration, look_and_decide
from flags.rollout.decide import StepKind
from flags.rollout.report import fields, sentence
from flags.rollout.settings import Planned, every

AT_ONCE: Final = 8
STYLES: Final = {StepKind.REFUSE: "bold red", StepKind.WAIT: "yellow"}

Found = RolloutIteration | CanarioError


@click.command("rollouts")
@AS_JSON
def rollouts(as_json: bool) -> None:
    """List the rollouts of CANARIO_ROLLOUTS: each one's share and stage, and what comes next or is missing.

    Exit code 2 where a file does not fit; the others are listed all the same.
    """
    said = dict(every("flags"))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = dict(zip(said, pool.map(_look, said.values()), strict=True))
    if as_json:
        click.echo(json.dumps([_fields(name, said[name], one) for name, one in found.items()], indent=2))
    else:
        Console().print(_table(said, found))
    if any(isinstance(one, ConfigError) for one in found.values()):
        raise click.exceptions.Exit(2)


def _look(said: Planned | ConfigError) -> Found:
    """Where it stands, or why nobody can tell."""
    try:
        return look_and_decide(said.rollout()) if isinstance(said, Planned) else said
    except CanarioError as error:
        return error


def _fields(name: str, said: Planned | ConfigError, found: Found) -> dict[str, Any]:
    if isinstance(found, CanarioError) or isinstance(said, ConfigError):
        return {"rollout": name, "error": str(found)}
    return {"rollout": name, "sentence": sentence(found), **fields(said.plan, found)}


def _table(said: dict[str, Planned | ConfigError], found: dict[str, Found]) -> Table:
    table = Table("rollout", "flag", "share", "stage", "what comes, or what it needs")
    for name, one in found.items():
        flag = "" if isinstance((planned := said[name]), ConfigError) else planned.arms.flag
        if isinstance(one, CanarioError):
            table.add_row(Text(name), Text(flag), "?", "?", Text(str(one), "bold red"))
            continue
        canary, step = one.seen.canary, one.step
        share = f"{one.seen.share}%" if canary.enabled else "off"
        table.add_row(
            Text(name),
            Text(flag),
            share,
            step.position.name,
            Text(sentence(one), STYLES.get(step.kind, "green")),
        )
    return table

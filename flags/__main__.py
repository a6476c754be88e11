"""`python -m flags`: flags of the file into Unleash, and the share of a flag from the command line."""

import json
import logging
import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from common.config import ConfigError, load_settings
from common.errors import CanarioError
from common.release import ReleaseError
from flags import canary, report
from flags.admin import UnleashAdmin
from flags.apply import carry_out, read_current
from flags.bootstrap import Bootstrap
from flags.canary import CanaryState
from flags.desired import DEFAULT_FILE, NAME, load_desired
from flags.errors import AdminError, FlagError
from flags.models_cli import models
from flags.plan import FlagPlan, plan
from flags.settings import BootstrapSettings, FlagsSettings
from flags.vault import Vault

EXIT_CONFIG: Final = 2
EXIT_UNLEASH: Final = 3
EXIT_FLAG: Final = 4
EXIT_MODELS: Final = 5
EXIT_DUE: Final = 10

EPILOG: Final = """\b
Environment (each also as NAME_FILE, a file that holds the value):
  CANARIO_UNLEASH_URL          where Unleash lies, without /api
  CANARIO_UNLEASH_ADMIN_TOKEN  personal access token, user:...
  CANARIO_UNLEASH_PROJECT      default: default
  CANARIO_UNLEASH_ENVIRONMENT  default: production

\b
Exit codes:
   0  done, or nothing to do
   2  wrong usage or configuration
   3  Unleash cannot be reached, or refuses
   4  the flag needs a person: missing, archived, several strategies...
   5  the models keep their roles, or a change of them is not finished
  10  `plan --exit-code` alone: changes are due

\b
Examples:
  python -m flags plan
  python -m flags apply
  python -m flags set canary 5
  python -m flags show canary --json
"""


class _Cli(click.Group):
    """Tells an expected failure by its own sentences and the exit code of its family."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CanarioError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            codes = {ConfigError: EXIT_CONFIG, AdminError: EXIT_UNLEASH, FlagError: EXIT_FLAG}
            codes[ReleaseError] = EXIT_MODELS
            return ctx.exit(next((code for kind, code in codes.items() if isinstance(error, kind)), 1))


class _FlagName(click.ParamType[str]):
    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(NAME, value):
            self.fail("a flag's name has letters, digits and . _ ~ - only", param, ctx)
        return value


FLAG_NAME: Final = _FlagName()


FILE = click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    help="Desired flags; the default is the flags.yaml of this package.",
)
FORCE = click.option(
    "--force-share",
    is_flag=True,
    help="Set shares and switches to what the file says, even where a person set them.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _with_admin(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the server, and the admin client they make as its first argument."""

    @click.option("--url", help="Unleash, instead of CANARIO_UNLEASH_URL.")
    @click.option("--project", help="Instead of CANARIO_UNLEASH_PROJECT.")
    @click.option("--environment", help="Instead of CANARIO_UNLEASH_ENVIRONMENT.")
    @wraps(command)
    def wrapped(url: str | None, project: str | None, environment: str | None, **rest: Any) -> None:
        given = {"URL": url, "PROJECT": project, "ENVIRONMENT": environment}
        told = {f"CANARIO_UNLEASH_{name}": value for name, value in given.items() if value is not None}
        settings = load_settings(FlagsSettings, {**os.environ, **told})
        command(
            UnleashAdmin(
                settings.unleash_url,
                settings.unleash_admin_token,
                project=settings.unleash_project,
                environment=settings.unleash_environment,
            ),
            **rest,
        )

    return wrapped


def _changing(command: Callable[..., tuple[CanaryState, bool]]) -> Callable[..., None]:
    """Give a command a flag's NAME, and tell the state it returns, and whether it is the one asked for."""

    @click.argument("name", type=FLAG_NAME)
    @_with_admin
    @AS_JSON
    @wraps(command)
    def wrapped(*args: Any, as_json: bool, **rest: Any) -> None:
        state, done = command(*args, **rest)
        click.echo(json.dumps(state.as_json(), indent=2) if as_json else report.sentence(state))
        if not done:
            raise FlagError(f"{state.flag} is not as it was just set: somebody changed it at the same time")

    return wrapped


@click.group(cls=_Cli, epilog=EPILOG)
def cli() -> None:
    """Flags of Canario in Unleash: desired flags from a file, and the share of each.

    What people decide in the Unleash UI is kept: `apply` never changes a share or a switch of a flag that
    exists, unless it is told to.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each retry; the outcome is told anyway


cli.add_command(models)


@cli.command("plan")
@_with_admin
@FILE
@FORCE
@click.option("--exit-code", is_flag=True, help="Exit with 10 when changes are due.")
def plan_(admin: UnleashAdmin, file: Path, force_share: bool, exit_code: bool) -> None:
    """Show what `apply` would do; changes nothing."""
    plans = _plans(admin, file, force_share)
    report.show_plan(plans)
    due = sum(len(one.steps) for one in plans)
    click.echo(f"{due} changes due" if due else "no changes due")
    _stop_at_conflict(plans)
    if due and exit_code:
        raise click.exceptions.Exit(EXIT_DUE)


@cli.command("apply")
@_with_admin
@FILE
@FORCE
def apply_(admin: UnleashAdmin, file: Path, force_share: bool) -> None:
    """Make Unleash hold the flags of the file. Doing it twice changes nothing."""
    plans = _plans(admin, file, force_share)
    for one in plans:
        for step in one.steps:
            carry_out(admin, step)
            click.echo(f"{one.flag}: done: {step}")
        for kept in one.kept:
            click.echo(f"{one.flag}: kept: {kept}")
    if not any(one.steps for one in plans):
        click.echo("no changes due")
    _stop_at_conflict(plans)


@cli.command("show")
@click.argument("name", type=FLAG_NAME, required=False)
@_with_admin
@FILE
@AS_JSON
def show_(admin: UnleashAdmin, name: str | None, file: Path, as_json: bool) -> None:
    """Show the flag NAME, or all flags of the file: on or off, share, and who changed it last."""
    names = [name] if name else [flag.name for flag in load_desired(file)]
    states = [canary.read_state(admin, one) for one in names]
    if as_json:
        shown = [state.as_json() for state in states]
        click.echo(json.dumps(shown[0] if name else shown, indent=2))
    else:
        report.show_states(states)
    if name and not states[0].exists:
        raise click.exceptions.Exit(EXIT_FLAG)


@cli.command("set")
@_changing
@click.argument("percent", type=click.IntRange(0, 100))
@click.option(
    "--expect", type=click.IntRange(0, 100), help="Change it only if Unleash still says this share."
)
@click.option(
    "--no-enable", is_flag=True, help="Leave the switch alone; otherwise a share over 0 turns it on."
)
def set_(
    admin: UnleashAdmin, name: str, percent: int, expect: int | None, no_enable: bool
) -> tuple[CanaryState, bool]:
    """Give the challenger PERCENT of the users of the flag NAME."""
    state = canary.set_share(admin, name, percent, enable=not no_enable, expect=expect)
    return state, state.percent == percent


@cli.command("on")
@_changing
def on_(admin: UnleashAdmin, name: str) -> tuple[CanaryState, bool]:
    """Turn the flag NAME on, with the strategies that it has."""
    state = canary.turn_on(admin, name)
    return state, state.enabled


@cli.command("off")
@_changing
def off_(admin: UnleashAdmin, name: str) -> tuple[CanaryState, bool]:
    """Turn the flag NAME off, whatever its strategies: every user gets the champion."""
    return canary.turn_off(admin, name), True


@cli.command("bootstrap")
@click.option(
    "--secrets",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for the tokens; made with mode 0700.",
)
@click.option("--url", help="Unleash, instead of CANARIO_UNLEASH_URL.")
def bootstrap_(secrets: Path, url: str | None) -> None:
    """Make the Unleash users of Canario's processes, and a token for each in SECRETS/<user>.token.

    A working token is kept, one that ends within 30 days is renewed, a dead one replaced. An administrator's
    password is needed only to make a user or replace a dead token: CANARIO_UNLEASH_ADMIN_USER (default:
    admin) and CANARIO_UNLEASH_ADMIN_PASSWORD, or its _FILE.
    """
    told = {"CANARIO_UNLEASH_URL": url} if url is not None else {}
    settings = load_settings(BootstrapSettings, {**os.environ, **told})
    report.show_outcomes(Bootstrap(settings, Vault(secrets)).run())


def _plans(admin: UnleashAdmin, file: Path, force_share: bool) -> tuple[FlagPlan, ...]:
    desired = load_desired(file)
    return plan(desired, read_current(admin, [flag.name for flag in desired]), force_share=force_share)


def _stop_at_conflict(plans: tuple[FlagPlan, ...]) -> None:
    conflicts = [one.conflict for one in plans if one.conflict]
    if conflicts:
        raise FlagError("\n".join(conflicts))


if __name__ == "__main__":
    cli(prog_name="python -m flags")

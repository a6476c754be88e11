"""`python -m flags`: flags of the file into Unleash, and the share of a flag from the command line."""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from common.config import load_settings
from common.options import CommandGroup, SettingsGroup, start
from flags.accounts.bootstrap import Bootstrap
from flags.accounts.in_kubernetes import TokenSecrets, api_of_pod
from flags.accounts.vault import Vault
from flags.canary import history, lease, marks, share
from flags.canary.state import CanaryState
from flags.cli import tables
from flags.cli.exclude import exclude, include
from flags.cli.group import (
    AS_JSON,
    EXIT_CODES,
    EXIT_DUE,
    EXIT_FLAG,
    FILE,
    FLAG_NAME,
    FORCE,
    OVERRIDE,
    WHY,
    changing,
    let_go_on,
    require_flag,
    version_of,
    with_admin,
    with_settings,
)
from flags.cli.mesh import mesh
from flags.cli.models import models
from flags.cli.rollout import rollout
from flags.cli.rollouts import rollouts
from flags.desired.file import load_desired
from flags.desired.plan import plans_of, stop_at_conflict
from flags.desired.steps import ApplyOptions, carry_out
from flags.settings import BootstrapSettings, FlagsSettings
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import FlagError

EPILOG: Final = """\b
Exit codes:
   0  done, or nothing to do
   2  wrong usage or configuration
   3  Unleash cannot be reached, or refuses
   4  the flag needs a person: missing, archived, several strategies...
   5  the models keep their roles, or a change of them is not finished
  10  `plan --exit-code` alone: changes are due

\b
Examples:
  ./canario plan
  ./canario apply
  ./canario set canary 5
  ./canario show canary --json
  ./canario history canary
  ./canario exclude canary country=NO
  ./canario rollouts
  ./canario rollout status
  ./canario lift canary --reason "the fix of yesterday is in"
"""


class _Cli(SettingsGroup, CommandGroup):
    """Tells its settings, and ends with the exit codes of the epilog."""


@click.group(cls=_Cli, settings=FlagsSettings, exit_codes=EXIT_CODES, epilog=EPILOG)
def cli() -> None:
    """Flags of Canario in Unleash: desired flags from a file, and the share of each.

    What people decide in the Unleash UI is kept: `apply` never changes a share or a switch of a flag that
    exists, unless it is told to.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each retry; the outcome is told anyway


for command in (exclude, include, mesh, models, rollout, rollouts):
    cli.add_command(command)


@cli.command("plan")
@with_settings
@FILE
@FORCE
@click.option("--exit-code", is_flag=True, help="Exit with 10 when changes are due.")
def plan_(
    admin: UnleashAdmin, settings: FlagsSettings, file: Path, force_share: bool, exit_code: bool
) -> None:
    """Show what `apply` would do; changes nothing."""
    plans = plans_of(admin, file, force_share, _options(settings))
    tables.show_plan(plans)
    due = sum(len(one.steps) for one in plans)
    click.echo(f"{due} changes due" if due else "no changes due")
    stop_at_conflict(plans)
    if due and exit_code:
        raise click.exceptions.Exit(EXIT_DUE)


@cli.command("apply")
@with_settings
@FILE
@FORCE
@OVERRIDE
def apply_(
    admin: UnleashAdmin, settings: FlagsSettings, file: Path, force_share: bool, override: str | None
) -> None:
    """Make Unleash hold the flags of the file. Doing it twice changes nothing."""
    options = _options(settings, override)
    plans = plans_of(admin, file, force_share, options)
    for one in plans:
        for step in one.steps:
            carry_out(admin, step, options)
            click.echo(f"{one.flag}: done: {step}")
        for kept in one.kept:
            click.echo(f"{one.flag}: kept: {kept}")
    if not any(one.steps for one in plans):
        click.echo("no changes due")
    stop_at_conflict(plans)


@cli.command("show")
@click.argument("name", type=FLAG_NAME, required=False)
@with_admin
@FILE
@AS_JSON
def show_(admin: UnleashAdmin, name: str | None, file: Path, as_json: bool) -> None:
    """Show the flag NAME, or all flags of the file: on or off, share, lease, and who changed it last."""
    names = [name] if name else [flag.name for flag in load_desired(file).flags]
    states = [share.read_state(admin, one) for one in names]
    if as_json:
        shown = [state.as_json() for state in states]
        click.echo(json.dumps(shown[0] if name else shown, indent=2))
    else:
        tables.show_states(states)
    if name and not states[0].exists:
        raise click.exceptions.Exit(EXIT_FLAG)


@cli.command("set")
@changing
@click.argument("percent", type=click.IntRange(0, 100))
@click.option(
    "--expect", type=click.IntRange(0, 100), help="Change it only if Unleash still says this share."
)
@click.option(
    "--no-enable", is_flag=True, help="Leave the switch alone; otherwise a share over 0 turns it on."
)
@OVERRIDE
def set_(  # noqa: PLR0913, PLR0917 - one for each option
    admin: UnleashAdmin,
    settings: FlagsSettings,
    name: str,
    percent: int,
    expect: int | None,
    no_enable: bool,
    override: str | None,
) -> tuple[CanaryState, bool]:
    """Give the challenger PERCENT of the users of the flag NAME."""
    state = share.set_share(
        admin,
        name,
        percent,
        enable=not no_enable,
        expect=expect,
        version=version_of(settings),
        override=override,
    )
    return state, state.percent == percent


@cli.command("on")
@changing
@OVERRIDE
def on_(
    admin: UnleashAdmin, settings: FlagsSettings, name: str, override: str | None
) -> tuple[CanaryState, bool]:
    """Turn the flag NAME on, with the strategies that it has."""
    state = share.turn_on(admin, name, version=version_of(settings), override=override)
    return state, state.enabled


@cli.command("off")
@changing
def off_(admin: UnleashAdmin, _: FlagsSettings, name: str) -> tuple[CanaryState, bool]:
    """Turn the flag NAME off, whatever its strategies: every user gets the champion."""
    return share.turn_off(admin, name), True


@cli.command("history")
@click.argument("name", type=FLAG_NAME)
@with_admin
def history_(admin: UnleashAdmin, name: str) -> None:
    """Show who changed what of the flag NAME, and when, the latest first."""
    changes = history.history(admin, name)
    tables.show_history(changes, history.held(changes))


@cli.command("lift")
@changing
@WHY
def lift_(admin: UnleashAdmin, _: FlagsSettings, name: str, reason: str) -> tuple[CanaryState, bool]:
    """Unblock the flag NAME's versions; its share, and a person's hold on it, stay."""
    require_flag(admin, name)
    marks.lift(admin, name, reason)
    state = share.read_state(admin, name)
    return state, not state.quarantined


@cli.command("resume")
@changing
@WHY
def resume_(admin: UnleashAdmin, _: FlagsSettings, name: str, reason: str) -> tuple[CanaryState, bool]:
    """Let automation raise the share of the flag NAME again after a person lowered it."""
    let_go_on(admin, name, reason, after_pause=False)
    return share.read_state(admin, name), True


@cli.command("lease")
@changing
def lease_(admin: UnleashAdmin, settings: FlagsSettings, name: str) -> tuple[CanaryState, bool]:
    """Put the lease on the flag NAME, also where a person took it off."""
    if settings.lease is None:
        raise FlagError(f"leases are off, so nobody would renew that of {name}: set CANARIO_LEASE")
    until = datetime.now(UTC) + settings.lease
    lease.ensure_lease(admin, name, settings.lease, insist=True)
    lease.renew(admin, name, until)
    state = share.read_state(admin, name)
    return state, state.lease_until is not None


@cli.command("bootstrap")
@click.option(
    "--secrets",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for the tokens; made with mode 0700.",
)
@click.option("--url", help="Unleash, instead of CANARIO_UNLEASH_URL.")
@click.option(
    "--kubernetes",
    "release",
    metavar="RELEASE",
    help="In a pod: keep the tokens in the Secrets RELEASE-<part>-token too, which are there already.",
)
def bootstrap_(secrets: Path, url: str | None, release: str | None) -> None:
    """Make the Unleash users of Canario's processes, and a token for each in SECRETS/<user>.token.

    A working token is kept, one that ends within 30 days is renewed, a dead one replaced. An administrator's
    password is needed only to make a user or replace a dead token: CANARIO_UNLEASH_ADMIN_USER (default:
    admin) and CANARIO_UNLEASH_ADMIN_PASSWORD, or its _FILE.
    """
    told = {"CANARIO_UNLEASH_URL": url} if url is not None else {}
    settings = load_settings(BootstrapSettings, {**os.environ, **told})
    vault = Vault(secrets)
    kept = TokenSecrets(release, api_of_pod()) if release else None
    if kept:
        kept.load(vault)
    try:
        tables.show_outcomes(Bootstrap(settings, vault).run())
    finally:  # a token that was made is not lost where a later one fails
        for name in kept.save(vault) if kept else ():
            click.echo(f"Secret {name}: written")


def _options(settings: FlagsSettings, override: str | None = None) -> ApplyOptions:
    links = (("Runbook", settings.runbook_url), ("Dashboard", settings.board_url))
    return ApplyOptions(
        lease=settings.lease,
        links=tuple((title, url) for title, url in links if url),
        version=version_of(settings),
        override=override,
    )


if __name__ == "__main__":
    start(cli, "flags")

"""`python -m flags`: flags of the file into Unleash, and the share of a flag from the command line."""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from common.config import load_settings
from common.terminal import guard_terminal
from flags import canary, lease, people, report
from flags import quarantine as quarantines
from flags.admin import UnleashAdmin
from flags.apply import carry_out
from flags.bootstrap import Bootstrap
from flags.canary import CanaryState
from flags.commands import (
    AS_JSON,
    EXIT_DUE,
    EXIT_FLAG,
    FILE,
    FLAG_NAME,
    FORCE,
    OVERRIDE,
    WHY,
    Cli,
    changing,
    version_of,
    with_admin,
    with_settings,
)
from flags.desired import load_desired
from flags.errors import FlagError
from flags.exclude_commands import exclude, include
from flags.models_cli import models
from flags.plan import Wishes
from flags.planning import plans_of, stop_at_conflict
from flags.rollout.commands import rollout
from flags.settings import BootstrapSettings, FlagsSettings
from flags.snapshot import require_present, take
from flags.vault import Vault

EPILOG: Final = """\b
Environment (each also as NAME_FILE, a file that holds the value):
  CANARIO_UNLEASH_URL          where Unleash lies, without /api
  CANARIO_UNLEASH_ADMIN_TOKEN  personal access token, user:...
  CANARIO_UNLEASH_PROJECT      default: default
  CANARIO_UNLEASH_ENVIRONMENT  default: production
  CANARIO_LEASE                how long a leased flag's share lasts unless the rollback
                               job renews it, such as 15m (the default), or off
  CANARIO_MODELS               models folder, to know a version in quarantine, and for `models`
  CANARIO_CHALLENGER           instead of it, folder of the challenger
  CANARIO_SERVICE_URL, CANARIO_ADMIN_TOKEN   to see the service follow a change of models
  CANARIO_RUNBOOK_URL, CANARIO_BOARD_URL   pages that `apply` links the flags' pages to

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
  python -m flags history canary
  python -m flags exclude canary country=NO
  python -m flags rollout status
  python -m flags lift canary --reason "the fix of yesterday is in"
"""


@click.group(cls=Cli, epilog=EPILOG)
def cli() -> None:
    """Flags of Canario in Unleash: desired flags from a file, and the share of each.

    What people decide in the Unleash UI is kept: `apply` never changes a share or a switch of a flag that
    exists, unless it is told to.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of each retry; the outcome is told anyway


for command in (exclude, include, models, rollout):
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
    plans = plans_of(admin, file, force_share, _wishes(settings))
    report.show_plan(plans)
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
    wishes = _wishes(settings, override)
    plans = plans_of(admin, file, force_share, wishes)
    for one in plans:
        for step in one.steps:
            carry_out(admin, step, wishes)
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
    state = canary.set_share(
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
    state = canary.turn_on(admin, name, version=version_of(settings), override=override)
    return state, state.enabled


@cli.command("off")
@changing
def off_(admin: UnleashAdmin, _: FlagsSettings, name: str) -> tuple[CanaryState, bool]:
    """Turn the flag NAME off, whatever its strategies: every user gets the champion."""
    return canary.turn_off(admin, name), True


@cli.command("history")
@click.argument("name", type=FLAG_NAME)
@with_admin
def history_(admin: UnleashAdmin, name: str) -> None:
    """Show who changed what of the flag NAME, and when, the latest first."""
    changes = people.history(admin, name)
    report.show_history(changes, people.held(changes))


@cli.command("lift")
@changing
@WHY
def lift_(admin: UnleashAdmin, _: FlagsSettings, name: str, reason: str) -> tuple[CanaryState, bool]:
    """Take the flag NAME's versions out of quarantine; its share, and a person's hold on it, stay."""
    _require_flag(admin, name)
    quarantines.lift(admin, name, reason)
    state = canary.read_state(admin, name)
    return state, not state.quarantined


@cli.command("resume")
@changing
@WHY
def resume_(admin: UnleashAdmin, _: FlagsSettings, name: str, reason: str) -> tuple[CanaryState, bool]:
    """Let automation raise the share of the flag NAME again after a person lowered it."""
    _require_flag(admin, name)
    people.resume(admin, name, reason)
    return canary.read_state(admin, name), True


@cli.command("lease")
@changing
def lease_(admin: UnleashAdmin, settings: FlagsSettings, name: str) -> tuple[CanaryState, bool]:
    """Put the lease on the flag NAME, also where a person took it off."""
    if settings.lease is None:
        raise FlagError(f"leases are off, so nobody would renew that of {name}: set CANARIO_LEASE")
    until = datetime.now(UTC) + settings.lease
    lease.ensure_lease(admin, name, settings.lease, insist=True)
    lease.renew(admin, name, until)
    state = canary.read_state(admin, name)
    return state, state.lease_until is not None


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


def _wishes(settings: FlagsSettings, override: str | None = None) -> Wishes:
    links = (("Runbook", settings.runbook_url), ("Dashboard", settings.board_url))
    return Wishes(
        lease=settings.lease,
        links=tuple((title, url) for title, url in links if url),
        version=version_of(settings),
        override=override,
    )


def _require_flag(admin: UnleashAdmin, name: str) -> None:
    """Raises FlagMissing or FlagArchived: Unleash itself would say that the user may not."""
    require_present(take(admin, name))


if __name__ == "__main__":
    guard_terminal()
    cli(prog_name="python -m flags")

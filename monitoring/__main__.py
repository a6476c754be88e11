"""`./canario rules`: what Prometheus records and alerts on, for all rollouts."""

import os
from pathlib import Path

import click

from common.config import ConfigError
from common.every_rollout import stamp_of
from common.logs import configure_logging
from common.options import start
from common.rollouts import FOLDER
from common.schedule import Shutdown
from monitoring.follow import RulesFollower
from monitoring.write_rules import rule_files, write_rules

EPILOG = """\b
Exit codes:
  0  written
  1  written, but for rollouts whose files do not fit: they keep the rules that they had
  2  nothing was written"""


@click.group()
def main() -> None:
    """What Prometheus needs to know of the rollouts. For Grafana there is monitoring.dashboard."""


@main.command(epilog=EPILOG)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder that `rule_files` of Prometheus names.",
)
@click.option("--follow", is_flag=True, help="Go on, and write again whenever a rollout's file changes.")
@click.option(
    "--reload",
    "prometheus",
    metavar="URL",
    help="With --follow: Prometheus, which is told to read its rules again; it needs --web.enable-lifecycle.",
)
def rules(out: Path, follow: bool, prometheus: str | None) -> None:
    """Write rule files for the rollouts of CANARIO_ROLLOUTS.

    One for each: its recorded series, and an alert for each threshold among its guardrails, in the names
    of its service. And one with the alerts of the jobs, which are the same for all. Files of rollouts that
    are gone are taken away; say it again when a rollout's file changes, and have Prometheus read its rules
    again. Or let it go on with --follow.
    """
    if prometheus and not follow:
        raise click.UsageError("--reload goes with --follow")
    if follow:
        configure_logging("monitoring")
        Shutdown(exit_code=0).install()
        folder = Path(os.environ.get("CANARIO_ROLLOUTS") or FOLDER)
        RulesFollower(out, stamp_of(folder), prometheus).follow()
    try:
        faults = write_rules(out, rule_files())
    except ConfigError as error:
        click.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    for fault in faults:
        click.echo(f"error: {fault}", err=True)
    click.echo(f"wrote {out}")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    start(main, "monitoring")

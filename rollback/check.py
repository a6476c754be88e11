"""`python -m rollback check`: one pass without acting, as a table."""

import json
import logging
from pathlib import Path

import click

from common.config import ConfigError
from common.logs import configure_logging
from common.prometheus import Prometheus
from common.terminal import Console
from rollback.act import UnleashCanary
from rollback.configure import configure
from rollback.guardrails import DEFAULT_FILE
from rollback.job import Job
from rollback.outcome import ExitCode
from rollback.report import pass_fields, show


@click.command()
@click.option(
    "--guardrails",
    "file",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    help="File of guardrails; that of the package by default.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON document instead of the table.")
def check(file: Path, as_json: bool) -> None:
    """Judge the challenger now, show why, and turn nothing off.

    One row a guardrail: what was measured, what is allowed, how much evidence there is against the challenger
    (of sequential guardrails, with what a breach needs), the verdict, and all of it in words.

    Reads the same variables as `python -m rollback`, and has the exit codes of its --dry-run: 1 when the
    challenger would be taken away, 2 for wrong usage, guardrails or variables, 3 when it cannot measure.
    """
    configure_logging("rollback")
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        policy, settings, admin = configure(file)
    except ConfigError as error:
        click.echo(error, err=True)
        raise SystemExit(ExitCode.MISCONFIGURED) from None
    canary = UnleashCanary(admin, settings.canary_flag)
    prometheus = Prometheus(settings.prometheus_url.get_secret_value())
    done = Job(policy, prometheus, canary, settings.selector, dry_run=True).run()
    if as_json:
        click.echo(json.dumps(pass_fields(done, canary), indent=2, allow_nan=False))
    else:
        show(done, canary, Console())
    raise SystemExit(done.exit_code)

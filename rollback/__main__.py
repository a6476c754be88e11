"""`python -m rollback`: one pass, or with --every a pass on a steady schedule; subcommands only look."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import TextIO

import click

from common.config import ConfigError
from common.durations import format_duration
from common.logs import configure_logging
from common.options import DurationType, json_file
from common.prometheus import Prometheus
from common.schedule import Shutdown, repeat
from common.terminal import Console, guard_terminal
from rollback.act import UnleashCanary
from rollback.backtest.command import backtest
from rollback.check import check
from rollback.configure import configure
from rollback.explain import explain
from rollback.guardrails import DEFAULT_FILE
from rollback.job import Job
from rollback.outcome import ExitCode, Pass
from rollback.report import pass_fields, show
from rollback.simulate.command import simulate
from rollback.watchman import Watchman

_log = logging.getLogger("rollback")


@click.group(
    invoke_without_command=True,
    epilog="See docs/decisions/0004-guardrails-at-this-stage.md for what the guardrails can tell.",
)
@click.option(
    "--every", type=DurationType(), metavar="5s", help="Repeat until SIGTERM or SIGINT; exit 0 then."
)
@click.option("--dry-run", is_flag=True, help="Judge, and turn nothing off.")
@click.option(
    "--guardrails",
    "file",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    help="File of guardrails; that of the package by default.",
)
@json_file("Write the pass as a JSON document to FILE, or to standard output instead of the table.")
@click.pass_context
def main(
    ctx: click.Context, every: timedelta | None, dry_run: bool, file: Path, json_file: TextIO | None
) -> None:
    """Judge the challenger by Prometheus, and turn its flag off when a guardrail is breached.

    Nothing is kept between passes: each reads the share and the time of its last change from Unleash, and
    what happened since from Prometheus. It may be killed, restarted and run twice at any moment.

    \b
    Exit codes of one pass:
      0  nothing is breached; or no data yet; or nobody gets the challenger
      1  a guardrail was breached, and the flag is verified to be off
         (with --dry-run: it would have been turned off)
      2  wrong usage, guardrails or environment variables; every fault is named
      3  cannot measure: Prometheus or Unleash could not be asked, the service is not
         scraped, a query failed, or a person must mend the flag (missing, archived,
         strategy deleted, more than one strategy)
      4  a rollback was due and could not be done or verified, or the flag is off and the
         challenger is not seen to stop: somebody must look

    \b
    Environment (each also as ..._FILE, the path of a file that holds the value):
      CANARIO_UNLEASH_URL           http://127.0.0.1:4242
      CANARIO_UNLEASH_ADMIN_TOKEN   personal access token of the job's own user
      CANARIO_UNLEASH_PROJECT       default: default
      CANARIO_UNLEASH_ENVIRONMENT   default: production
      CANARIO_PROMETHEUS_URL        http://127.0.0.1:9090
      CANARIO_SELECTOR              the service's series there; default: job="service"
      CANARIO_CANARY_FLAG           default: canary
      CANARIO_LEASE, CANARIO_LEASE_EVERY   how long users have the challenger without a
                                    renewal, and how much of that is used up before it is
                                    renewed; default: 15m, 5m; CANARIO_LEASE=off: never
      CANARIO_MODELS                models folder, to mark the version that is rolled back
      CANARIO_STOP_LIMIT            how long the challenger may go on answering after the
                                    flag is off; default: 1m
      CANARIO_NOTIFY_URLS           whom to tell, separated by spaces or line ends, for
                                    instance slack://TokenA/TokenB/TokenC
                                    mailtos://user:password@host?to=somebody@example.com
                                    jsons://host/path (https://appriseit.com/services/)
      CANARIO_DECISIONS_DIR         where each decision is kept for `explain`
      CANARIO_DECISIONS_MEGABYTES   what that folder may grow to; rollbacks are kept beyond
                                    it; default: 256
      CANARIO_ROLLBACK_METRICS_BIND address and port of the job's own metrics (with --every)

    \b
    Examples:
      python -m rollback check              what would be done now and why, as a table
      python -m rollback --json             the same as JSON, for cron and CI
      python -m rollback --every 5s         the job of the stack
    """
    if ctx.invoked_subcommand is not None:
        return
    configure_logging("rollback")
    logging.getLogger("urllib3").setLevel(
        logging.ERROR
    )  # each retry would be a line; a pass tells the outcome
    if every and json_file:
        raise click.UsageError("--json writes one pass; with --every each pass is a line of the log")
    shutdown = Shutdown(exit_code=0 if every else None)
    try:
        policy, settings, admin = configure(file)
    except ConfigError as error:
        click.echo(error, err=True)
        raise SystemExit(ExitCode.MISCONFIGURED) from None
    canary = UnleashCanary(admin, settings.canary_flag)
    watchman = Watchman.of(policy, settings, canary, dry_run=dry_run, serving=every is not None)
    job = Job(
        policy,
        Prometheus(settings.prometheus_url.get_secret_value()),
        canary,
        settings.selector,
        dry_run=dry_run,
        undisturbed=shutdown.held,
        observer=watchman.observer,
    )
    shutdown.install()
    if every:
        _log.info("watching", extra={"every": format_duration(every), "flag": job.canary.flag})
        try:
            repeat(lambda: _pass(job, watchman), every)
        finally:
            watchman.close()
            _log.info("stopped")
    try:
        done = _pass(job, watchman, wait=True)
    except Exception as error:
        # A traceback would end with exit code 1, which means something else here.
        _log.exception("the pass failed", extra={"error": f"{type(error).__name__}: {error}"})
        raise SystemExit(ExitCode.CANNOT_MEASURE) from None
    finally:
        watchman.close()
    _tell(done, job, json_file)
    raise SystemExit(done.exit_code)


def _pass(job: Job, watchman: Watchman, *, wait: bool = False) -> Pass:
    done = watchman.after(job.run(), wait=wait)
    level = logging.INFO if done.exit_code is ExitCode.FINE else logging.WARNING
    _log.log(level, done.summary, extra=pass_fields(done, job.canary, brief=True))
    return done


def _tell(done: Pass, job: Job, json_file: TextIO | None) -> None:
    if json_file is None:
        show(done, job.canary, Console())
        return
    json.dump(pass_fields(done, job.canary), json_file, indent=2, allow_nan=False)
    json_file.write("\n")


for command in (check, explain, simulate, backtest):
    main.add_command(command)


if __name__ == "__main__":
    guard_terminal()
    main()

"""`python -m rollback`: one iteration, or with --every one on a steady schedule; subcommands only look."""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

import click

from common.config import ConfigError, load_settings
from common.logs import configure_logging
from common.options import DurationType, SettingsGroup, json_file, start
from common.prometheus import PrometheusError
from common.rollouts import only
from common.schedule import Shutdown
from common.terminal import Console
from rollback import rollouts
from rollback.backtest.command import backtest
from rollback.decisions.explain import explain
from rollback.guard import guard, iterate, job_of
from rollback.iteration import NOT_EXPOSED, ExitCode, Iteration, iteration_fields, show
from rollback.job import Job
from rollback.rollouts import Guarded
from rollback.settings import JobSettings, RollbackSettings
from rollback.signals import SeenSignal, look, show_signals, signal_fields
from rollback.simulate.command import simulate

_log = logging.getLogger("rollback")

GRAVEST = (
    ExitCode.CANNOT_ACT,
    ExitCode.BREACHED,
    ExitCode.MISCONFIGURED,
    ExitCode.CANNOT_MEASURE,
    ExitCode.FINE,
)

guardrails_file = click.option(
    "--guardrails",
    "file",
    type=click.Path(path_type=Path),
    help="File of guardrails, instead of what the rollout's file says.",
)
rollout_name = click.option(
    "--rollout", "name", metavar="NAME", help="Only this one of CANARIO_ROLLOUTS, where there are several."
)


@click.group(
    cls=SettingsGroup,
    settings=RollbackSettings,
    invoke_without_command=True,
    epilog="See docs/decisions/0004-guardrails-at-this-stage.md for what the guardrails can tell.",
)
@click.option(
    "--every", type=DurationType(), metavar="5s", help="Repeat until SIGTERM or SIGINT; exit 0 then."
)
@click.option("--dry-run", is_flag=True, help="Judge, and turn nothing off.")
@rollout_name
@guardrails_file
@json_file("Write the iteration as a JSON document to FILE, or to standard output instead of the table.")
@click.pass_context
def main(  # noqa: PLR0913, PLR0917 - one for each option
    ctx: click.Context,
    every: timedelta | None,
    dry_run: bool,
    name: str | None,
    file: Path | None,
    json_file: TextIO | None,
) -> None:
    """Judge the challenger by Prometheus, and turn its flag off when a guardrail is breached.

    Nothing is kept between iterations: each reads the share and the time of its last change from Unleash, and
    what happened since from Prometheus. It may be killed, restarted and run twice at any moment.

    All rollouts of the folder CANARIO_ROLLOUTS are guarded side by side, each as its file says. With --every
    files are picked up and dropped while it runs, and one that does not fit stops only its own.

    \b
    Exit codes of one iteration:
      0  nothing is breached; or no data yet; or nobody gets the challenger
      1  a guardrail was breached, and the flag is verified to be off
         (with --dry-run: it would have been turned off)
      2  wrong usage, guardrails or environment variables; every error is named
      3  cannot measure: Prometheus or Unleash could not be asked, the service is not
         scraped, a query failed, or a person must mend the flag (missing, archived,
         strategy deleted, more than one strategy)
      4  a rollback was due and could not be done or verified, or the flag is off and the
         challenger is not seen to stop: somebody must look

    \b
    Whom CANARIO_NOTIFY_URLS may name, for instance (https://appriseit.com/services/):
      slack://TokenA/TokenB/TokenC   mailtos://user:password@host?to=somebody@example.com
      jsons://host/path

    \b
    Examples:
      ./canario check              what would be done now and why, as a table
      ./canario rollback --json             the same as JSON, for cron and CI
      python -m rollback --every 5s         the job of the stack
    """
    if ctx.invoked_subcommand is not None:
        return
    if every and json_file:
        raise click.UsageError("--json writes one iteration; with --every each is a line of the log")
    _configure_log()
    if every:
        try:
            settings = load_settings(JobSettings)
            said = _read(name, file)
        except ConfigError as error:
            _end(error)
        if not any(isinstance(each, Guarded) for each in said.values()):
            _end("\n".join(map(str, said.values())))  # nothing can be guarded, and nobody would hear of it
        guard(lambda: _read(name, file), every, settings, dry_run=dry_run)
    shutdown = Shutdown()
    ready = _all_or_end(name, file)
    jobs = {each.name: job_of(each, shutdown.held, dry_run=dry_run) for each in ready}
    shutdown.install()
    try:
        found = _iterations(jobs, lambda job: iterate(job, wait=True))
    except Exception as error:
        # A traceback would end with exit code 1, which means something else here.
        _log.exception("the iteration failed", extra={"error": f"{type(error).__name__}: {error}"})
        raise SystemExit(ExitCode.CANNOT_MEASURE) from None
    finally:
        for job in jobs.values():
            if job.services:
                job.services.close()
    _tell(jobs, found, json_file)


@click.command()
@rollout_name
@guardrails_file
@click.option("--json", "as_json", is_flag=True, help="A JSON document instead of the table.")
def check(name: str | None, file: Path | None, as_json: bool) -> None:
    """Judge the challenger now, show why, and turn nothing off.

    One row a guardrail: what was measured, its limit, the test score and its threshold (of sequential
    guardrails), the verdict, and all of it in words. Of several rollouts all are told, or that of --rollout.
    While nobody gets the challenger: which of the series that the rollout's file names are there.

    Reads the same variables as `python -m rollback`, and has the exit codes of its --dry-run: 1 when the
    challenger would be rolled back, 2 for wrong usage, guardrails or variables, 3 when it cannot measure.
    """
    _configure_log()
    jobs = {each.name: job_of(each, dry_run=True) for each in _all_or_end(name, file)}
    found = _iterations(jobs, lambda job: job.run())
    idle = [each for each, iteration in found.items() if iteration.outcome == NOT_EXPOSED]
    try:
        signals = {each: look(jobs[each].prometheus, jobs[each].arms) for each in idle}
    except PrometheusError as error:
        click.echo(str(error), err=True)
        raise SystemExit(ExitCode.CANNOT_MEASURE) from None
    _tell(jobs, found, sys.stdout if as_json else None, signals)


def _iterations(jobs: Mapping[str, Job], run: Callable[[Job], Iteration]) -> dict[str, Iteration]:
    """One of each, side by side. What a bug raises in one is raised when all are over."""
    if len(jobs) == 1:
        return {name: run(job) for name, job in jobs.items()}
    with ThreadPoolExecutor(len(jobs)) as pool:
        asked = {name: pool.submit(run, job) for name, job in jobs.items()}
    return {name: each.result() for name, each in asked.items()}


def _tell(
    jobs: Mapping[str, Job],
    found: Mapping[str, Iteration],
    json_file: TextIO | None,
    signals: Mapping[str, list[SeenSignal]] = MappingProxyType({}),
) -> NoReturn:
    """All of them; the exit code is that of the gravest."""
    if json_file is None:
        console = Console()
        for name, iteration in found.items():
            if len(found) > 1:
                console.rule(name, style="dim")
            show(iteration, jobs[name].canary, console)
            if name in signals:
                show_signals(signals[name], console)
    else:
        told: dict[str, Any] = {}
        for name, iteration in found.items():
            told[name] = iteration_fields(iteration, jobs[name].canary)
            if name in signals:
                told[name]["signals"] = signal_fields(signals[name])
        json.dump(told if len(told) > 1 else next(iter(told.values())), json_file, indent=2, allow_nan=False)
        json_file.write("\n")
    codes = {iteration.exit_code for iteration in found.values()}
    if any(one.missing for seen in signals.values() for one in seen):
        codes.add(ExitCode.CANNOT_MEASURE)
    raise SystemExit(next(code for code in GRAVEST if code in codes))


def _configure_log() -> None:
    configure_logging("rollback")
    # Each retry would be a line; the iteration tells what came of them.
    logging.getLogger("urllib3").setLevel(logging.ERROR)


def _read(name: str | None, file: Path | None) -> Mapping[str, Guarded | ConfigError]:
    """Those that are meant. Raises ConfigError: of the folder, or there is none of that name."""
    return only(dict(rollouts.every(file)), name)


def _all_or_end(name: str | None, file: Path | None) -> list[Guarded]:
    """Those that are meant, or the end with every fault of their files and variables."""
    try:
        found = _read(name, file)
    except ConfigError as error:
        _end(error)
    faults = [str(each) for each in found.values() if isinstance(each, ConfigError)]
    if faults:
        _end("\n".join(dict.fromkeys("\n".join(faults).splitlines())))
    return [each for each in found.values() if isinstance(each, Guarded)]


def _end(why: object) -> NoReturn:
    click.echo(str(why), err=True)
    raise SystemExit(ExitCode.MISCONFIGURED)


for command in (check, explain, simulate, backtest):
    main.add_command(command)


if __name__ == "__main__":
    start(main, "rollback")

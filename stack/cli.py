"""`python -m stack COMMAND`: the whole product on this machine."""

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from common.errors import CanarioError
from common.terminal import Console
from stack.api import Stack
from stack.chosen import Chosen, chosen
from stack.errors import Refused, StackError
from stack.housekeeping import choices, clean, install
from stack.install.unleash import is_pinned
from stack.launch import die_with_parent
from stack.logs import follow, show
from stack.paths import Home
from stack.ports import DEFAULTS, Mode
from stack.progress import Progress
from stack.settings import PROGRAMS, ROLLBACK_EVERY, Settings, with_needs
from stack.shell import failure
from stack.status import render
from stack.summary import summary
from stack.up import step_count

EPILOG = """\b
Environment:
  CANARIO_HOME      folder of data, secrets and logs (default: .canario of the repository)
  CANARIO_CACHE     folder of what is downloaded (default: the same)
  CANARIO_...       of `up`: settings of the programs (docs/settings.md), but those
                    that the stack sets itself

\b
Exit codes:
    0  done; of `status`: everything runs and is ready
    1  a step failed, or something that should run does not
    2  wrong usage
    3  the machine lacks something; the message has the command that brings it
    4  refused, because it would harm; the message says what to do first
  130  interrupted: what was being started has been ended again

\b
Examples:
  python -m stack up
  UNLEASH_VERSION=7.6.5 TRAFFIC=0 python -m stack up
  python -m stack --home /tmp/second up --ports free --only unleash --only service
  python -m stack logs service -n 50 -f
  python -m stack exec python -m flags set canary 5
"""


class _Cli(click.Group):
    """Tells an expected failure by its own sentences and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CanarioError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(getattr(error, "exit_code", StackError.exit_code))
        except KeyboardInterrupt:
            click.echo("interrupted: what was being started has been ended again", err=True)
            sys.exit(130)


@click.group(cls=_Cli, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="Instead of CANARIO_HOME.")
def cli(home: Path | None) -> None:
    """Postgres, Unleash, Prometheus, the service, the rollback job and sample traffic, without Docker."""
    if home:
        os.environ["CANARIO_HOME"] = str(home.absolute())


def _port(_ctx: click.Context, _option: click.Parameter, values: Iterable[str]) -> dict[str, int]:
    asked: dict[str, int] = {}
    variables = {name: os.environ.get(f"{name.upper()}_PORT") for name in DEFAULTS}
    for value in (*(f"{name}={port}" for name, port in variables.items() if port), *values):
        name, _, port = value.partition("=")
        if name not in DEFAULTS or not port.isdigit() or not 0 < int(port) < 65_536:
            raise click.BadParameter(f"{value!r}: give NAME=PORT, where NAME is one of {', '.join(DEFAULTS)}")
        asked[name] = int(port)
    return asked


@cli.command()
@choices
@click.option(
    "--port",
    "asked_ports",
    multiple=True,
    callback=_port,
    metavar="NAME=PORT",
    help="Of postgres, unleash, service, prometheus or alertmanager; also as variables: UNLEASH_PORT=4343.",
)
@click.option(
    "--ports",
    type=click.Choice(["default", "free"]),
    default="default",
    show_default=True,
    help="For a home that remembers none: the usual ones, or any free ones.",
)
@click.option(
    "--traffic/--no-traffic", envvar="TRAFFIC", default=True, show_envvar=True, help="Sample traffic."
)
@click.option(
    "--rollout/--no-rollout",
    envvar="ROLLOUT",
    default=True,
    show_envvar=True,
    help="The job that carries out the rollout plan, once somebody begins.",
)
@click.option(
    "--alertmanager/--no-alertmanager",
    envvar="ALERTMANAGER",
    default=True,
    show_envvar=True,
    help="What tells people of alerts.",
)
@click.option(
    "--alertmanager-config",
    envvar="ALERTMANAGER_CONFIG",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    show_envvar=True,
    help="Whom it tells: a file, instead of monitoring/alertmanager.yml.",
)
@click.option(
    "--rollback-every",
    envvar="ROLLBACK_EVERY",
    default=ROLLBACK_EVERY,
    show_default=True,
    show_envvar=True,
    help="Period of the rollback job.",
)
@click.option(
    "--foreground", is_flag=True, help="Stay, and take everything along at the end, even of SIGKILL."
)
@click.option("--parent-death", is_flag=True, help="With --foreground: end when the calling process does.")
def up(  # noqa: PLR0913, PLR0917 - click gives each option as an argument
    only: tuple[str, ...],
    unleash_version: str,
    asked_ports: dict[str, int],
    ports: Mode,
    traffic: bool,
    rollout: bool,
    alertmanager: bool,
    alertmanager_config: str | None,
    rollback_every: str,
    foreground: bool,
    parent_death: bool,
) -> None:
    """Install what is missing, start what does not run, and say where everything is."""
    if parent_death:
        if not foreground:
            raise click.UsageError("--parent-death goes with --foreground")
        die_with_parent(15, os.getppid())
    asked = {"traffic": traffic, "rollout": rollout, "alertmanager": alertmanager}
    wanted = [name for name in only or PROGRAMS if asked.get(name, True)]
    total = step_count(Settings(programs=with_needs(wanted)))
    start = time.monotonic()
    shell = _chosen()
    stack = Stack(
        only=wanted,
        ports=ports,
        asked_ports=asked_ports,
        unleash_version=unleash_version,
        rollback_every=rollback_every,
        alertmanager_config=alertmanager_config or "",
        environment=shell.environment,
        progress=Progress(total),
    )
    for note in shell.notes:
        click.echo(f"note: {note}")
    if not is_pinned(unleash_version):
        click.echo(
            f"note: Unleash {unleash_version} is not pinned here: its packages are what npm resolves today"
        )
    if foreground and stack.is_running:
        raise Refused("it runs already, in the background: `make down` ends it")
    try:
        stack.up(attached=foreground)
    except StackError as error:
        if stack.is_running:
            error.args = (
                f"{error}\nWhat is up stays up: `make up` goes on from there, `make down` ends it.",
            )
        raise
    click.echo(f"Everything is up, after {time.monotonic() - start:.1f} s.\n\n{summary(stack.site)}")
    if foreground:
        _stay(stack)


def _chosen() -> Chosen:
    """What the user's shell sets of the programs. Raises UnknownSetting."""
    try:
        ours = Stack.existing().env("flags")
    except StackError:  # the first `up`
        ours = {}
    return chosen(os.environ, ours)


def _stay(stack: Stack) -> None:
    try:
        stack.wait()
    except KeyboardInterrupt:
        click.echo("\nending everything ...")
    else:
        raise StackError(failure("supervisord has ended", stack.home.log("supervisord")))
    finally:
        stack.down()


@cli.command()
def down() -> None:
    """End everything, in order. Data, secrets and ports stay for the next `up`."""
    stack = Stack()
    was_running = stack.is_running
    start = time.monotonic()
    stack.down()
    click.echo(
        f"everything has ended, after {time.monotonic() - start:.1f} s"
        if was_running
        else "nothing was running"
    )


@cli.command()
def status() -> None:
    """Say how each program is. Exit code 0 only if all run and are ready."""
    stack = Stack.existing()
    statuses = stack.status()
    Console().print(render(statuses))
    if not stack.is_running:
        click.echo("\nnothing runs: `make up` starts it")
    for bad in statuses:
        if bad.state not in ("ready", "stopped"):
            what = f"{bad.name} is {bad.state}" + (f" ({bad.description})" if bad.description else "")
            click.echo("\n" + failure(what, stack.home.log(bad.name)))
    if not all(status.is_ready for status in statuses):
        sys.exit(StackError.exit_code)


@cli.command()
@click.argument("programs", nargs=-1)
@click.option("-n", "--lines", default=20, show_default=True, help="Of the end of each log.")
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on with what comes.")
def logs(programs: tuple[str, ...], lines: int, follows: bool) -> None:
    """Show the logs of PROGRAMS, or of all, each line with its program's name."""
    home = Home.default()
    known = [*Settings.read(home.settings).programs, "supervisord"]
    for name in programs:
        if name not in known:
            raise click.BadParameter(f"{name}: there are {', '.join(known)}")
    chosen = {name: home.log(name) for name in programs or known}

    def write(name: str, line: str) -> None:
        click.echo(f"{name:<11}| {line}")

    show(chosen, lines, write)
    if follows:
        with suppress(KeyboardInterrupt, BrokenPipeError):
            for _ in follow(chosen, write):
                sys.stdout.flush()


@cli.command()
@click.argument("action", type=click.Choice(["start", "stop", "restart"]))
@click.argument("program", type=click.Choice(PROGRAMS))
def program(action: str, program: str) -> None:
    """Start, stop or restart one PROGRAM of a running stack."""
    stack = Stack.existing()
    {"start": stack.start, "stop": stack.stop, "restart": stack.restart}[action](program)


@cli.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(command: tuple[str, ...]) -> None:
    """Run COMMAND with the environment of the flags command line: addresses, and the file of its token."""
    stack = Stack.existing()
    environment = {**os.environ, **stack.env("flags")}
    os.execvpe(command[0], command, environment)  # noqa: S606 - the user's own command


cli.add_command(install)
cli.add_command(clean)

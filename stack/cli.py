"""`./canario up|down|status|...`: the whole product on this machine."""

import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from common.errors import CanarioError
from common.terminal import Console
from stack.api import Stack
from stack.paths import Cache, Home
from stack.processes.status import follow, render, show
from stack.shell import Refused, StackError, failure
from stack.site import PROGRAMS, Settings
from stack.up_command import install, up

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
  ./canario up
  UNLEASH_VERSION=7.6.5 TRAFFIC=0 ./canario up
  ./canario --home /tmp/second up --ports free --only unleash --only service
  ./canario logs service -n 50 -f
  ./canario set canary 5
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


cli.add_command(up)
cli.add_command(install)


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
        click.echo("\nnothing runs: `./canario up` starts it")
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


@cli.command()
@click.option("--everything", is_flag=True, help="The downloads and the venv too.")
@click.option("--yes", envvar="CONFIRM", is_flag=True, show_envvar=True, help="Do not ask.")
def clean(everything: bool, yes: bool) -> None:
    """Remove data, secrets, ports and logs of a stack that does not run."""
    stack, cache = Stack(), Cache.default()
    if stack.is_running:
        raise Refused("it runs: `./canario down` first")
    home = stack.home
    folders = [home.data, home.secrets, home.logs, home.run, home.ports, home.root / "up.lock"]
    if everything:
        folders += [cache.venv, cache.unleash("x").parent, cache.prometheus, cache.alertmanager, cache.models]
        folders += [cache.logs, cache.root / "install.lock", cache.root / "image-test"]
    there = [folder for folder in folders if folder.exists()]
    if not there:
        click.echo("nothing to remove")
        return
    names = "\n".join(f"  {folder}" for folder in there)
    if not yes:
        if not sys.stdin.isatty():
            raise Refused(f"this would remove\n{names}\nSay CONFIRM=1 if that is what you want.")
        if not click.confirm(f"Remove these? Flags, events and metrics in them are gone then.\n{names}\n"):
            raise Refused("nothing was removed")
    for folder in there:
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink()
    for root in {home.root, cache.root}:
        with suppress(OSError):  # something of the user's own is in it
            root.rmdir()
    click.echo(f"removed {len(there)} files and folders")

"""`python -m stack COMMAND`: the whole product on this machine."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from common.errors import CanarioError
from stack.api import Stack
from stack.errors import Interrupted, Refused, StackError
from stack.install import browser
from stack.install.unleash import DEFAULT_VERSION, is_pinned
from stack.launch import die_with_parent
from stack.logs import follow, show
from stack.paths import Cache, Home
from stack.ports import DEFAULTS
from stack.progress import Progress
from stack.settings import PROGRAMS, Settings, with_needs
from stack.shell import failure
from stack.status import render
from stack.summary import summary
from stack.up import install as install_servers
from stack.up import step_count

EPILOG = """\b
Environment:
  CANARIO_HOME      folder of data, secrets and logs (default: .canario of the repository)
  CANARIO_CACHE     folder of what is downloaded (default: the same)

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
            sys.exit(Interrupted.exit_code)


@click.group(cls=_Cli, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="Instead of CANARIO_HOME.")
def cli(home: Path | None) -> None:
    """Postgres, Unleash, Prometheus, the service, the rollback job and sample traffic, without Docker."""
    if home:
        os.environ["CANARIO_HOME"] = str(home.absolute())


def _port(_ctx: click.Context, _option: click.Parameter, values: Iterable[str]) -> dict[str, int]:
    asked = {}
    for value in values:
        name, _, port = value.partition("=")
        if name not in DEFAULTS or not port.isdigit() or not 0 < int(port) < 65_536:
            raise click.BadParameter(f"{value!r}: give NAME=PORT, where NAME is one of {', '.join(DEFAULTS)}")
        asked[name] = int(port)
    for name in DEFAULTS:
        if value := os.environ.get(f"{name.upper()}_PORT"):
            asked.setdefault(name, click.IntRange(1, 65_535).convert(value, None, None))
    return asked


def _choices(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--only", multiple=True, type=click.Choice(PROGRAMS), help="Only this program, and what it needs."),
        click.option("--unleash-version", envvar="UNLEASH_VERSION", default=DEFAULT_VERSION, show_default=True,
                     show_envvar=True, help="From npm; 8.2.0 and 7.6.5 are pinned."),
    ):  # fmt: skip
        command = option(command)
    return command


@cli.command()
@_choices
@click.option("--port", "asked", multiple=True, callback=_port, metavar="NAME=PORT",
              help="Port of postgres, unleash, service or prometheus; also as UNLEASH_PORT=4343 and so on.")  # fmt: skip
@click.option("--ports", type=click.Choice(["default", "free"]), default="default", show_default=True,
              help="Where to begin to look for the ports of a new home.")  # fmt: skip
@click.option(
    "--traffic/--no-traffic", envvar="TRAFFIC", default=True, show_envvar=True, help="Sample traffic."
)
@click.option("--rollback-every", envvar="ROLLBACK_EVERY", default="15s", show_default=True, show_envvar=True,
              help="Period of the rollback job.")  # fmt: skip
@click.option(
    "--foreground", is_flag=True, help="Stay, and end everything on Ctrl-C or SIGTERM, even on SIGKILL."
)
@click.option(
    "--parent-death", is_flag=True, help="With --foreground: end also when the calling process dies."
)
def up(
    only: tuple[str, ...],
    unleash_version: str,
    asked: dict[str, int],
    ports: str,
    traffic: bool,
    rollback_every: str,
    foreground: bool,
    parent_death: bool,
) -> None:
    """Install what is missing, start what does not run, and say where everything is."""
    if parent_death:
        if not foreground:
            raise click.UsageError("--parent-death goes with --foreground")
        die_with_parent(15, os.getppid())
    wanted = [name for name in only or PROGRAMS if traffic or name != "traffic"]
    total = step_count(Settings(programs=with_needs(wanted)))
    start = time.monotonic()
    stack = Stack(
        only=wanted,
        ports=asked or ("free" if ports == "free" else "default"),
        unleash_version=unleash_version,
        rollback_every=rollback_every,
        progress=Progress(total),
    )
    if not is_pinned(unleash_version):
        click.echo(
            f"note: Unleash {unleash_version} is not pinned here: its packages are what npm resolves today"
        )
    if foreground and stack.is_running:
        raise Refused("it runs already, in the background: `make down` ends it")
    stack.up(attached=foreground)
    click.echo(f"Everything is up, after {time.monotonic() - start:.1f} s.\n\n{summary(stack.site)}")
    if foreground:
        try:
            stack.wait()
        finally:
            click.echo("ending everything ...")
            stack.down()
        raise StackError(failure("supervisord has ended", stack.home.log("supervisord")))


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
    for bad in (status for status in statuses if not status.is_ready):
        click.echo("\n" + failure(f"{bad.name} is {bad.state}: {bad.description}", stack.home.log(bad.name)))
    if not stack.is_running:
        click.echo("\nnothing runs: `make up` starts it")
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
@_choices
@click.option("--python-only", is_flag=True, help="Only the venv, with which this very command runs.")
@click.option(
    "--browser", "wants_browser", is_flag=True, help="Chromium too, for the tests of the Unleash UI."
)
def install(only: tuple[str, ...], unleash_version: str, python_only: bool, wants_browser: bool) -> None:
    """Install everything, start nothing."""
    if python_only:
        return
    settings = Settings(programs=with_needs(only or PROGRAMS), unleash_version=unleash_version)
    steps = step_count(settings) - len(settings.programs) - 2 * ("unleash" in settings.programs)
    progress = Progress(steps + wants_browser)
    install_servers(Cache.default(), settings, progress)
    if wants_browser:
        with progress.step("Chromium") as step:
            step.remark = browser.ensure_browser(Cache.default())


@cli.command()
@click.option("--everything", is_flag=True, help="The downloads and the venv too.")
@click.option("--yes", envvar="CONFIRM", is_flag=True, show_envvar=True, help="Do not ask.")
def clean(everything: bool, yes: bool) -> None:
    """Remove data, secrets, ports and logs of a stack that does not run."""
    stack, cache = Stack(), Cache.default()
    if stack.is_running:
        raise Refused("it runs: `make down` first")
    home = stack.home
    folders = [home.data, home.secrets, home.logs, home.run, home.ports, home.root / "up.lock"]
    if everything:
        folders += [cache.venv, cache.unleash("x").parent, cache.prometheus, cache.models, cache.logs]
        folders += [cache.root / "install.lock"]
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

"""The commands `up` and `install`: their options, and what is said before and after the steps."""

import os
import time
from collections.abc import Callable, Iterable

import click

from stack.api import Stack
from stack.install import install as install_servers
from stack.install import install_step_count
from stack.paths import Cache
from stack.ports import DEFAULTS, Mode
from stack.processes.environment import Chosen, chosen
from stack.processes.launch import kill_on_parent_exit
from stack.progress import Progress, summary
from stack.servers.debian import ensure_browser
from stack.servers.kubernetes import STEPS, ensure_kubernetes
from stack.servers.unleash import is_pinned
from stack.shell import Refused, StackError, failure
from stack.site import DEFAULT_UNLEASH_VERSION, PROGRAMS, ROLLBACK_EVERY, Settings, with_needs
from stack.up import step_count


def _choices(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a stack consists of."""
    command = click.option(
        "--only", multiple=True, type=click.Choice(PROGRAMS), help="Only this one, and what it needs."
    )(command)
    return click.option(
        "--unleash-version",
        envvar="UNLEASH_VERSION",
        default=DEFAULT_UNLEASH_VERSION,
        show_default=True,
        show_envvar=True,
        help="From npm; 8.2.0 and 7.6.5 are pinned.",
    )(command)


def _port(_ctx: click.Context, _option: click.Parameter, values: Iterable[str]) -> dict[str, int]:
    asked: dict[str, int] = {}
    variables = {name: os.environ.get(f"{name.upper()}_PORT") for name in DEFAULTS}
    for value in (*(f"{name}={port}" for name, port in variables.items() if port), *values):
        name, _, port = value.partition("=")
        if name not in DEFAULTS or not port.isdigit() or not 0 < int(port) < 65_536:
            raise click.BadParameter(f"{value!r}: give NAME=PORT, where NAME is one of {', '.join(DEFAULTS)}")
        asked[name] = int(port)
    return asked


@click.command()
@_choices
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
        kill_on_parent_exit(15, os.getppid())
    asked = {"traffic": traffic, "rollout": rollout, "alertmanager": alertmanager}
    wanted = [name for name in only or PROGRAMS if asked.get(name, True)]
    start = time.monotonic()
    shell = _chosen()
    total = step_count(Settings(programs=with_needs(wanted), environment=shell.environment))
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
        raise Refused("it runs already, in the background: `./canario down` ends it")
    try:
        stack.up(attached=foreground)
    except StackError as error:
        if stack.is_running:
            error.args = (
                f"{error}\nWhat is up stays up: `./canario up` goes on from there, `./canario down` ends it.",
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


@click.command()
@_choices
@click.option("--python-only", is_flag=True, help="Only the venv, with which this very command runs.")
@click.option(
    "--browser", "wants_browser", is_flag=True, help="Chromium too, for the tests of the Unleash UI."
)
@click.option(
    "--kubernetes",
    "wants_kubernetes",
    is_flag=True,
    help="A Kubernetes API server too, for tests; built here, in 15 minutes the first time.",
)
def install(
    only: tuple[str, ...],
    unleash_version: str,
    python_only: bool,
    wants_browser: bool,
    wants_kubernetes: bool,
) -> None:
    """Install everything, start nothing."""
    if python_only:
        return
    settings = Settings(programs=with_needs(only or PROGRAMS), unleash_version=unleash_version)
    kubernetes_steps = STEPS if wants_kubernetes else 0
    progress = Progress(install_step_count(settings) + wants_browser + kubernetes_steps)
    install_servers(Cache.default(), settings, progress)
    if wants_browser:
        with progress.step("Chromium") as step:
            step.remark = ensure_browser(Cache.default())
    if wants_kubernetes:
        ensure_kubernetes(Cache.default(), progress)

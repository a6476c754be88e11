"""Commands around a stack that does not run: `install` and `clean`. And options that `up` has too."""

import shutil
import sys
from collections.abc import Callable
from contextlib import suppress

import click

from stack.api import Stack
from stack.errors import Refused
from stack.install import browser
from stack.install.unleash import DEFAULT_VERSION
from stack.paths import Cache
from stack.progress import Progress
from stack.settings import PROGRAMS, Settings, with_needs
from stack.up import install as install_servers
from stack.up import install_step_count


def choices(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a stack consists of."""
    command = click.option(
        "--only", multiple=True, type=click.Choice(PROGRAMS), help="Only this one, and what it needs."
    )(command)
    return click.option(
        "--unleash-version",
        envvar="UNLEASH_VERSION",
        default=DEFAULT_VERSION,
        show_default=True,
        show_envvar=True,
        help="From npm; 8.2.0 and 7.6.5 are pinned.",
    )(command)


@click.command()
@choices
@click.option("--python-only", is_flag=True, help="Only the venv, with which this very command runs.")
@click.option(
    "--browser", "wants_browser", is_flag=True, help="Chromium too, for the tests of the Unleash UI."
)
def install(only: tuple[str, ...], unleash_version: str, python_only: bool, wants_browser: bool) -> None:
    """Install everything, start nothing."""
    if python_only:
        return
    settings = Settings(programs=with_needs(only or PROGRAMS), unleash_version=unleash_version)
    progress = Progress(install_step_count(settings) + wants_browser)
    install_servers(Cache.default(), settings, progress)
    if wants_browser:
        with progress.step("Chromium") as step:
            step.remark = browser.ensure_browser(Cache.default())


@click.command()
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
